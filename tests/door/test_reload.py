"""What a running front door takes up: policies at a signal, keys when they were rotated."""

import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from broker import kid_of, paseto
from broker.claims import decode_footer
from interlock.cli import rotation
from interlock.model import Mode
from tests.door.patience import wait_for
from tests.door.test_invariants import SABOTEURS
from tests.door.test_proxy import proxy, workers_of
from tests.door.world import TRUSTED, World


def decided(answer: httpx.Response) -> str:
    """What was decided about a call."""
    return answer.headers["interlock-decision"]


def test_sighup_takes_up_changed_policies(world: World, tmp_path: Path) -> None:
    """The door lives on and decides by the new set; the load is an event with its digest."""
    policies = tmp_path / "policies"
    policies.mkdir()
    file = policies / "mine.cedar"
    file.write_text("permit (principal, action, resource);")
    loads = len(world.rows("policy_load"))
    door = world.door(Mode.OBSERVE, "--set", f"interlock_policies={policies}", reverse=())
    with (
        door,
        httpx.Client(
            proxy=door.proxy(TRUSTED, world.keys[TRUSTED]),
            verify=world.trust(Mode.OBSERVE),
            trust_env=False,
            timeout=20,
        ) as client,
    ):
        assert decided(client.get(f"{world.openai}/v1/models")) == "allow"
        file.write_text("forbid (principal, action, resource);")
        door.process.send_signal(signal.SIGHUP)
        wait_for(lambda: decided(client.get(f"{world.openai}/v1/models")) == "would_deny")
        assert door.process.poll() is None
    sets = [row["body"]["policy_set"] for row in world.rows("policy_load")[loads:]]
    assert len(set(sets)) == 2


def test_sighup_at_any_time_ends_nobody(world: World, tmp_path: Path) -> None:
    """From when it is first caught until all serve, and no worker is started in vain."""
    door, log, children = proxy(world), tmp_path / "log", set[int]()

    def serve_all_the_same() -> bool:
        door.process.send_signal(signal.SIGHUP)
        assert door.process.poll() is None
        children.update(workers_of(door))
        return log.read_text().count("enforce mode") == 2

    with log.open("wb") as file:
        door.process = subprocess.Popen(door.command, stdout=file, stderr=file)
    try:
        wait_for(lambda: _catches_sighup(door.process.pid))
        wait_for(serve_all_the_same)
    finally:
        door.process.terminate()
        assert door.process.wait(40) == 0
    assert len(children) == 2


@pytest.mark.parametrize("program", ["mitmdump", "interlock"])
def test_sighup_before_it_is_listened_for_ends_nobody(world: World, program: str) -> None:
    """Who starts reads the policies anyway."""
    script = str(SABOTEURS / "hang_up.py")
    with world.door(Mode.OBSERVE, "-s", script, program=program, reverse=()) as door:
        with world.through(door) as client:
            assert client.get(f"{world.openai}/v1/models").status_code == 200
        assert "ended with" not in door.log


def _catches_sighup(pid: int) -> bool:
    """Tell whether a process has a handler for SIGHUP (proc(5), SigCgt)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (caught,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")]
    return bool(caught & 1 << signal.SIGHUP - 1)


def test_a_rotated_key_signs_without_a_restart(world: World) -> None:
    """The next token names the new key, calls go on, and the old key stays for its tokens."""
    door = world.door(Mode.OBSERVE, "-s", str(SABOTEURS / "show_token.py"), reverse=())
    with (
        door,
        httpx.Client(
            proxy=door.proxy(TRUSTED, world.keys[TRUSTED]),
            verify=world.trust(Mode.OBSERVE),
            trust_env=False,
            timeout=20,
        ) as client,
    ):

        def signer() -> str:
            answer = client.get(f"{world.openai}/v1/models")
            assert answer.status_code == 200
            token = answer.headers["x-token"].removeprefix("Bearer ")
            return decode_footer(paseto.footer_of(token))

        before = signer()
        kept = world.change(lambda home: rotation._rotated(home, "sct"))
        new = kid_of(kept[-1].key.verify_key)
        wait_for(lambda: signer() == new)
        assert before != new
        wait_for(lambda: f"tokens are signed by key {new} from now on" in door.log)
        assert door.process.poll() is None
