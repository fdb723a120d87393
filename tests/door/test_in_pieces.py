"""However what is said is cut, the same comes of it: read at once, in pieces, or byte by byte."""

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from interlock.model import Authority, Binding, Mode
from tests.door.conversations import ASKS, REPLIES, Ask, Reply
from tests.door.conversing import Conversation, Run, ScriptedUpstream, Stage
from tests.door.wire import Way
from tests.door.world import World

# What is not at the beginning is chosen by it; `--hypothesis-profile fuzz` tries every way of all.
SEED = int(os.environ.get("INTERLOCK_PIECES_SEED", "1"))
WHOLE = settings.get_current_profile_name() == "fuzz"
USUAL = [way for way in Way if way is not Way.SLOWLY]
# So many are had at a time, each in all its ways.
AT_A_TIME = 6
# What differs from run to run.
TIMES = {"micros", "millis", "decided_at", "token"}
WITHIN_S = 10.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A front door that enforces, lets what reads go everywhere, and keeps a key of an upstream."""
    with (
        World(tmp_path_factory.mktemp("pieces"), modes=()) as world,
        ScriptedUpstream(world.certificates) as upstream,
    ):
        authority = Authority("localhost", upstream.port)
        world.also_bind(Binding("openai-api-key", authority, "bearer", service="openai"))
        with world.reading(Mode.ENFORCE, reverse=[f"https://{upstream.at}"]) as door:
            yield Stage(world, upstream, door)


def ways_of(number: int) -> list[Way]:
    """The first, and two others in turn; or all."""
    first, *others = USUAL
    chosen = others if WHOLE else [others[(number + SEED + step) % len(others)] for step in (0, 2)]
    return [first, *chosen]


def difference(stage: Stage, conversation: Conversation, seed: int, ways: list[Way]) -> str:
    """What came of a conversation in one way and not in the first; empty where it is the same."""
    began = f"dec_{time.time_ns() // 1_000_000:012x}"
    with ThreadPoolExecutor(len(ways)) as pool:
        found = list(pool.map(lambda way: stage.have(conversation, way, seed), ways))
    records = recorded(stage.world, [run for run, _ in found], began)
    for run, outcome in found:
        outcome.recorded = records[run.tag.decode()]
    first = found[0][1]
    # A call of `*` has no path to find its rows by.
    left = [head for head in first.reached if b"OPTIONS *" not in head]
    if left and not any(row["kind"] == "outcome" for row in first.recorded):
        return f"{conversation}: what left is not recorded: {first}"
    if "silence" in first.ended:
        return f"{conversation}: nothing came any more: {first}"
    for way, (_, outcome) in zip(ways, found, strict=True):
        if outcome != first:
            return f"{conversation} (seed {seed})\n- at once: {first}\n- {way}: {outcome}"
    return ""


def require_same(stage: Stage, conversations: Iterable[Conversation]) -> None:
    """Have them all; raises AssertionError with those that differ."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = pool.map(
            lambda each: difference(stage, each[1], SEED, ways_of(each[0])),
            enumerate(conversations),
        )
        differences = list(filter(None, found))
    assert not differences, "\n\n".join(differences)


def recorded(world: World, runs: list[Run], began: str) -> dict[str, list[dict[str, Any]]]:
    """What the ledger says of each run, once it says how every call that was let go ended."""
    until = time.monotonic() + WITHIN_S
    while True:
        of_all = {tag: rows_of(world, tag, began) for tag in (run.tag.decode() for run in runs)}
        rows = [row for rows in of_all.values() for row in rows]
        let_go = sum(row["label"] == "allow" for row in rows if row["kind"] == "decision")
        ended = sum(row["kind"] == "outcome" for row in rows)
        if ended >= let_go or time.monotonic() > until:
            return of_all
        time.sleep(0.01)


def rows_of(world: World, tag: str, began: str) -> list[dict[str, Any]]:
    """The events of the decisions on paths of a run."""
    sql = (
        "select kind, body from events where decision_id in (select decision_id from events where "
        "decision_id >= ? and kind = 'decision' and body like ?) order by decision_id, kind"
    )
    with sqlite3.connect(world.home / "interlock.db") as connection:
        rows = connection.execute(sql, [began, f"%{tag}%"]).fetchall()
    connection.close()
    return [{"kind": kind} | told(json.loads(body.replace(tag, "{tag}"))) for kind, body in rows]


def told(body: dict[str, Any]) -> dict[str, Any]:
    """A row without its times, and without how much came of what was broken off."""
    if body.get("ended", "answered") != "answered":
        body.pop("bytes_down")
    return {
        name: told(value) if isinstance(value, dict) else value
        for name, value in body.items()
        if name not in TIMES
    }


@pytest.mark.parametrize("by_base_url", [False, True], ids=["proxy", "base URL"])
def test_requests(stage: Stage, by_base_url: bool) -> None:
    """What is asked for is judged, sent on, answered and recorded as if it had come at once."""
    require_same(stage, [Conversation((ask,), by_base_url=by_base_url) for ask in ASKS])


@pytest.mark.parametrize("by_base_url", [False, True], ids=["proxy", "base URL"])
def test_answers(stage: Stage, by_base_url: bool) -> None:
    """What is answered comes back, or does not, as if it had come at once."""
    asked = ASKS[:1]
    require_same(stage, [Conversation(asked, (reply,), by_base_url) for reply in REPLIES])


@pytest.mark.parametrize("by_base_url", [False, True], ids=["proxy", "base URL"])
def test_a_greeting_byte_by_byte(stage: Stage, by_base_url: bool) -> None:
    """An agent's TLS is known for what it is however little of it comes at first."""
    conversation = Conversation(ASKS[:1], by_base_url=by_base_url)
    _, whole = stage.have(conversation, Way.WHOLE, SEED)
    _, slow = stage.have(conversation, Way.SLOWLY, SEED)
    assert (slow.heard, slow.ended) == (whole.heard, whole.ended)


CALM = [reply for reply in REPLIES if not reply.stray]
# An example that fails names its seed; to make it smaller would take minutes of waiting.
ONCE = [Phase.explicit, Phase.reuse, Phase.generate]
SOME = settings(max_examples=200 if WHOLE else 25, phases=ONCE, derandomize=not WHOLE)


@SOME
@given(
    st.lists(st.sampled_from(ASKS), min_size=1, max_size=3),
    st.lists(st.sampled_from(CALM), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1 << 30),
)
def test_conversations(
    stage: Stage,
    asks: list[Ask],
    replies: list[Reply],
    by_base_url: bool,
    at_once: bool,
    seed: int,
) -> None:
    """So do several calls on one connection, one after the other or all at once."""
    conversation = Conversation(tuple(asks), tuple(replies), by_base_url, at_once)
    found = difference(stage, conversation, seed, ways_of(seed))
    assert not found, found
