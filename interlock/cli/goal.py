"""`interlock goal`: what agents work for, until when, and how much it may take."""

import time
from typing import Annotated, Any

import typer

from interlock.cli.actions import require_actions
from interlock.cli.home import Records, changing, reading, settings_of
from interlock.cli.printing import Json, moment, say, say_fields, say_json, say_table
from interlock.cli.words import parse_duration, parse_text, typed
from interlock.errors import GoalError
from interlock.installation import Installation
from interlock.store.goals import Goal, Goals, Status

app = typer.Typer(help="Goals: what agents work for, until when, and how much it may take.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The goal's id.")]
Reason = Annotated[
    str, typer.Option(metavar="TEXT", parser=typed(parse_text), help="Why, for the ledger.")
]
Expires = Annotated[
    float | None,
    typer.Option(
        metavar="DURATION", parser=typed(parse_duration), help="When it ends, from now, such as 8h."
    ),
]
MaxActions = Annotated[
    int | None, typer.Option(metavar="N", help="How many calls it allows in all.")
]
MaxTokens = Annotated[
    int | None, typer.Option(metavar="N", help="How many tokens, in and out, models may use.")
]
MaxCostUsd = Annotated[
    float | None,
    typer.Option(metavar="USD", help="What models may cost; one without a known price adds 0."),
]


def _text(words: str, metavar: str = "TEXT") -> Any:
    return typer.Option(metavar=metavar, parser=typed(parse_text), help=words)


@app.command()
def add(
    context: typer.Context,
    goal_id: Id,
    title: Annotated[str, _text("What is to be reached.")] = "",
    owner: Annotated[str, _text("Who answers for it.", "USER")] = "",
    agent: Annotated[
        list[str] | None, _text("Who may work for it; repeatable. Default: every agent.", "AGENT")
    ] = None,
    action: Annotated[
        list[str] | None,
        _text("What may be done for it, such as chat; repeatable. Default: anything.", "ACTION"),
    ] = None,
    max_actions: MaxActions = None,
    max_tokens: MaxTokens = None,
    max_cost_usd: MaxCostUsd = None,
    expires: Expires = None,
    starts: Annotated[
        float | None,
        typer.Option(
            metavar="DURATION",
            parser=typed(parse_duration),
            help="When it starts, from now, such as 10m; at once, when not given.",
        ),
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", help="Let nobody use it yet.")] = False,
    as_json: Json = False,
) -> None:
    """Set a goal; agents may work for it at once, unless it is a draft or starts later."""
    goal = Goal(
        goal_id,
        title,
        owner,
        frozenset(agent or ()),
        frozenset(action or ()),
        Status.DRAFT if draft else Status.ACTIVE,
        _from_now(starts),
        _from_now(expires),
        max_actions,
        max_tokens,
        max_cost_usd,
    )
    settings = settings_of(context)
    require_actions(settings, sorted(goal.actions))
    with changing(settings, create=True) as home:
        for name in sorted(goal.agents):
            home.registry.get(name)
        _goals(home).add(goal)
    _say(goal, as_json)


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List all goals and what is used of them."""
    with reading(settings_of(context)) as records:
        goals = _goals(records).all()
    if as_json:
        for goal in goals:
            say_json(_public(goal))
        return
    columns = ("id", "status", "actions", "tokens", "cost usd", "ends", "agents", "title")
    say_table(columns, map(_row, goals))


@app.command()
def show(context: typer.Context, goal_id: Id, as_json: Json = False) -> None:
    """Show one goal."""
    with reading(settings_of(context)) as records:
        goal = _goals(records).get(goal_id)
    if goal is None:
        raise GoalError(f"there is no goal {goal_id!r}")
    if as_json:
        say_json(_public(goal))
        return
    say_fields(_fields(goal))


@app.command()
def activate(
    context: typer.Context, goal_id: Id, reason: Reason = "", as_json: Json = False
) -> None:
    """Let agents work for a draft, or for a paused goal again."""
    _move(context, goal_id, Status.ACTIVE, reason, as_json)


@app.command()
def pause(context: typer.Context, goal_id: Id, reason: Reason = "", as_json: Json = False) -> None:
    """Let nobody work for a goal until it is activated again."""
    _move(context, goal_id, Status.PAUSED, reason, as_json)


@app.command()
def complete(
    context: typer.Context, goal_id: Id, reason: Reason = "", as_json: Json = False
) -> None:
    """Close a goal for good: it is reached."""
    _move(context, goal_id, Status.COMPLETED, reason, as_json)


@app.command()
def cancel(context: typer.Context, goal_id: Id, reason: Reason = "", as_json: Json = False) -> None:
    """Close a goal for good: it is given up."""
    _move(context, goal_id, Status.CANCELLED, reason, as_json)


@app.command()
def extend(
    context: typer.Context,
    goal_id: Id,
    expires: Expires = None,
    max_actions: MaxActions = None,
    max_tokens: MaxTokens = None,
    max_cost_usd: MaxCostUsd = None,
    as_json: Json = False,
) -> None:
    """Give a goal more time or higher limits; say the new total, not what is added."""
    with changing(settings_of(context)) as home:
        goal = _goals(home).extend(
            goal_id,
            expires_at=_from_now(expires),
            max_actions=max_actions,
            max_tokens=max_tokens,
            max_cost_usd=max_cost_usd,
        )
    _say(goal, as_json)


def _move(context: typer.Context, goal_id: str, to: Status, reason: str, as_json: bool) -> None:
    with changing(settings_of(context)) as home:
        goal = _goals(home).set_status(goal_id, to, reason)
    _say(goal, as_json)


def _goals(home: Installation | Records) -> Goals:
    return Goals(home.database, home.ledger.admin)


def _from_now(seconds: float | None) -> float | None:
    return None if seconds is None else time.time() + seconds


def _say(goal: Goal, as_json: bool) -> None:
    if as_json:
        say_json(_public(goal))
        return
    say(f"Goal {goal.id} is {goal.state(time.time())}; it ends: {_end(goal)}.")


def _public(goal: Goal) -> dict[str, Any]:
    """The goal as programs read it; its status is the one that decides now."""
    return goal.record | {"status": goal.state(time.time())}


def _row(goal: Goal) -> tuple[Any, ...]:
    used = (words for _, words in _used(goal))
    return goal.id, goal.state(time.time()), *used, _end(goal), _names(goal.agents), goal.title


def _fields(goal: Goal) -> list[tuple[str, Any]]:
    return [
        ("id", goal.id),
        ("title", goal.title or "-"),
        ("owner", goal.owner or "-"),
        ("status", goal.state(time.time())),
        ("agents", _names(goal.agents)),
        ("may do", _names(goal.actions)),
        ("starts", "at once" if goal.starts_at is None else moment(goal.starts_at)),
        ("ends", _end(goal)),
        *_used(goal),
    ]


def _used(goal: Goal) -> list[tuple[str, str]]:
    return [
        ("actions", _of(goal.used_actions, goal.max_actions)),
        ("tokens", _of(goal.used_tokens, goal.max_tokens)),
        ("cost usd", _of(round(goal.used_cost_usd, 6), goal.max_cost_usd)),
    ]


def _of(used: float, limit: float | None) -> str:
    return str(used) if limit is None else f"{used} of {limit}"


def _names(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "any"


def _end(goal: Goal) -> str:
    return "never" if goal.expires_at is None else moment(goal.expires_at)
