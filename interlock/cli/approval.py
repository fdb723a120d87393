"""`interlock approval`: the calls that wait for a person to say yes or no."""

import getpass
import time
from typing import Annotated, Any

import typer

from interlock.cli.home import Records, changing, reading, settings_of
from interlock.cli.printing import Json, moment, say, say_fields, say_json, say_table
from interlock.cli.words import parse_text, typed
from interlock.errors import ApprovalError
from interlock.installation import Installation
from interlock.store.approvals import Approval, Approvals

app = typer.Typer(help="Approvals: the calls that wait for a person to say yes or no.")

MOST = 1000
COLUMNS = (
    *("id", "status", "agent", "action", "resource", "call"),
    *("expires", "answered by", "reason"),
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The approval's id.")]
Reason = Annotated[
    str, typer.Option(metavar="TEXT", parser=typed(parse_text), help="Why, for the ledger.")
]


@app.command("list")
def list_(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help=f"The newest {MOST}, however they ended.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the calls that wait for an answer."""
    with reading(settings_of(context)) as records:
        approvals = _approvals(records)
        found = approvals.all(MOST) if everything else approvals.pending(time.time())
    if as_json:
        for approval in found:
            say_json(_public(approval))
        return
    say_table(COLUMNS, map(_row, found))


@app.command()
def show(context: typer.Context, approval_id: Id, as_json: Json = False) -> None:
    """Show one approval: what was asked, for which request, and the answer."""
    with reading(settings_of(context)) as records:
        approval = _approvals(records).get(approval_id)
    if approval is None:
        raise ApprovalError(f"there is no approval {approval_id!r}")
    if as_json:
        say_json(_public(approval))
        return
    say_fields(_fields(approval))


@app.command()
def approve(
    context: typer.Context, approval_id: Id, reason: Reason = "", as_json: Json = False
) -> None:
    """Let a waiting call go on: this one request, once, until the approval expires."""
    _decide(context, approval_id, True, reason, as_json)


@app.command()
def deny(
    context: typer.Context, approval_id: Id, reason: Reason = "", as_json: Json = False
) -> None:
    """Refuse a waiting call for good."""
    _decide(context, approval_id, False, reason, as_json)


def _decide(
    context: typer.Context, approval_id: str, approved: bool, reason: str, as_json: bool
) -> None:
    with changing(settings_of(context)) as home:
        approval = _approvals(home).decide(approval_id, approved, _person(), reason, time.time())
    if as_json:
        say_json(_public(approval))
        return
    what = f"{approval.agent}, {approval.action} on {approval.resource}"
    say(f"Approval {approval.id} is {approval.status}: {what}.")


def _approvals(home: Installation | Records) -> Approvals:
    return Approvals(home.database, home.ledger.admin)


def _person() -> str:
    """Who is at the terminal; empty when the system does not say."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _public(approval: Approval) -> dict[str, Any]:
    """The approval as programs read it; its status is the one that holds now."""
    return approval.record | {"status": approval.state(time.time())}


def _row(approval: Approval) -> tuple[Any, ...]:
    return (
        approval.id,
        approval.state(time.time()),
        approval.agent,
        approval.action,
        approval.resource,
        f"{approval.told.get('method', '')} {approval.told.get('path', '')}".strip() or "-",
        moment(approval.expires_at),
        approval.decided_by or "-",
        approval.reason,
    )


def _fields(approval: Approval) -> list[tuple[str, Any]]:
    return [
        ("id", approval.id),
        ("status", approval.state(time.time())),
        ("decision", approval.decision_id),
        ("agent", approval.agent),
        ("action", approval.action),
        ("resource", approval.resource),
        *_told(approval),
        ("request", approval.request_digest),
        ("asked", moment(approval.asked_at)),
        ("expires", moment(approval.expires_at)),
        ("answered", _moment(approval.decided_at)),
        ("answered by", approval.decided_by or "-"),
        ("reason", approval.reason or "-"),
        ("spent", _moment(approval.spent_at)),
    ]


def _told(approval: Approval) -> list[tuple[str, Any]]:
    """What the call is, and why it waits."""
    told = approval.told
    url = f"{told.get('method', '-')} {told.get('authority', '')}{told.get('path', '')}"
    policies = "; ".join(f"{id_}: {said}" if said else id_ for id_, said in told.get("reasons", ()))
    return [
        ("call", url),
        ("body bytes", told.get("body_bytes", 0)),
        ("model", told.get("model", "-")),
        ("intent", told.get("intent", "-")),
        ("goal", told.get("goal", "-")),
        ("asked for by", policies or "-"),
    ]


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else moment(seconds)
