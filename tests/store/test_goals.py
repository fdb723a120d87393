"""Goals: who may work for them, how they move, and that no race overspends them."""

import json
import multiprocessing
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.errors import GoalClosedError, GoalError
from interlock.store import Database
from interlock.store.goals import UNLIMITED, Goal, Goals, Status, settle, spend

NOW = 1_000.0
GOAL = Goal("g1")


class Book:
    """The audit of these tests: what was recorded, in order."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Mapping[str, Any]]] = []

    def __call__(
        self, connection: sqlite3.Connection, action: str, details: Mapping[str, Any]
    ) -> None:
        """Take a row; outside a transaction nothing may change."""
        assert connection.in_transaction
        self.rows.append((action, details))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "home" / "interlock.db") as database:
        yield database


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def goals(database: Database, book: Book) -> Goals:
    return Goals(database, book)


STANDINGS = [
    pytest.param(GOAL, Status.ACTIVE, id="a goal without limits"),
    pytest.param(replace(GOAL, status=Status.DRAFT), Status.DRAFT, id="a draft"),
    pytest.param(replace(GOAL, status=Status.PAUSED), Status.PAUSED, id="a paused goal"),
    pytest.param(replace(GOAL, starts_at=NOW), Status.ACTIVE, id="in its first moment"),
    pytest.param(replace(GOAL, starts_at=NOW + 1), Status.NOT_YET, id="before it starts"),
    pytest.param(replace(GOAL, expires_at=NOW + 1), Status.ACTIVE, id="in its last second"),
    pytest.param(replace(GOAL, expires_at=NOW), Status.EXPIRED, id="when it ends"),
    pytest.param(replace(GOAL, agents=frozenset({"a1", "a2"})), Status.ACTIVE, id="its agent"),
    pytest.param(replace(GOAL, agents=frozenset({"A1"})), Status.FOREIGN, id="another's goal"),
    pytest.param(replace(GOAL, actions=frozenset({"chat"})), Status.ACTIVE, id="its action"),
    pytest.param(replace(GOAL, actions=frozenset({"embed"})), Status.FOREIGN, id="another action"),
    pytest.param(replace(GOAL, max_actions=3, used_actions=2), Status.ACTIVE, id="one left"),
    pytest.param(replace(GOAL, max_actions=3, used_actions=3), Status.EXHAUSTED, id="none left"),
    pytest.param(replace(GOAL, max_tokens=9, used_tokens=9), Status.EXHAUSTED, id="no tokens"),
    pytest.param(
        replace(GOAL, max_cost_usd=0.5, used_cost_usd=0.75), Status.EXHAUSTED, id="no money"
    ),
]


@pytest.mark.parametrize(("goal", "expected"), STANDINGS)
def test_a_goal_stands_in_one_way(goal: Goal, expected: Status) -> None:
    """Only what is Active lets an action through."""
    assert goal.standing("a1", "chat", NOW) is expected


@pytest.mark.parametrize(
    ("goal", "left"),
    [
        pytest.param(GOAL, UNLIMITED, id="no limit is a big number"),
        pytest.param(replace(GOAL, max_actions=3, used_actions=2), 1, id="one of three"),
        pytest.param(replace(GOAL, max_actions=3, used_actions=5), 0, id="never negative"),
    ],
)
def test_a_goal_says_what_is_left(goal: Goal, left: int) -> None:
    """The number that policies see fits the whole numbers of JSON."""
    assert goal.actions_left == left


class TestChanges:
    """Every change keeps the rules and is recorded with before and after."""

    def test_what_is_added_can_be_read(self, goals: Goals, book: Book) -> None:
        """All fields come back; the row of the audit holds them."""
        goal = Goal(
            "g1", "sum up", "ada", frozenset({"a1"}), frozenset({"chat"}), Status.DRAFT, 1.0, 2.0
        )
        goals.add(goal)
        goals.add(replace(GOAL, id="g0", max_actions=1, max_tokens=2, max_cost_usd=0.5))
        assert goals.get("g1") == goal
        assert [each.id for each in goals.all()] == ["g0", "g1"]
        assert goals.get("g2") is None
        assert book.rows[0] == ("goal.add", {"goal": "g1", "after": goal.record})

    def test_an_id_is_given_once(self, goals: Goals, book: Book) -> None:
        """A second goal of that name is refused and changes nothing."""
        goals.add(GOAL)
        with pytest.raises(GoalError, match="already"):
            goals.add(replace(GOAL, title="other"))
        assert goals.get("g1") == GOAL
        assert len(book.rows) == 1

    @pytest.mark.parametrize(
        "goal",
        [
            pytest.param(replace(GOAL, id=""), id="no id"),
            pytest.param(replace(GOAL, id="a b"), id="a space in the id"),
            pytest.param(replace(GOAL, id="a" * 129), id="an endless id"),
            pytest.param(replace(GOAL, status=Status.COMPLETED), id="over before it began"),
            pytest.param(replace(GOAL, status=Status.EXPIRED), id="a status that is computed"),
            pytest.param(replace(GOAL, starts_at=5.0, expires_at=5.0), id="no time at all"),
            pytest.param(replace(GOAL, expires_at=float("nan")), id="an end that is no number"),
            pytest.param(replace(GOAL, max_actions=0), id="no action at all"),
            pytest.param(replace(GOAL, max_tokens=-1), id="fewer than none"),
            pytest.param(replace(GOAL, max_actions=UNLIMITED + 1), id="beyond all counting"),
            pytest.param(replace(GOAL, max_cost_usd=float("nan")), id="a cost that is no number"),
            pytest.param(replace(GOAL, max_cost_usd=float("inf")), id="a cost without end"),
        ],
    )
    def test_a_goal_that_is_none_is_refused(self, goals: Goals, goal: Goal) -> None:
        """Nothing of it is stored."""
        with pytest.raises(GoalError):
            goals.add(goal)
        assert goals.all() == []

    @pytest.mark.parametrize(
        "way",
        [
            pytest.param((Status.DRAFT, Status.ACTIVE, Status.COMPLETED), id="as it should go"),
            pytest.param((Status.DRAFT, Status.CANCELLED), id="never begun"),
            pytest.param((Status.ACTIVE, Status.PAUSED, Status.ACTIVE), id="there and back"),
            pytest.param((Status.ACTIVE, Status.PAUSED, Status.COMPLETED), id="done in a pause"),
            pytest.param((Status.ACTIVE, Status.PAUSED, Status.CANCELLED), id="given up in one"),
            pytest.param((Status.ACTIVE, Status.CANCELLED), id="given up"),
        ],
    )
    def test_a_goal_moves(self, goals: Goals, book: Book, way: tuple[Status, ...]) -> None:
        """Each step is answered, stored and recorded with its reason."""
        goals.add(replace(GOAL, status=way[0]))
        for before, after in pairwise(way):
            assert goals.set_status("g1", after, "because") == goals.get("g1")
            assert goals.all()[0].status is after
            change = {"goal": "g1", "before": before, "after": after, "reason": "because"}
            assert book.rows[-1] == ("goal.status", change)

    @pytest.mark.parametrize(
        "way",
        [
            pytest.param((Status.ACTIVE, Status.DRAFT), id="back to a draft"),
            pytest.param((Status.ACTIVE, Status.ACTIVE), id="nowhere"),
            pytest.param((Status.DRAFT, Status.PAUSED), id="pause what has not begun"),
            pytest.param((Status.DRAFT, Status.COMPLETED), id="complete what has not begun"),
            pytest.param((Status.ACTIVE, Status.COMPLETED, Status.ACTIVE), id="back from done"),
            pytest.param((Status.ACTIVE, Status.CANCELLED, Status.ACTIVE), id="back from given up"),
            pytest.param((Status.ACTIVE, Status.EXHAUSTED), id="to what is computed"),
        ],
    )
    def test_a_goal_does_not_move_otherwise(self, goals: Goals, way: tuple[Status, ...]) -> None:
        """A move that the table does not have is refused."""
        goals.add(replace(GOAL, status=way[0]))
        for step in way[1:-1]:
            goals.set_status("g1", step)
        with pytest.raises(GoalError, match="cannot become"):
            goals.set_status("g1", way[-1])

    def test_what_does_not_exist_cannot_change(self, goals: Goals) -> None:
        """An unknown id is named."""
        with pytest.raises(GoalError, match="no goal 'g2'"):
            goals.set_status("g2", Status.ACTIVE)
        with pytest.raises(GoalError, match="no goal 'g2'"):
            goals.extend("g2", max_actions=1)

    def test_more_brings_a_goal_back_to_life(self, goals: Goals, book: Book) -> None:
        """Expired and Exhausted are computed: more time and more actions undo them."""
        goals.add(replace(GOAL, expires_at=NOW - 1, max_actions=1))
        extended = goals.extend("g1", expires_at=NOW + 1, max_actions=2)
        assert extended == goals.get("g1")
        assert extended.state(NOW) is Status.ACTIVE
        before = {"expires_at": NOW - 1, "max_actions": 1}
        after = {"expires_at": NOW + 1, "max_actions": 2}
        assert book.rows[-1] == ("goal.extend", {"goal": "g1", "before": before, "after": after})

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            pytest.param({}, "say what", id="nothing"),
            pytest.param({"max_actions": 9}, "only grow", id="less"),
            pytest.param({"max_actions": 10}, "only grow", id="the same"),
            pytest.param({"expires_at": NOW - 1}, "only grow", id="an earlier end"),
            pytest.param({"max_tokens": 5}, "no max tokens", id="a limit where there was none"),
            pytest.param({"max_actions": UNLIMITED + 1}, "at most", id="beyond all counting"),
        ],
    )
    def test_extending_is_never_less(self, goals: Goals, more: dict[str, Any], words: str) -> None:
        """A slip of the pen does not take from a goal what it has."""
        goals.add(replace(GOAL, expires_at=NOW, max_actions=10))
        with pytest.raises(GoalError, match=words):
            goals.extend("g1", **more)
        assert goals.get("g1") == replace(GOAL, expires_at=NOW, max_actions=10)

    def test_what_is_final_is_not_extended(self, goals: Goals) -> None:
        """A completed goal stays as it was."""
        goals.add(replace(GOAL, max_actions=1))
        goals.set_status("g1", Status.COMPLETED)
        with pytest.raises(GoalError, match="final"):
            goals.extend("g1", max_actions=2)


class TestSpending:
    """An action is counted when the goal lets it through, and only then."""

    def test_an_action_is_counted(self, database: Database, goals: Goals) -> None:
        """One update, one more; the last one exhausts it."""
        goals.add(replace(GOAL, max_actions=2))
        for used in (1, 2):
            database.write(lambda c: spend(c, "g1", "a1", "chat", NOW))
            assert goals.all()[0].used_actions == used
        with pytest.raises(GoalClosedError, match="Exhausted") as refused:
            database.write(lambda c: spend(c, "g1", "a1", "chat", NOW))
        assert refused.value.status == "Exhausted"

    def test_an_unknown_goal_lets_nothing_through(self, database: Database) -> None:
        """There is nothing to count on."""
        with pytest.raises(GoalClosedError) as refused:
            database.write(lambda c: spend(c, "g2", "a1", "chat", NOW))
        assert refused.value.status == Status.UNKNOWN

    def test_a_decision_that_fails_spends_nothing(self, database: Database, goals: Goals) -> None:
        """The counter moves with the transaction that it is part of."""
        goals.add(GOAL)

        def work(connection: sqlite3.Connection) -> None:
            spend(connection, "g1", "a1", "chat", NOW)
            raise KeyError("on purpose")

        with pytest.raises(KeyError):
            database.write(work)
        assert goals.get("g1") == GOAL

    def test_an_outcome_uses_tokens_and_money(self, database: Database, goals: Goals) -> None:
        """They add up, end the goal at its limit, and an unknown cost adds nothing."""
        goals.add(replace(GOAL, max_tokens=100))
        database.write(lambda c: settle(c, "g1", 60, 0.25))
        database.write(lambda c: settle(c, "g1", 60, None))
        goal = goals.all()[0]
        assert (goal.used_tokens, goal.used_cost_usd) == (120, 0.25)
        with pytest.raises(GoalClosedError, match="Exhausted"):
            database.write(lambda c: spend(c, "g1", "a1", "chat", NOW))

    def test_processes_that_race_spend_to_the_limit(self, database: Database, goals: Goals) -> None:
        """A thousand calls over four processes; a hundred get through."""
        goals.add(replace(GOAL, max_actions=100))
        with multiprocessing.get_context("spawn").Pool(4) as pool:
            passed = pool.map(_spend_many, [database.path] * 4)
        assert sum(passed) == 100
        assert goals.all()[0].used_actions == 100


def _spend_many(path: Path) -> int:
    with Database(path) as database:
        tries = [database.write(lambda c: _try(c, agent="a1", action="chat")) for _ in range(250)]
    assert set(tries) <= {Status.ACTIVE, Status.EXHAUSTED}
    return tries.count(Status.ACTIVE)


def _try(connection: sqlite3.Connection, agent: str, action: str) -> str:
    """Spend one action, and say how the goal stood."""
    try:
        spend(connection, "g1", agent, action, NOW)
    except GoalClosedError as e:
        return e.status
    return Status.ACTIVE


names = st.frozensets(st.sampled_from(["a1", "a2", 'o"x', "chat", "embed"]), max_size=2)
times = st.none() | st.sampled_from([NOW - 1, NOW, NOW + 1])
counts = st.integers(0, 2)
goals_of_any_kind = st.builds(
    Goal,
    id=st.just("g1"),
    agents=names,
    actions=names,
    status=st.sampled_from([*Status][:5]),
    starts_at=times,
    expires_at=times,
    max_actions=st.none() | counts,
    max_tokens=st.none() | counts,
    max_cost_usd=st.none() | counts.map(float),
    used_actions=counts,
    used_tokens=counts,
    used_cost_usd=counts.map(float),
)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A connection of our own, to put goals in that nobody could add."""
    path = tmp_path_factory.mktemp("goals") / "interlock.db"
    Database(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("pragma synchronous = off")
    yield connection
    connection.close()


@settings(max_examples=300, deadline=None)
@given(goal=goals_of_any_kind, agent=st.sampled_from(["a1", 'o"x']), action=st.just("chat"))
def test_spending_agrees_with_standing(
    connection: sqlite3.Connection, goal: Goal, agent: str, action: str
) -> None:
    """The conditions of the update are those that the decision looked at."""
    _put(connection, goal)
    assert _try(connection, agent, action) == goal.standing(agent, action, NOW)


def _put(connection: sqlite3.Connection, goal: Goal) -> None:
    connection.execute("delete from goals")
    row = goal.record | {"created_at": 0.0}
    row |= {name: json.dumps(row[name]) for name in ("agents", "actions")}
    columns, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(f"insert into goals ({columns}) values ({marks})", row)  # noqa: S608
