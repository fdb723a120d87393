"""`interlock proxy`: processes behind one port, replaced when they die, drained at the end."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from interlock.demo.front_door import FrontDoor
from interlock.demo.ports import free_ports
from interlock.model import Mode
from tests.door.patience import wait_for
from tests.door.test_invariants import SABOTEURS
from tests.door.world import CHAT, OPENAI_KEY, TRUSTED, World

INTERLOCK = str(Path(sys.executable).parent / "interlock")


def proxy(world: World, *options: str, mode: Mode = Mode.ENFORCE) -> FrontDoor:
    """A front door of two workers over this home, not started yet."""
    given = ("--workers", "2", *options)
    return world.door(mode, *given, program="interlock", reverse=(world.openai,))


def client(world: World, door: FrontDoor, **more: object) -> httpx.Client:
    """A client of the trusted agent, through the proxy."""
    return httpx.Client(
        proxy=door.proxy(TRUSTED, world.keys[TRUSTED]),
        verify=ssl.create_default_context(cafile=door.ca),
        trust_env=False,
        timeout=30,
        **more,  # type: ignore[arg-type]
    )


def workers_of(door: FrontDoor) -> list[int]:
    """The processes that serve, by their ids."""
    found = Path(f"/proc/{door.process.pid}/task/{door.process.pid}/children").read_text()
    return [int(pid) for pid in found.split()]


def is_connected(pid: int, port: int) -> bool:
    """Tell whether a process has connections on a port that it also listens on."""
    wanted = f":{port:04X} "
    inodes = {
        line.split()[9]
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        if wanted in line and line.split()[3] == "01"
    }
    links = Path(f"/proc/{pid}/fd").iterdir()
    held = {str(link.readlink()) for link in links if link.is_symlink()}
    return any(f"socket:[{inode}]" in held for inode in inodes)


@pytest.fixture(scope="module")
def door(_world: World) -> Iterator[FrontDoor]:
    """One front door of two workers for all tests that leave it alive."""
    with proxy(_world) as started:
        wait_for(lambda: started.log.count("enforce mode") == 2)
        yield started


def test_every_worker_serves_and_puts_the_key_in(world: World, door: FrontDoor) -> None:
    """Connections are spread over the processes; each call gets the key, and no agent sees it."""
    calls = 0
    with ExitStack() as stack:
        while calls < 2 or not all(is_connected(pid, door.ports[0]) for pid in workers_of(door)):
            one = stack.enter_context(client(world, door))
            answer = one.post(f"{world.openai}/v1/chat/completions", json=CHAT)
            assert answer.status_code == 200
            assert OPENAI_KEY not in answer.text
            calls += 1
            assert calls < 100, "one worker serves them all"
    assert len(world.received()) == calls


def test_a_base_url_is_served_too(world: World, door: FrontDoor) -> None:
    """Every mode has its socket, and every worker accepts from it."""
    answer = httpx.post(
        f"https://127.0.0.1:{door.ports[1]}/v1/chat/completions",
        json=CHAT,
        headers={"Authorization": f"Bearer {world.keys[TRUSTED]}"},
        verify=ssl.create_default_context(cafile=door.ca),
        timeout=30,
    )
    assert answer.status_code == 200
    world.carried(OPENAI_KEY)


def test_a_denied_call_does_not_leave(world: World, door: FrontDoor) -> None:
    """Governance is the same as under mitmdump."""
    with client(world, door) as one:
        assert one.delete(f"{world.openai}/v1/files/file-1").status_code == 403
    assert world.received() == []


def test_a_worker_that_dies_is_replaced(world: World, door: FrontDoor) -> None:
    """Others serve in the meantime, and soon there are as many as before."""
    before, starts = workers_of(door), door.log.count("enforce mode")
    os.kill(before[0], signal.SIGKILL)
    with client(world, door) as one:
        assert one.get(f"{world.openai}/v1/models").status_code == 200
    wait_for(lambda: door.log.count("enforce mode") == starts + 1)
    after = workers_of(door)
    assert len(after) == 2
    assert before[1] in after
    assert before[0] not in after


def test_a_stream_under_way_ends_before_the_door_does(world: World) -> None:
    """SIGTERM closes the port at once, lets the stream run to its end, and loses no outcome."""
    door = proxy(world, mode=Mode.OBSERVE)
    with door, client(world, door) as one:
        with one.stream("GET", f"{world.openai}/ticks?count=40&interval=50") as stream:
            events = stream.iter_raw()
            first = next(events)
            door.process.send_signal(signal.SIGTERM)
            wait_for(lambda: not _accepts(door))
            rest = first + b"".join(events)
        assert rest.count(b"data:") == 40
        assert door.process.wait(30) == 0
    outcome = world.outcome(stream.headers["interlock-decision-id"])
    assert outcome["status"] == 200
    assert outcome["error"] == ""


def test_what_takes_too_long_is_cut(world: World) -> None:
    """Draining has a limit."""
    door = proxy(world, "--drain", "0.5", mode=Mode.OBSERVE)
    with door, client(world, door) as one:
        with one.stream("GET", f"{world.openai}/ticks?count=1000&interval=50") as stream:
            door.process.send_signal(signal.SIGTERM)
            with pytest.raises((httpx.RemoteProtocolError, httpx.NetworkError)):
                list(stream.iter_raw())
        assert door.process.wait(30) == 0


def test_the_workers_end_when_their_supervisor_is_killed(world: World) -> None:
    """Nothing goes on that nobody could end."""
    with proxy(world, "--drain", "0") as door:
        wait_for(lambda: door.log.count("enforce mode") == 2)
        left = workers_of(door)
        door.process.kill()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))


@pytest.fixture(scope="module", params=["interlock", "mitmdump"])
def failing(_world: World, request: pytest.FixtureRequest) -> Iterator[FrontDoor]:
    """A front door with an addon of the user that fails where a path asks for it."""
    script = str(SABOTEURS / "fail_hooks.py")
    with _world.door(Mode.OBSERVE, "-s", script, program=request.param, reverse=()) as started:
        yield started


@pytest.mark.parametrize("where", ["requestheaders", "responseheaders", "response"])
def test_a_hook_of_a_user_that_fails_is_a_refusal(
    world: World, failing: FrontDoor, where: str
) -> None:
    """mitmproxy would log it and go on."""
    with client(world, failing) as one:
        try:
            status = one.get(f"{world.openai}/fail/{where}").status_code
        except httpx.RemoteProtocolError:
            status = 0
        assert status == (0 if where == "responseheaders" else 503)
        assert one.get(f"{world.openai}/v1/models").status_code == 200
    assert (len(world.received()) == 1) == (where == "requestheaders")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--set", "nope=1"], "--set nope: there is no such option", id="an option"),
        pytest.param(["--mode", "foo"], "--mode: 'foo': unknown: 'regular'", id="a mode"),
        pytest.param(["--mode", "socks5"], "--mode: 'socks5' is refused", id="ungoverned"),
        pytest.param(["--mode", "regular@x"], "--mode: 'regular@x': invalid port", id="no port"),
        pytest.param(["--set", "ssl_insecure=true"], "ssl_insecure", id="an insecure option"),
        pytest.param(["--set", "interlock_mode"], "--set interlock_mode: give", id="no value"),
        pytest.param(["--set", "listen_port=8222"], "use --listen-port", id="a port by --set"),
        pytest.param(["--set", "listen_host=::1"], "use --listen-host", id="a host by --set"),
        pytest.param(["--set", "mode=regular"], "use --mode", id="a mode by --set"),
        pytest.param(["-s", "nope.py"], "nope.py", id="a script"),
        pytest.param(["--workers", "0"], "--workers", id="no worker"),
        pytest.param(["--mode", "regular@TAKEN"], "cannot listen on 127.0.0.1:TAKEN", id="a port"),
        pytest.param(["--mode", "regular", "-p", "81"], "--listen-port: 81", id="two ports"),
    ],
)
def test_bad_input_is_named_once(words: list[str], said: str, tmp_path: Path) -> None:
    """One line says what is wrong, the exit code is 2, and there is no traceback."""
    (port,) = free_ports(1)
    default = [] if "--mode" in words else ["--listen-port", str(port)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        given = [word.replace("TAKEN", number) for word in words]
        command = [INTERLOCK, "--home", str(tmp_path / "home"), "proxy", *default, *given]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.replace("TAKEN", number) in the_line(ended)


def the_line(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line, on stderr, with which a command ended that would not do what it was told."""
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("interlock: ")
    return line


@pytest.mark.parametrize("program", [("proxy", "--workers", "1"), ("proxy", "--json"), ("web",)])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["interlock_mode=banana"], "interlock_mode", id="no mode"),
        pytest.param(["interlock_policies=/nope"], "/nope", id="no policies"),
        pytest.param(["interlock_home=HOME/file"], "file", id="a home that is a file"),
        pytest.param(["interlock_store=HOME/file"], "cannot open the database", id="no database"),
        pytest.param(["ssl_insecure=true"], "ssl_insecure", id="a refused option"),
    ],
)
def test_what_keeps_a_door_from_starting_is_said_on_stderr(
    program: tuple[str, ...], options: list[str], said: str, tmp_path: Path
) -> None:
    """One line, exit code 2, and nothing on stdout, where the log goes."""
    (tmp_path / "file").write_text("no database, and no folder" * 99)
    given = [word.replace("HOME", str(tmp_path)) for word in options]
    command = [INTERLOCK, *program, "-p", str(free_ports(1)[0])]
    command += [word for one in given for word in ("--set", one)]
    environ = {**os.environ, "INTERLOCK_HOME": str(tmp_path / "home")}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environ
    )
    assert said in the_line(ended)


def test_no_module_of_the_folder_that_it_starts_in_is_run(tmp_path: Path) -> None:
    """An agent may write there, and what a worker imports has the secrets."""
    (tmp_path / "json.py").write_text("open('taken', 'w').close()")
    (tmp_path / "addons").mkdir()
    (tmp_path / "addons" / "worker.py").write_text("open('taken', 'w').close()")
    refused = ["--set", "no_such_option=1", "--mode", f"regular@{free_ports(1)[0]}"]
    command = [INTERLOCK, "--home", str(tmp_path / "home"), "proxy", *refused]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert b"no_such_option" in ended.stderr
    assert not (tmp_path / "taken").exists()


def _accepts(door: FrontDoor) -> bool:
    try:
        httpx.get(f"http://{door.address}", timeout=5, trust_env=False)
    except httpx.ConnectError:
        return False
    except httpx.HTTPError:
        return True
    return True


def test_the_web_page_is_governed_too(world: World) -> None:
    """`interlock web` serves calls, and its page holds no key."""
    (port,) = free_ports(1)
    options = ("--set", "web_password=letmein", "--web-port", str(port))
    door = world.door(Mode.ENFORCE, *options, program="interlock", reverse=())
    door.command[1] = "web"
    with door, client(world, door) as one:
        answer = one.post(f"{world.openai}/v1/chat/completions", json=CHAT)
        assert answer.status_code == 200
        page = httpx.get(
            f"http://127.0.0.1:{port}/flows",
            headers={"Authorization": "Bearer letmein"},
            trust_env=False,
            timeout=30,
        )
    assert page.status_code == 200
    assert "v4.public." in page.text
    assert OPENAI_KEY not in page.text


def test_log_lines_are_json_for_programs(world: World) -> None:
    """With --json each line is an object."""
    with proxy(world, "--json") as door, client(world, door) as one:
        one.get(f"{world.openai}/v1/models")
        wait_for(lambda: "allow" in door.log)
        lines = [json.loads(line) for line in door.log.splitlines()]
    assert {"time", "level", "message"} == set().union(*lines)


def test_operators_see_how_it_is(world: World) -> None:
    """`/healthz`, `/readyz` and `/metrics` speak of all workers together."""
    (port,) = free_ports(1)
    door = proxy(world, "--admin-port", str(port))
    with door, client(world, door) as one:
        assert one.get(f"{world.openai}/v1/models").status_code == 200
        assert one.delete(f"{world.openai}/v1/files/file-1").status_code == 403

        def page(name: str) -> httpx.Response:
            return httpx.get(f"http://127.0.0.1:{port}/{name}", trust_env=False, timeout=30)

        wait_for(lambda: page("readyz").text == "2 of 2 workers serve\n")
        assert page("healthz").status_code == 200
        assert page("nothing").status_code == 404
        told = (
            'interlock_calls_total{decision="allow"} 1.0',
            'interlock_calls_total{decision="deny"} 1.0',
            'interlock_step_seconds_count{step="record"} 1.0',
            "interlock_connections ",
        )
        wait_for(lambda: all(line in page("metrics").text for line in told))
        metrics = page("metrics").text
    assert TRUSTED not in metrics
