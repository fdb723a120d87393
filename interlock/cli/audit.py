"""`interlock audit`: read the ledger, while it is being written, without touching it."""

import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import typer

from interlock.cli import attestation
from interlock.cli.event import say_event, story
from interlock.cli.home import Records, reading, settings_of
from interlock.cli.printing import Json, say_fields, say_json
from interlock.cli.words import parse_duration, typed
from interlock.errors import StoreError

app = typer.Typer(help="The ledger: what was decided, for whom, and why.")

FOLLOW_S = 0.25


@app.command()
def tail(
    context: typer.Context,
    number: Annotated[
        int,
        typer.Option("--number", "-n", metavar="N", min=1, max=100_000, help="How many events."),
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    as_json: Json = False,
) -> None:
    """Print the newest events, oldest first."""
    with reading(settings_of(context)) as records:
        events = records.ledger.tail(number)
        _say_all(events, as_json)
        if follow:
            _follow(records, max((event["seq"] for event in events), default=0), as_json)


@app.command()
def show(
    context: typer.Context,
    reference: Annotated[str, typer.Argument(metavar="ID", help="Of a decision or of an event.")],
    as_json: Json = False,
) -> None:
    """Tell the whole story of one decision: who, what, why, with which secret, and the outcome."""
    with reading(settings_of(context)) as records:
        events = records.ledger.of(reference)
        if not events:
            raise StoreError(f"the ledger has no decision or event {reference!r}")
        if decision_id := events[0]["decision_id"]:
            events = records.ledger.of(decision_id)
    if as_json:
        say_json({"id": reference, "decision_id": decision_id, "events": events})
        return
    say_fields(story(events))


@app.command()
def query(
    context: typer.Context,
    agent: Annotated[str, typer.Option(metavar="AGENT", help="Only calls of this agent.")] = "",
    since: Annotated[
        float | None,
        typer.Option(
            metavar="DURATION", parser=typed(parse_duration), help="Only the last, such as 1h."
        ),
    ] = None,
    decision: Annotated[
        Literal["allow", "deny", "would_deny", "needs_approval"] | None,
        typer.Option(help="Only decisions with this answer."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the decisions that fit, oldest first."""
    start = time.time() - since if since else 0.0
    with reading(settings_of(context)) as records:
        found = records.ledger.query(agent=agent, since=start, decision=decision or "")
        _say_all(found, as_json)


for command in (attestation.verify, attestation.checkpoint):
    app.command()(command)


def _follow(records: Records, seq: int, as_json: bool) -> None:
    while True:
        time.sleep(FOLLOW_S)
        for event in records.ledger.after(records.database.node, seq):
            _say_all([event], as_json)
            seq = event["seq"]


def _say_all(events: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    for event in events:
        if as_json:
            say_json(event)
        else:
            say_event(event)
