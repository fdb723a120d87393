"""Local capture: a program that knows of no proxy, whose connections the kernel hands to us."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from addons.local import require_local
from interlock.demo.front_door import FrontDoor
from interlock.model import Authority, Binding, Mode
from tests.door.patience import wait_for
from tests.door.raw import Scripted
from tests.door.world import BARE_ENVIRON, OPENAI_KEY, TRUSTED, UNVERIFIED, World

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
ELSEWHERE = "203.0.113.10"
# In a mount namespace of its own: a group of processes in place of all, and a `sudo` for root.
INSIDE = """
mount --make-rprivate /
mount --bind {group} /sys/fs/cgroup
exec "$@"
"""


@contextmanager
def a_group() -> Iterator[Path]:
    """A control group for the captured program alone, so that nobody else is."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("needs root and unshare (apt-get install util-linux)")
    with TemporaryDirectory() as root:
        subprocess.run(["mount", "-t", "cgroup2", "none", root], check=True)
        group = Path(root) / f"interlock-{os.getpid()}"
        group.mkdir()
        try:
            yield group
        finally:
            group.rmdir()
            subprocess.run(["umount", root], check=True)


@pytest.fixture(scope="module", params=list(Mode), ids=str)
def _captured(
    request: pytest.FixtureRequest, _world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FrontDoor, Path]]:
    """A front door that captures `curl` in one group, and the group."""
    binaries = tmp_path_factory.mktemp("bin")
    sudo = binaries / "sudo"
    sudo.write_text('#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\nexec "$@"\n')
    sudo.chmod(0o755)
    with a_group() as group:
        path = f"{binaries}:{os.environ['PATH']}"
        door = _world.either(request.param, reverse=(), environ={"PATH": path})
        door.command += ["--mode", "local:curl"]
        door.command[:0] = ["unshare", "-m", "sh", "-ec", INSIDE.format(group=group), "sh"]
        with door:
            yield door, group


@pytest.fixture
def captured(world: World, _captured: tuple[FrontDoor, Path]) -> tuple[FrontDoor, Path]:
    """The same, begun anew if its capture has ended, once it captures."""
    door, group = _captured
    if "the local capture has ended" in door.log:
        door.process.terminate()
        door.process.wait()
    found = world.revived(door), group
    wait_for(lambda: curl(found, "https://provider.example/").stdout.startswith("HTTP/"), 60)
    return found


def curl(
    captured: tuple[FrontDoor, Path], url: str, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run curl in the group, with no word about a proxy."""
    door, group = captured
    command = [
        "curl",
        "-q",
        "-sS",
        "-i",
        "--http1.1",
        "--max-time",
        "20",
        "--cacert",
        str(door.ca),
        *words,
        url,
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=BARE_ENVIRON,
        check=False,
        preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())) and None,
    )


def proven(world: World, agent: str = TRUSTED) -> tuple[str, str]:
    """What an SDK says whose key is the agent's."""
    return "-H", f"Authorization: Bearer {world.keys[agent]}"


def test_what_is_captured_is_governed(world: World, captured: tuple[FrontDoor, Path]) -> None:
    """The same rules as for what is redirected: one name, one identity, one verified upstream."""
    with Scripted(world, ANSWER) as upstream:
        at = Authority("localhost", upstream.port)
        world.also_bind(Binding("openai-api-key", at, "bearer", service="openai"))
        url = f"https://localhost:{upstream.port}/v1/models"
        there = ("--resolve", f"localhost:{upstream.port}:{ELSEWHERE}")
        answer = curl(captured, url, *there, *proven(world))
        assert answer.stdout.startswith("HTTP/1.1 200 "), answer
        (head,) = upstream.heads
        assert head.count(OPENAI_KEY.encode()) == 1
        upstream.heads.clear()

        other = curl(captured, url, *there, *proven(world), "-H", "Host: evil.example")
        assert other.stdout.startswith("HTTP/1.1 421 "), other
        assert "authority_mismatch" in other.stdout
        assert curl(captured, url, *there).stdout.startswith("HTTP/1.1 401 ")
        assert upstream.heads == []
        denied = curl(captured, url, *there, *proven(world, UNVERIFIED))
        enforced = "enforce mode" in captured[0].log
        assert denied.stdout.startswith("HTTP/1.1 403 ") == enforced, denied
        assert len(upstream.heads) == (not enforced)
    rows = [row["body"] for row in world.decisions()]
    assert any(row["connect"] == f"{ELSEWHERE}:{upstream.port}" for row in rows)


def test_no_name_is_asked_for_outside(world: World, captured: tuple[FrontDoor, Path]) -> None:
    """Every name resolves to nowhere, and the call is judged by its name."""
    answer = curl(captured, "https://provider.example/v1/models", *proven(world))
    assert re.match(r"HTTP/1.1 (403|502) ", answer.stdout), answer
    row = world.decisions()[-1]["body"]
    assert (row["authority"], row["connect"]) == ("provider.example:443", "198.18.0.1:443")


def test_no_datagram_leaves(captured: tuple[FrontDoor, Path]) -> None:
    """HTTP/3 and all else over UDP goes nowhere; what answers DNS is us."""
    answer = curl(captured, f"tftp://{ELSEWHERE}/x", "--max-time", "2")
    assert answer.returncode == 28
    assert answer.stdout == ""


def test_a_capture_that_ends_stops_the_front_door(captured: tuple[FrontDoor, Path]) -> None:
    """Nobody may believe that something is governed that goes straight out."""
    door, _ = captured
    (redirector,) = [
        pid
        for pid in descendants(door.process.pid)
        if "mitmproxy-linux" in Path(f"/proc/{pid}/comm").read_text()
    ]
    os.kill(redirector, signal.SIGKILL)
    wait_for(lambda: "the local capture has ended" in door.log)
    if "enforce mode" not in door.log:  # our own program begins anew, with a new capture
        assert door.process.wait(20) is not None


def descendants(pid: int) -> Iterator[int]:
    """The processes below one."""
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, listed.read_text().split()):
            yield child
            yield from descendants(child)


@pytest.mark.parametrize(
    ("missing", "said"),
    [("sudo", "it needs `sudo`"), ("cgroup", "it needs cgroup v2")],
)
def test_what_it_lacks_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, said: str
) -> None:
    """One line names it."""
    monkeypatch.setattr("addons.local.CGROUPS", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    if missing == "cgroup":
        (tmp_path / "sudo").touch(0o755)
    with pytest.raises(ValueError, match=said):
        require_local()
