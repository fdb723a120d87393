"""A signal makes the front door look at its policies at once, and never ends it."""

import signal
import time
from pathlib import Path

import httpx

from interlock.model import Mode
from tests.door.world import TRUSTED, World


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
        ) as client,
    ):
        assert client.get(f"{world.openai}/v1/models").headers["interlock-decision"] == "allow"
        file.write_text("forbid (principal, action, resource);")
        door.process.send_signal(signal.SIGHUP)
        time.sleep(0.4)
        answer = client.get(f"{world.openai}/v1/models")
        assert answer.headers["interlock-decision"] == "would_deny"
        assert door.process.poll() is None
    sets = [row["body"]["policy_set"] for row in world.rows("policy_load")[loads:]]
    assert len(set(sets)) == 2
