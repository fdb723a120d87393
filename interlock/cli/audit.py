"""`interlock audit`: read the ledger, while it is being written, without touching it."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from math import inf
from typing import Annotated, Any, Literal

import typer

from interlock.cli import attestation, export, retention
from interlock.cli.event import say_event, story
from interlock.cli.home import Records, reading, settings_of
from interlock.cli.past import Folder, Pruned, past_of, story_of
from interlock.cli.printing import Json, say, say_fields, say_json, say_table
from interlock.cli.words import parse_host, parse_moment, require_order, typed
from interlock.ledger import Question
from interlock.ledger.export import Sheet
from interlock.model import Authority

app = typer.Typer(help="The ledger: what was decided, for whom, and why.")

FOLLOW_S = 0.25
DAY_S = 86_400.0

Since = Annotated[
    float | None,
    typer.Option(
        metavar="WHEN",
        parser=typed(parse_moment),
        help="Only from here on: an age such as 1h, a date (from 0:00), or a time (UTC).",
    ),
]
Until = Annotated[
    float | None,
    typer.Option(
        metavar="WHEN", parser=typed(parse_moment), help="Only up to here; a date means its 0:00."
    ),
]


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
    archive: Folder = None,
    as_json: Json = False,
) -> None:
    """Tell the whole story of one decision: who, what, why, with which secret, and the outcome."""
    settings = settings_of(context)
    with reading(settings) as records:
        events = story_of(records, settings, reference, archive)
        answers = list(_answers(records, events))
    if as_json:
        said = {"id": reference, "decision_id": events[0]["decision_id"], "approvals": answers}
        say_json(said | {"events": events})
        return
    say_fields([*map(_told, answers), *story(events)])


@app.command()
def query(
    context: typer.Context,
    agent: Annotated[str, typer.Option(metavar="AGENT", help="Only calls of this agent.")] = "",
    since: Since = None,
    until: Until = None,
    decision: Annotated[
        Literal["allow", "deny", "would_deny", "needs_approval"] | None,
        typer.Option(help="Only these; would_deny: denials, or waits, that did not bind."),
    ] = None,
    host: Annotated[
        Authority | None,
        typer.Option(
            metavar="HOST[:PORT]",
            parser=typed(parse_host),
            help="Only calls to it; without a port, to its port 443.",
        ),
    ] = None,
    goal: Annotated[str, typer.Option(metavar="GOAL", help="Only calls for this goal.")] = "",
    user: Annotated[str, typer.Option(metavar="USER", help="Only agents of this owner.")] = "",
    pruned: Pruned = False,
    archive: Folder = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")] = False,
) -> None:
    """Print the decisions that fit, oldest first."""
    if as_json and as_csv:
        raise typer.BadParameter("give --json or --csv, not both")
    require_order("--since", since, "--until", until)
    where = str(host) if host else ""
    asked = Question(agent, decision or "", where, goal, user, since or 0.0, until or inf)
    settings = settings_of(context)
    with reading(settings) as records:
        past = past_of(records, settings, pruned, archive, asked.since)
        found = records.ledger.query(asked, past)
        if as_csv:
            _say_sheet(found)
        else:
            _say_all(found, as_json)


@app.command()
def stats(
    context: typer.Context,
    since: Since = None,
    until: Until = None,
    pruned: Pruned = False,
    archive: Folder = None,
    as_json: Json = False,
) -> None:
    """Count decisions, agents, hosts, tokens and cost; of the last day unless you say otherwise."""
    now = time.time()
    require_order("--since", since, "--until", until)
    begin = since or now - DAY_S
    settings = settings_of(context)
    with reading(settings) as records:
        past = past_of(records, settings, pruned, archive, begin)
        found = records.ledger.statistics(begin, until or now, past)
    if as_json:
        say_json(asdict(found))
        return
    for title, counts in (("label", found.labels), ("agent", found.agents), ("host", found.hosts)):
        rows = ((c.name, str(c.calls), str(c.denied)) for c in counts)
        say_table((title, "calls", "denied or would be"), rows)
        say()
    say_fields(found.used.items())


for command in (attestation.verify, attestation.checkpoint, retention.hold):
    app.command()(command)
app.command("prune")(retention.prune_)
app.command("export")(export.export)


def _follow(records: Records, seq: int, as_json: bool) -> None:
    while True:
        time.sleep(FOLLOW_S)
        for event in records.ledger.after(records.database.node, seq):
            _say_all([event], as_json)
            seq = event["seq"]


def _answers(records: Records, events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Who said yes or no to a call that waited for a person, when, and why."""
    asked = dict.fromkeys(event["body"].get("approval") for event in events)
    for approval in filter(None, asked):
        sql = (
            "select id as approval, status, decided_by, reason, decided_at from approvals "
            "where id = ? and decided_by <> ''"
        )
        yield from map(dict, records.database.rows(sql, approval))


def _told(answer: Mapping[str, Any]) -> tuple[str, str]:
    because = f": {answer['reason']}" if answer["reason"] else ""
    return "approval", f"{answer['status']} by {answer['decided_by']}{because}"


def _say_sheet(events: Iterable[Mapping[str, Any]]) -> None:
    sheet = Sheet()
    typer.echo(sheet.header)
    for event in events:
        for message in sheet.messages([event]):
            typer.echo(message.text)


def _say_all(events: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    for event in events:
        if as_json:
            say_json(event)
        else:
            say_event(event)
