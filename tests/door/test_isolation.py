"""`interlock run --isolate`: a program that reaches nothing but the front door."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.model import Mode
from tests.cli.terminal import INTERLOCK
from tests.door.world import BARE_ENVIRON, OPENAI_KEY, TRUSTED, World

NOBODY = 65534
CHILD = """
import json, os, socket, sys, urllib.request
body = b'{"model": "gpt-4o", "messages": []}'
request = urllib.request.Request(
    os.environ["URL"], body, {"Content-Type": "application/json"}
)
reached = []
for address in (("127.0.0.1", int(sys.argv[1])), ("1.1.1.1", 443)):
    try:
        socket.create_connection(address, 2).close()
        reached.append(address)
    except OSError:
        pass
hidden = socket.socket(socket.AF_UNIX)
words = [f"nsenter --{kind} -t {os.getppid()} true 2>/dev/null" for kind in ("net", "user")]
print(json.dumps({
    "status": urllib.request.urlopen(request).status,
    "reached": reached,
    "abstract": hidden.connect_ex(sys.argv[2]),
    "left": [word for word in words if os.system(word) == 0],
}))
raise SystemExit(7)
"""


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if not shutil.which("unshare") or subprocess.call(["unshare", "-Urn", "true"]):
        pytest.skip("needs a Linux kernel that allows user namespaces")


def isolated(
    world: World, *words: str, first: tuple[str, ...] = (), **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as one isolated session."""
    door = world.doors[Mode.ENFORCE].address
    said = ("run", "--isolate", "--agent", TRUSTED, "--proxy", door, "--")
    return subprocess.run(
        [*first, INTERLOCK, "--home", str(world.home), *said, *words],
        capture_output=True,
        text=True,
        env=BARE_ENVIRON | environ,
        timeout=60,
        check=False,
    )


def test_an_isolated_program_reaches_the_front_door_and_nothing_else(world: World) -> None:
    """Its calls are governed as ever; upstream, internet, abstract sockets and our network not."""
    url = f"{world.openai}/v1/chat/completions"
    with socket.socket(socket.AF_UNIX) as hidden:
        name = f"\0interlock-{world.upstream.port}"
        hidden.bind(name)
        hidden.listen()
        script = CHILD.replace("sys.argv[2]", repr(name))
        done = isolated(world, sys.executable, "-c", script, str(world.upstream.port), URL=url)
    assert done.returncode == 7, done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == 200
    assert told["reached"] == told["left"] == []
    assert told["abstract"] != 0
    world.carried(OPENAI_KEY)


def test_the_doctor_proves_it_from_inside(world: World) -> None:
    """Exit 0: of all ways that it tries none is open but the front door's."""
    done = isolated(world, INTERLOCK, "doctor", "--egress")
    assert done.returncode == 0, done.stdout
    assert "nothing answered" in done.stdout


@pytest.fixture
def nobody() -> Iterator[tuple[tuple[str, ...], Path]]:
    """How a command is run by a user without any right, and a home that is that user's."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root, to be somebody else, and setpriv (apt-get install util-linux)")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103, PTH101 - a stranger has to get through
        home = Path(folder) / "home"
        home.mkdir(0o700)
        os.chown(home, NOBODY, NOBODY)
        # The one right to read is for an interpreter in somebody's home; it ends inside.
        rights = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search")
        become = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *rights)
        yield (*become, "--bounding-set=-all,+dac_read_search", "--no-new-privs"), home


def test_it_takes_no_root(world: World, nobody: tuple[tuple[str, ...], Path]) -> None:
    """A user without rights isolates a program as well: the door answers, nobody else does."""
    become, home = nobody
    ours = (*become, INTERLOCK, "--home", str(home))
    for words in (("init",), ("agent", "add", "nemo")):
        command = [*ours, *words]
        subprocess.run(command, env=BARE_ENVIRON, check=True, timeout=60, capture_output=True)
    door = world.doors[Mode.ENFORCE].address
    asks = "curl -sk --noproxy '*' -m 5 -o /dev/null -w '%{http_code} '"
    inner = f"id -u; {asks} http://{door}/; {asks} {world.openai}/; {asks} http://1.1.1.1/; true"
    words = ("run", "--isolate", "--agent", "nemo", "--proxy", door, "--", "sh", "-c", inner)
    done = subprocess.run(
        [*ours, *words], capture_output=True, text=True, env=BARE_ENVIRON, timeout=60, check=False
    )
    assert done.returncode == 0, done
    user, answered, *others = done.stdout.split()
    assert (user, others) == (str(NOBODY), ["000", "000"]), done
    assert answered != "000"


def test_nothing_runs_where_the_kernel_does_not_allow_it(world: World) -> None:
    """One line says why and what else there is; the command never starts."""
    none = 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"'
    done = isolated(
        world, "touch", str(world.folder / "ran"), first=("unshare", "-Ur", "sh", "-c", none, "sh")
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--isolate: the kernel does not allow it" in done.stderr
    assert not (world.folder / "ran").exists()
