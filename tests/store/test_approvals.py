"""Approvals: asked once, answered once, spent once, and only for the request that asked."""

import multiprocessing
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import ApprovalError, StoreError
from interlock.store import Database
from interlock.store.approvals import Approval, Approvals, Status, ask, spend, time_out

NOW = 1_000.0
APPROVAL = Approval(
    "apr_1", "dec_1", "a1", "chat", 'Model::"gpt-4o"', "ab12", asked_at=NOW, expires_at=NOW + 60
)
REQUEST = {
    "agent": "a1",
    "action": "chat",
    "resource": 'Model::"gpt-4o"',
    "request_digest": "ab12",
}
OTHER_REQUESTS = [
    pytest.param({"agent": "a2"}, id="another agent"),
    pytest.param({"agent": "A1"}, id="an agent in capitals"),
    pytest.param({"action": "embed"}, id="another action"),
    pytest.param({"resource": 'Model::"gpt-5"'}, id="another resource"),
    pytest.param({"request_digest": "ab13"}, id="another request"),
    pytest.param({"request_digest": ""}, id="no request"),
]


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
def approvals(database: Database, book: Book) -> Approvals:
    """One call waits already."""
    _ask(database, APPROVAL)
    return Approvals(database, book)


@pytest.mark.parametrize(
    ("approval", "now", "expected"),
    [
        pytest.param(APPROVAL, NOW + 59, Status.PENDING, id="in its last second"),
        pytest.param(APPROVAL, NOW + 60, Status.EXPIRED, id="when nobody answered"),
        pytest.param(
            replace(APPROVAL, status=Status.APPROVED), NOW + 59, Status.APPROVED, id="permitted"
        ),
        pytest.param(
            replace(APPROVAL, status=Status.APPROVED), NOW + 60, Status.EXPIRED, id="too late"
        ),
        pytest.param(
            replace(APPROVAL, status=Status.APPROVED, spent_at=NOW + 1),
            NOW + 60,
            Status.APPROVED,
            id="spent in time",
        ),
        pytest.param(
            replace(APPROVAL, status=Status.DENIED), NOW + 60, Status.DENIED, id="denied for good"
        ),
        pytest.param(
            replace(APPROVAL, status=Status.TIMED_OUT), NOW, Status.TIMED_OUT, id="timed out"
        ),
    ],
)
def test_an_approval_stands_in_one_way(approval: Approval, now: float, expected: Status) -> None:
    """Only what is still open can expire."""
    assert approval.state(now) is expected


@pytest.mark.parametrize("other", OTHER_REQUESTS)
def test_an_approval_fits_one_request(other: dict[str, str]) -> None:
    """Every part of the request counts."""
    assert APPROVAL.fits(**REQUEST)
    assert not APPROVAL.fits(**REQUEST | other)


class TestAsking:
    """A question is stored as it was asked, and waits."""

    def test_what_is_asked_can_be_read(self, approvals: Approvals) -> None:
        """All fields come back; an unknown id is None."""
        assert approvals.get("apr_1") == APPROVAL
        assert approvals.get("apr_2") is None

    def test_asking_again_changes_nothing(self, database: Database, approvals: Approvals) -> None:
        """Neither what was asked nor what was answered."""
        approved = approvals.decide("apr_1", True, "ada", "fine", NOW)
        _ask(database, replace(APPROVAL, action="embed"))
        assert approvals.get("apr_1") == approved

    def test_nobody_asks_and_answers_at_once(
        self, database: Database, approvals: Approvals
    ) -> None:
        """A question waits, whatever the value says about its answer."""
        answered = replace(APPROVAL, id="apr_2", status=Status.APPROVED, decided_by="a1")
        _ask(database, answered)
        assert approvals.get("apr_2") == replace(APPROVAL, id="apr_2")

    @pytest.mark.parametrize("name", ["id", "agent", "action", "resource", "request_digest"])
    def test_nobody_asks_for_anything_at_all(
        self, database: Database, approvals: Approvals, name: str
    ) -> None:
        """An approval that leaves open what it is for is refused."""
        empty: dict[str, Any] = {"id": "apr_2"} | {name: ""}
        with pytest.raises(ApprovalError, match="needs"):
            _ask(database, replace(APPROVAL, **empty))
        assert approvals.all(9) == [APPROVAL]

    def test_a_question_without_an_end_is_not_stored(self, database: Database) -> None:
        """Not a number is no time; the transaction fails, and with it the call."""
        with pytest.raises(StoreError, match="expires_at"):
            _ask(database, replace(APPROVAL, expires_at=float("nan")))

    def test_a_question_wakes_no_snapshot(self, database: Database, approvals: Approvals) -> None:
        """The change number stays where it is."""
        before = database.change
        approvals.decide("apr_1", True, "ada", "", NOW)
        assert database.change == before


class TestListing:
    """People see what waits, and on request everything."""

    def test_what_waits_is_pending_and_in_time(
        self, database: Database, approvals: Approvals
    ) -> None:
        """Answered and expired ones are gone; the oldest comes first."""
        late = replace(APPROVAL, id="apr_0", asked_at=NOW + 1, expires_at=NOW + 61)
        answered = replace(APPROVAL, id="apr_2")
        for approval in (late, answered):
            _ask(database, approval)
        approvals.decide("apr_2", False, "ada", "", NOW)
        assert approvals.pending(NOW + 1) == [APPROVAL, late]
        assert approvals.pending(NOW + 60) == [late]

    def test_all_are_the_newest(self, database: Database, approvals: Approvals) -> None:
        """As many as one asks for, oldest first."""
        for number in (2, 3):
            _ask(database, replace(APPROVAL, id=f"apr_{number}", asked_at=NOW + number))
        assert [approval.id for approval in approvals.all(2)] == ["apr_2", "apr_3"]

    def test_a_row_that_is_not_ours_is_named(
        self, database: Database, approvals: Approvals
    ) -> None:
        """A status that nobody wrote is an error with the id in it."""
        database.write(lambda c: c.execute("update approvals set status = 'Sure'"))
        with pytest.raises(StoreError, match="apr_1"):
            approvals.get("apr_1")


class TestAnswering:
    """A person answers once, in time."""

    @pytest.mark.parametrize(
        ("approved", "status"),
        [
            pytest.param(True, Status.APPROVED, id="yes"),
            pytest.param(False, Status.DENIED, id="no"),
        ],
    )
    def test_an_answer_is_stored_and_recorded(
        self, approvals: Approvals, book: Book, approved: bool, status: Status
    ) -> None:
        """Who, why and when; before and after stand in the ledger."""
        answer = approvals.decide("apr_1", approved, "ada", "because", NOW + 1)
        assert answer == approvals.get("apr_1")
        assert answer == replace(
            APPROVAL, status=status, decided_by="ada", reason="because", decided_at=NOW + 1
        )
        change = {"before": "Pending", "after": status, "reason": "because"}
        about = {"agent": APPROVAL.agent, "resource": APPROVAL.resource}
        what = {"approval": "apr_1", "decision": "dec_1", "by": "ada"} | about
        assert book.rows == [("approval.decide", what | change)]

    @pytest.mark.parametrize("approved", [True, False])
    def test_the_first_answer_is_final(
        self, approvals: Approvals, book: Book, approved: bool
    ) -> None:
        """A second one changes nothing, the same or another."""
        answer = approvals.decide("apr_1", approved, "ada", "", NOW)
        for again in (True, False):
            with pytest.raises(ApprovalError, match=f"is {answer.status}, no longer Pending"):
                approvals.decide("apr_1", again, "bob", "", NOW)
        assert approvals.get("apr_1") == answer
        assert len(book.rows) == 1

    def test_an_answer_can_come_too_late(
        self, database: Database, approvals: Approvals, book: Book
    ) -> None:
        """After the end, or after the call gave up."""
        with pytest.raises(ApprovalError, match="Expired"):
            approvals.decide("apr_1", True, "ada", "", NOW + 60)
        database.write(lambda c: time_out(c, "apr_1", NOW + 1))
        with pytest.raises(ApprovalError, match="TimedOut"):
            approvals.decide("apr_1", True, "ada", "", NOW + 2)
        assert book.rows == []

    def test_an_unknown_id_is_named(self, approvals: Approvals) -> None:
        """There is nothing to answer."""
        with pytest.raises(ApprovalError, match="no approval 'apr_2'"):
            approvals.decide("apr_2", True, "ada", "", NOW)


class TestTimingOut:
    """A call does not wait for ever."""

    def test_what_waited_timed_out(self, database: Database, approvals: Approvals) -> None:
        """It is an outcome of its own, with its time."""
        ended = database.write(lambda c: time_out(c, "apr_1", NOW + 60))
        assert ended == replace(APPROVAL, status=Status.TIMED_OUT, decided_at=NOW + 60)
        assert approvals.get("apr_1") == ended

    @pytest.mark.parametrize("approved", [True, False])
    def test_a_person_may_be_faster(
        self, database: Database, approvals: Approvals, approved: bool
    ) -> None:
        """The call learns the answer that was given in its last moment."""
        answer = approvals.decide("apr_1", approved, "ada", "", NOW)
        assert database.write(lambda c: time_out(c, "apr_1", NOW + 60)) == answer

    def test_an_unknown_id_is_named(self, database: Database) -> None:
        """There is nothing to wait for."""
        with pytest.raises(ApprovalError, match="no approval 'apr_2'"):
            database.write(lambda c: time_out(c, "apr_2", NOW))


class TestSpending:
    """What was approved happens once."""

    def test_an_approval_is_spent_once(self, database: Database, approvals: Approvals) -> None:
        """The second time it is refused."""
        approved = approvals.decide("apr_1", True, "ada", "", NOW)
        database.write(lambda c: spend(c, "apr_1", **REQUEST, now=NOW + 1))
        assert approvals.get("apr_1") == replace(approved, spent_at=NOW + 1)
        with pytest.raises(ApprovalError, match="spent already"):
            database.write(lambda c: spend(c, "apr_1", **REQUEST, now=NOW + 2))

    @pytest.mark.parametrize("other", OTHER_REQUESTS)
    def test_it_never_fits_another_request(
        self, database: Database, approvals: Approvals, other: dict[str, str]
    ) -> None:
        """And it stays unspent for its own."""
        approved = approvals.decide("apr_1", True, "ada", "", NOW)
        with pytest.raises(ApprovalError, match="another request"):
            database.write(lambda c: spend(c, "apr_1", **REQUEST | other, now=NOW))
        assert approvals.get("apr_1") == approved

    @pytest.mark.parametrize(
        ("approved", "now", "said"),
        [
            pytest.param(None, NOW, "is Pending", id="nobody answered yet"),
            pytest.param(None, NOW + 60, "is Expired", id="nobody answered in time"),
            pytest.param(False, NOW, "is Denied", id="the answer was no"),
            pytest.param(True, NOW + 60, "is Expired", id="yes, but that was long ago"),
        ],
    )
    def test_only_what_is_approved_and_in_time_is_spent(
        self,
        database: Database,
        approvals: Approvals,
        approved: bool | None,
        now: float,
        said: str,
    ) -> None:
        """Anything else says how it stands."""
        if approved is not None:
            approvals.decide("apr_1", approved, "ada", "", NOW)
        before = approvals.get("apr_1")
        with pytest.raises(ApprovalError, match=said):
            database.write(lambda c: spend(c, "apr_1", **REQUEST, now=now))
        assert approvals.get("apr_1") == before

    def test_what_timed_out_is_not_spent(self, database: Database, approvals: Approvals) -> None:
        """Not even in time."""
        database.write(lambda c: time_out(c, "apr_1", NOW))
        with pytest.raises(ApprovalError, match="is TimedOut"):
            database.write(lambda c: spend(c, "apr_1", **REQUEST, now=NOW))

    def test_an_unknown_approval_lets_nothing_through(self, database: Database) -> None:
        """An agent that invents an id gains nothing."""
        with pytest.raises(ApprovalError, match="no approval 'apr_2'"):
            database.write(lambda c: spend(c, "apr_2", **REQUEST, now=NOW))

    def test_a_decision_that_fails_spends_nothing(
        self, database: Database, approvals: Approvals
    ) -> None:
        """The approval moves with the transaction that it is part of."""
        approved = approvals.decide("apr_1", True, "ada", "", NOW)

        def work(connection: sqlite3.Connection) -> None:
            spend(connection, "apr_1", **REQUEST, now=NOW)
            raise KeyError("on purpose")

        with pytest.raises(KeyError):
            database.write(work)
        assert approvals.get("apr_1") == approved

    def test_of_processes_that_race_one_wins(
        self, database: Database, approvals: Approvals
    ) -> None:
        """Four processes try to spend the same fifty; each of the fifty is spent once."""
        ids = [f"apr_{number}" for number in range(1, 51)]
        for approval_id in ids:
            _ask(database, replace(APPROVAL, id=approval_id))
            approvals.decide(approval_id, True, "ada", "", NOW)
        context = multiprocessing.get_context("spawn")
        with context.Manager() as manager, context.Pool(4) as pool:
            together = manager.Barrier(4)
            won = pool.starmap(_spend_all, [(database.path, ids, together)] * 4, chunksize=1)
        assert sorted(chain.from_iterable(won)) == sorted(ids)


def _ask(database: Database, approval: Approval) -> None:
    database.write(lambda connection: ask(connection, approval))


def _spend_all(path: Path, ids: list[str], together: Any) -> list[str]:
    """Spend what is left to spend, and say what that was."""
    with Database(path) as database:
        together.wait(30)
        return [approval_id for approval_id in ids if _spent(database, approval_id)]


def _spent(database: Database, approval_id: str) -> bool:
    try:
        database.write(lambda c: spend(c, approval_id, **REQUEST, now=NOW + 1))
    except ApprovalError as e:
        assert str(e).endswith("is spent already")  # noqa: PT017 - another reason is a failure
        return False
    return True
