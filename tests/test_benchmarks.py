"""The programs of benchmarks/ do what they say, at the smallest size; no figure is judged here."""

import contextlib
import os
import ssl
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import growth, peers, throughput
from benchmarks.axes import AXES, ENDLESS, MB, Axis, agents, held, long_answer, long_request
from benchmarks.bench import CHAT_PATH, EVENTS_PATH, FULL, STOCK, Bench, Variant
from benchmarks.chart import Panel, svg
from benchmarks.frames import multiplexed
from benchmarks.load import Measured, Target, anew, connect, exchange, in_turn, keep_alive
from benchmarks.machine import files_of
from benchmarks.past import fill
from benchmarks.peer.installed import PeerMissingError
from benchmarks.peer.running import start
from benchmarks.report import Goal
from benchmarks.rounds import compare, grid, measure
from interlock.store import Database

SIZES = ("1024", "1048576", "2097152")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """An upstream, shared."""
    with Bench(tmp_path_factory.mktemp("bench")) as running:
        yield running


@pytest.fixture(scope="module")
def door(bench: Bench) -> Variant:
    """A front door in enforce mode, shared: of a few agents, over a ledger that has rows."""
    with Database(bench.folder / "home-8" / "interlock.db") as database:
        fill(database, 100)
    return agents(bench, 8)


def trust(variant: Variant) -> ssl.SSLContext:
    """What its clients trust."""
    return ssl.create_default_context(cafile=variant.target.ca)


def with_key(variant: Variant, bench: Bench, key: str) -> Variant:
    """The same way with a key of the caller's own."""
    return variant.asking(bench.ask(CHAT_PATH, Authorization=f"Bearer {key}"))


def enough(measure: Callable[[float], Measured], least: int = 1) -> Measured:
    """What is measured in a moment, or on a busy machine in as long as it takes."""
    for seconds in (0.2, 1.0, 5.0):
        if (measured := measure(seconds)).calls >= least:
            return measured
    return measure(20.0)


def test_the_upstream_answers_only_who_has_the_key(bench: Bench) -> None:
    """A way that put no key in would be measured as if it had, else."""
    straight = bench.straight()
    assert len(list(in_turn(straight.target, 2))) == 2
    wrong = with_key(straight, bench, "sk-wrong").target
    with pytest.raises(OSError, match="401"):
        list(in_turn(wrong, 1))


def test_frames_are_answered_by_frames(bench: Bench) -> None:
    """The client of HTTP/2 counts what the upstream of HTTP/2 answered, which wants the key too."""
    straight = bench.straight()
    measured = enough(lambda seconds: multiplexed(straight.framed(bench).target, 4, seconds), 5)
    assert measured.calls == len(measured.latencies) > 4
    with pytest.raises(OSError, match="began with"):
        multiplexed(with_key(straight, bench, "sk-wrong").framed(bench).target, 1, 0.2)


def test_every_way_leads_through_the_front_door(bench: Bench, door: Variant) -> None:
    """By CONNECT on kept and new connections, by base URL, by HTTP/2, and to a stream."""
    ways = [
        lambda seconds: keep_alive(door.target, 2, seconds),
        lambda seconds: anew(door.target, 1, seconds),
        lambda seconds: keep_alive(door.by_base_url().target, 2, seconds),
        lambda seconds: multiplexed(door.framed(bench).target, 2, seconds),
        lambda seconds: keep_alive(door.asking(bench.ask(EVENTS_PATH)).target, 1, seconds),
    ]
    assert all(enough(way).calls for way in ways)


def test_a_comparison_tells_ratios_and_what_is_added(bench: Bench, door: Variant) -> None:
    """Each variant beside the one that is named, and beside no proxy."""
    found = [bench.straight(), bench.stock(), door]
    upstream = bench.upstream.pid
    rows = compare(found, keep_alive, 2, 2, 0.3, upstream=upstream, than=STOCK)
    assert rows[STOCK]["rate_ratio"] == 1.0
    assert rows["straight"]["rate_ratio"] > 1.0
    assert rows[door.name]["p50_ms_added"] > 0.0
    assert rows[door.name]["cpu_ms"] > rows[door.name]["client_cpu_ms"] > 0.0
    assert [row[0] for row in grid("", rows).rows] == ["straight", STOCK, door.name]


def test_a_round_in_which_no_call_ended_is_a_longer_one(bench: Bench) -> None:
    """On a machine so busy a ratio would be one to nothing."""
    straight = bench.straight()

    def slow(target: Target, clients: int, seconds: float) -> Measured:
        return keep_alive(target, clients, seconds) if seconds > 0.1 else Measured(seconds)

    found = measure(straight, slow, 1, 0.05, os.getpid())
    assert found.rate > 0
    assert found.p50_ms > 0
    with pytest.raises(RuntimeError, match="no call ended"):
        measure(straight, lambda *_: Measured(1.0), 1, 40.0, os.getpid())


def test_several_agents_call(door: Variant) -> None:
    """Connections in turn prove other agents, the first and the last of all."""
    named = [door.target.of(number).credentials.partition(":")[0] for number in range(5)]
    assert named == ["bench-agent", "agent-000001", "agent-000003", "agent-000006", "bench-agent"]
    assert enough(lambda seconds: keep_alive(door.target, 4, seconds), 4).calls >= 4


def test_streams_are_held_open_while_others_call(bench: Bench, door: Variant) -> None:
    """None of them ends, on either side of the front door, and a call beside them is answered."""
    streaming = door.asking(bench.ask(CHAT_PATH, ENDLESS)).target
    before = files_of(door.pids)
    with held(streaming, 20):
        # Twice twenty, less what earlier calls had open when it was counted.
        assert files_of(door.pids) >= before + 20
        assert len(list(in_turn(door.target, 2))) == 2


@pytest.mark.parametrize(
    "ask", [pytest.param(long_request, id="up"), pytest.param(long_answer, id="down")]
)
def test_bodies_have_the_size_that_was_asked_for(
    ask: Callable[[Bench, int], bytes], bench: Bench, door: Variant
) -> None:
    """They pass the front door in many pieces."""
    request = ask(bench, MB)
    with contextlib.closing(connect(door.target, trust(door))) as sock:
        assert max(len(request), exchange(sock, request)) == pytest.approx(MB, abs=1000)


def test_growth_is_told_as_ratios(bench: Bench, door: Variant, tmp_path: Path) -> None:
    """The largest beside the smallest, with the memory of both."""

    def start(inner: Bench, size: int) -> Variant:
        return replace(inner.straight(), name=str(size), pids=(os.getpid(),))

    axis = Axis("bindings", (1, 2), start)
    rows = growth.grow(axis, axis.sizes, tmp_path, rounds=1, seconds=0.2)
    assert rows["1"]["cpu_ms_ratio"] == 1.0
    assert rows["2"]["peak"] >= rows["2"]["memory"] > 0
    assert {goal.limit for goal in growth.goals_of_axis(axis, rows)} == {growth.MOST}


def test_growth_by_size_is_told_by_the_megabyte(bench: Bench) -> None:
    """What a large call takes more than the smallest, by what it has more."""
    by_size = [replace(bench.straight(), name=name, pids=(os.getpid(),)) for name in SIZES]
    rows = growth.bodies(by_size, 1, bench.upstream.pid)
    assert rows[SIZES[0]]["p50_ms_per_mb"] == 0.0
    for one, cost in zip(rows.values(), (0.0, 2.0, 3.0), strict=True):
        one |= {"cpu_ms_per_mb": cost, "p50_ms_per_mb": 2 * cost}
    assert [goal.measured for goal in growth.goals_of_axis(AXES[-1], rows)] == [1.5, 1.5]


def test_a_call_during_a_change_is_watched(bench: Bench, door: Variant) -> None:
    """What changes is read again while calls go on."""
    assert 0.0 < growth.after_a_change(bench, door, 1) < 60_000.0


def test_a_peer_that_does_not_run_has_a_row_that_says_why(bench: Bench, tmp_path: Path) -> None:
    """Its last words."""

    def broken(_: Bench) -> Variant:
        with ExitStack() as stack:
            words = [sys.executable, "-c", "raise SystemExit('no such device')"]
            start(stack, tmp_path, words, {}).wait(lambda: False)
        raise AssertionError

    running, missing = peers.started([peers.Peer("theirs", broken, "nothing")], bench)
    assert running == []
    assert "no such device" in missing["theirs"]
    with pytest.raises(PeerMissingError):
        broken(bench)


def test_a_chart_draws_a_line_for_each_series_and_the_goal() -> None:
    """On a logarithmic scale, as well-formed SVG."""
    lines = {"CPU": [1.0, 1.2, 1.4], "p50 <ms>": [1.0, 1.0, 1.1]}
    drawn = ET.fromstring(  # noqa: S314 - ours
        svg(Panel("title", "policies", "times", [0, 10, 10_000], lines, True, 1.5))
    )
    points = [line.get("points", "") for line in drawn.iter(f"{SVG}polyline")]
    assert [len(one.split()) for one in points] == [3, 3]
    words = [text.text for text in drawn.iter(f"{SVG}text")]
    assert "goal 1.5" in words
    assert "p50 <ms>" in words
    lefts = [float(one.split(",")[0]) for one in points[0].split()]
    assert lefts[1] - lefts[0] == pytest.approx((lefts[2] - lefts[0]) / 4, abs=0.2)


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        pytest.param(Goal("", 1.5, 1.5), True, id="just at most"),
        pytest.param(Goal("", 1.6, 1.5), False, id="more than at most"),
        pytest.param(Goal("", 1.5, 1.5, at_least=True), True, id="just at least"),
        pytest.param(Goal("", 1.4, 1.5, at_least=True), False, id="less than at least"),
    ],
)
def test_a_goal_is_met_or_missed(goal: Goal, met: bool) -> None:
    """At its limit it is met."""
    assert goal.met is met


def test_the_goals_of_throughput_are_those_that_were_set() -> None:
    """A row that is renamed, or a ratio that is turned round, would change what is aimed at."""
    row = {"rate_ratio": 2.0, "p50_ms_ratio": 0.5, "p99_ms_ratio": 0.9, "cpu_ms": 1.0}
    rows = dict.fromkeys((FULL, throughput.SCRIPT, throughput.TWO), row)
    goals = throughput.goals({throughput.KEPT: rows, throughput.ALONE: rows})
    assert [goal.met for goal in goals] == [True, True, True, False, True]
