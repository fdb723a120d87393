"""Calls that a person has to permit: asked once, answered once, spent once, for one request."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from interlock.errors import ApprovalError, StoreError
from interlock.store.audit import Audit
from interlock.store.database import Database


class Status(StrEnum):
    """How an approval stands. The first four are stored, the last follows from time."""

    PENDING = "Pending"
    APPROVED = "Approved"
    DENIED = "Denied"
    TIMED_OUT = "TimedOut"

    EXPIRED = "Expired"


@dataclass(frozen=True, slots=True)
class Approval:
    """What one agent asked to do by one request, and what a person said to it.

    `request_digest` is the hex of the request's assertion. Times are epoch seconds; from
    `expires_at` on it can be neither answered nor spent. `told` is for whoever answers: method,
    path, why the agent says that it calls, and which policies ask.
    """

    id: str
    decision_id: str
    agent: str
    action: str
    resource: str
    request_digest: str
    asked_at: float
    expires_at: float
    status: Status = Status.PENDING
    decided_by: str = ""
    reason: str = ""
    decided_at: float | None = None
    spent_at: float | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    def state(self, now: float) -> Status:
        """How it stands; Approved and not spent lets its request through."""
        is_open = self.status in (Status.PENDING, Status.APPROVED) and self.spent_at is None
        return Status.EXPIRED if is_open and now >= self.expires_at else self.status

    def fits(self, agent: str, action: str, resource: str, request_digest: str) -> bool:
        """True for the one request that it was asked for."""
        asked = (self.agent, self.action, self.resource, self.request_digest)
        return asked == (agent, action, resource, request_digest)

    @property
    def record(self) -> dict[str, Any]:
        """The approval as JSON values."""
        return asdict(self)


class Approvals:
    """All approvals. Read row by row, not through a snapshot: a waiting call looks often."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def get(self, approval_id: str) -> Approval | None:
        """Answer an approval, or None; raises StoreError."""
        return self._database.read(lambda connection: _find(connection, approval_id))

    def answered(self, ids: Iterable[str]) -> set[str]:
        """Which of these wait for a person no longer; raises StoreError."""
        rows = self._database.rows(
            "select id from approvals where id in (select value from json_each(?)) "
            "and status <> 'Pending'",
            json.dumps(list(ids)),
        )
        return {row["id"] for row in rows}

    def pending(self, now: float) -> list[Approval]:
        """Those that a person can still answer, oldest first; raises StoreError."""
        rows = self._database.rows(
            "select * from approvals where status = 'Pending' and expires_at > ? "
            "order by asked_at, id",
            now,
        )
        return [_approval(row) for row in rows]

    def all(self, limit: int) -> list[Approval]:
        """The newest `limit`, oldest first, however they stand; raises StoreError."""
        rows = self._database.rows(
            "select * from (select * from approvals order by asked_at desc, id desc limit ?) "
            "order by asked_at, id",
            limit,
        )
        return [_approval(row) for row in rows]

    def decide(
        self, approval_id: str, approved: bool, by: str, reason: str, now: float
    ) -> Approval:
        """Say yes or no to what is pending and return it; raises ApprovalError for anything else.

        The first answer is final.
        """

        def work(connection: sqlite3.Connection) -> Approval:
            before = _require(connection, approval_id)
            if (state := before.state(now)) is not Status.PENDING:
                raise ApprovalError(f"approval {approval_id!r} is {state}, no longer Pending")
            status = Status.APPROVED if approved else Status.DENIED
            after = replace(before, status=status, decided_by=by, reason=reason, decided_at=now)
            connection.execute(
                "update approvals set status = :status, decided_by = :decided_by, "
                "reason = :reason, decided_at = :decided_at where id = :id",
                {"status": status, "decided_by": by, "reason": reason, "decided_at": now}
                | {"id": approval_id},
            )
            about = {"agent": before.agent, "resource": before.resource}
            what = {"approval": approval_id, "decision": before.decision_id, "by": by} | about
            change = {"before": before.status, "after": status, "reason": reason}
            self._audit(connection, "approval.decide", what | change)
            return after

        return self._database.write(work)


def ask(connection: sqlite3.Connection, approval: Approval) -> None:
    """Store a question in the caller's transaction, pending whatever the value says.

    Asking again under the same id changes nothing. Raises ApprovalError for an approval that
    leaves open what it is for.
    """
    bound_to = (approval.agent, approval.action, approval.resource, approval.request_digest)
    if not (approval.id and all(bound_to)):
        raise ApprovalError("an approval needs an id, an agent, an action, a resource, a request")
    connection.execute(
        "insert into approvals values (:id, :decision_id, :agent, :action, :resource, "
        ":request_digest, :asked_at, :expires_at, 'Pending', '', '', null, null, :told) "
        "on conflict (id) do nothing",
        approval.record | {"told": json.dumps(dict(approval.told))},
    )


def time_out(connection: sqlite3.Connection, approval_id: str, now: float) -> Approval:
    """Stop waiting for an answer, in the caller's transaction, and return how it ended.

    That is TimedOut, unless a person was faster. Raises ApprovalError for an unknown id.
    """
    connection.execute(
        "update approvals set status = 'TimedOut', decided_at = ? "
        "where id = ? and status = 'Pending'",
        [now, approval_id],
    )
    return _require(connection, approval_id)


def spend(
    connection: sqlite3.Connection,
    approval_id: str,
    agent: str,
    action: str,
    resource: str,
    request_digest: str,
    now: float,
) -> None:
    """Use an approval up for its request in the caller's transaction; raise ApprovalError.

    The row count of one conditional update decides, because check-then-update loses the race
    between processes. Its conditions are those of `Approval.state` and `Approval.fits`.
    """
    request = {
        "agent": agent,
        "action": action,
        "resource": resource,
        "request_digest": request_digest,
    }
    spent = connection.execute(
        "update approvals set spent_at = :now where id = :id and status = 'Approved' "
        "and expires_at > :now and spent_at is null and agent = :agent and action = :action "
        "and resource = :resource and request_digest = :request_digest",
        request | {"id": approval_id, "now": now},
    )
    if spent.rowcount != 1:
        approval = _require(connection, approval_id)
        raise ApprovalError(_why_not(approval, approval.fits(**request), now))


def _why_not(approval: Approval, fits: bool, now: float) -> str:
    """Why nothing was spent; whoever presents it for another request learns no more than that."""
    if not fits:
        return f"approval {approval.id!r} is for another request"
    if approval.spent_at is not None:
        return f"approval {approval.id!r} is spent already"
    return f"approval {approval.id!r} is {approval.state(now)}"


def _require(connection: sqlite3.Connection, approval_id: str) -> Approval:
    if approval := _find(connection, approval_id):
        return approval
    raise ApprovalError(f"there is no approval {approval_id!r}")


def _find(connection: sqlite3.Connection, approval_id: str) -> Approval | None:
    row = connection.execute("select * from approvals where id = ?", [approval_id]).fetchone()
    return _approval(row) if row else None


def _approval(row: sqlite3.Row) -> Approval:
    """A row as an approval; raises StoreError for one that we did not write."""
    values = {each.name: row[each.name] for each in fields(Approval)}
    try:
        told = json.loads(row["told"])
        if not isinstance(told, dict):
            raise ValueError("told is no object")
        return Approval(**values | {"status": Status(row["status"]), "told": told})
    except ValueError as e:
        raise StoreError(
            f"approval {row['id']!r}: the row was changed and cannot be read: {e}"
        ) from e
