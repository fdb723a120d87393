"""What happens at the front door beside calls is in the ledger too."""

import base64
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from interlock.model import Mode
from tests.door.world import TRUSTED, WRONG_KEY, World


def rows_of(
    world: World, kind: str, fits: Callable[[dict[str, Any]], bool] = bool
) -> list[dict[str, Any]]:
    """The events of a kind that fit, as soon as there are any."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := [event for event in world.rows(kind) if fits(event)]:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {kind} was recorded")


def retired(world: World) -> tuple[str, str]:
    """An agent, and a key of it that was rotated."""
    name = world.join()
    key = world.keys[name]
    world.change(lambda i: i.registry.rotate_key(name))
    return name, key


def test_a_refused_proof_says_what_was_wrong_to_us_alone(world: World) -> None:
    """The caller reads the same words for every flaw; no key and no name of nobody is stored."""
    name, old_key = retired(world)
    door = world.doors[Mode.OBSERVE]
    offered = [(name, old_key), (TRUSTED, WRONG_KEY), ("nobody-of-ours", WRONG_KEY)]
    for agent, key in offered:
        with (
            httpx.Client(
                proxy=door.proxy(agent, key),
                verify=world.trust(Mode.OBSERVE),
                trust_env=False,
                timeout=20,
            ) as client,
            pytest.raises(httpx.ProxyError, match="407"),
        ):
            client.get(f"{world.openai}/v1/models")
    rows = rows_of(world, "proof_refused", lambda event: event["agent"] == name)
    assert rows[-1]["body"]["cause"] == "revoked key"
    rows = world.rows("proof_refused")
    known = {(row["agent"], row["body"]["cause"]) for row in rows}
    assert {(TRUSTED, "unknown key"), ("", "unknown key")} <= known
    said = str(rows)
    assert not any(word in said for word in (old_key, WRONG_KEY, "nobody-of-ours"))
    assert base64.b64encode(WRONG_KEY.encode()).decode() not in said
    assert world.received() == []


def test_a_start_in_another_mode_is_a_change_of_mode(world: World) -> None:
    """Also when nobody changed it while running: the rows alternate, and the last one is true."""
    changes = [row["body"] for row in rows_of(world, "mode_change")]
    assert all(change["before"] != change["after"] for change in changes)
    assert {"observe", "enforce"} >= {change["after"] for change in changes}
