"""What one decision costs, as ratios between variants that take turns in one run.

Absolute times depend on the machine and on who else uses it; the ratios hold.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cedarpy

from benchmarks.machine import about
from benchmarks.report import Goal as Reached
from benchmarks.report import Grid, finish
from interlock.apdp import (
    DecisionPoint,
    Policies,
    Standing,
    load_intents,
    load_policies,
)
from interlock.apdp.entities import entities_of_call, uid
from interlock.apdp.policies import shipped
from interlock.apdp.selection import Line, Question, Selected, Selection
from interlock.apdp.told import context_of
from interlock.model import (
    Agent,
    Authority,
    Call,
    Decision,
    Declaration,
    Effect,
    Entity,
    Mode,
    Request,
    Trust,
)
from interlock.store.goals import Goal

MANY = 10_000
APPLICABLE = 10
# More than any call that is made here asks for.
MUCH = 1_000_000_000
NOON = 1_700_000_000.0
SECRET = "openai-api-key"  # noqa: S105 - the name of one
AGENT = Agent("research-agent", "ann", groups=("research",), trust=Trust.TRUSTED)
REQUEST = Request("POST", "https", Authority("api.openai.com", 443), "/v1/chat", b"x" * 600)
CALL = Call("openai", "chat", Entity("Model", "gpt-4o"), REQUEST, b"", model="gpt-4o")
SAID = Declaration("report the sales figures of March", "DataAnalysis", "sales-report")
STANDING = Standing(Goal("sales-report", max_actions=100, expires_at=NOON + 3600))

_numbers = itertools.count()
type Variant = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Aim:
    """`variant` takes at most `most` times what `than` takes."""

    name: str
    variant: str
    than: str
    most: float


AIMS = [
    Aim("one decision with 10 policies / bare engine", "selected 10", "bare engine", 2.5),
    Aim("10,000 policies, 10 can apply / 10 policies", "selected 10,000", "selected 10", 1.5),
    Aim("10,000 policies: selected / all", "selected 10,000", "all 10,000", 1 / 100),
]


class Unselected(Selection):
    """The full set, whatever is asked."""

    def __init__(self, policies: Policies) -> None:
        self._all = Selected(frozenset(policies.by_id), policies.handle, None)

    def select(self, principal: Line, questions: tuple[Question, ...]) -> Selected:
        """All the policies."""
        return self._all


def texts(number: int) -> Iterator[str]:
    """Ten policies that can apply, half to the call and half to its secret; the rest cannot."""
    for n in range(APPLICABLE // 2):
        yield (
            f'@id("call-{n}") permit(principal in Group::"research", action == Action::"chat", '
            f'resource is Model) when {{ context.trust == "trusted" && '
            f"context.max_tokens < {n * MUCH} }};"
        )
        yield (
            f'@id("key-{n}") permit(principal == Agent::"{AGENT.name}", '
            f'action == Action::"access_secret", resource == Secret::"{SECRET}") '
            f'when {{ context.intent_category == "DataAnalysis" && '
            f"context.max_tokens < {n * MUCH} }};"
        )
    yield from others(number - APPLICABLE)


def others(number: int) -> Iterator[str]:
    """So many policies about other agents."""
    for n in range(number):
        yield (
            f'@id("other-{n}") permit(principal == Agent::"agent-{n}", action in '
            f'Action::"execute", resource == Model::"m-{n % 50}") when {{ context.hour > 8 }};'
        )


def load(folder: Path, number: int) -> Policies:
    """Write that many policies as files of a thousand, and load them."""
    folder.mkdir()
    lines = list(texts(number))
    for start in range(0, number, 1000):
        (folder / f"{start:06}.cedar").write_text("\n".join(lines[start : start + 1000]))
    return load_policies(folder)


def decide(point: DecisionPoint, call: Call | None = None) -> Decision:
    """Decide on a call and on its secret, all stages.

    Without `call` on one that differs, in what policies look at, from all before: an answer that
    is known is not asked for again.
    """
    call = call or replace(CALL, max_tokens=next(_numbers))
    return point.decide(
        "d", AGENT, call, SAID, secret=SECRET, mode=Mode.ENFORCE, now=NOON, standing=STANDING
    )


def shape(model: str = CALL.model) -> tuple[Line, tuple[Question, ...]]:
    """What the decision is about, as selection sees it; built anew as for every call."""
    agent = (Entity("Agent", AGENT.name), *(Entity("Group", name) for name in AGENT.groups))
    service = Entity("Service", CALL.service)
    asked = (("chat", (Entity("Model", model), service)),)
    return agent, (*asked, ("access_secret", (Entity("Secret", SECRET), service)))


def bare(policies: Policies) -> Variant:
    """One question, everything ready: the least that Cedar from Python can cost."""
    entities = policies.actions.with_added_json_str(
        json.dumps(entities_of_call(AGENT, CALL, SECRET))
    )
    request = {
        "principal": uid(Entity("Agent", AGENT.name)),
        "action": uid(Entity("Action", CALL.action)),
        "resource": uid(CALL.resource),
        "context": json.dumps(context_of(AGENT, CALL, SAID, Mode.ENFORCE, NOON)),
    }
    return lambda: cedarpy.is_authorized(request, policies.handle, entities)


def selected(policies: Policies) -> Variant:
    """Look the handle up, then decide with it."""
    chosen = policies.select(*shape())
    point = point_of(replace(policies, handle=chosen.handle))
    answers = [decide(point), decide(unselected(policies))]
    said = {(one.effect, one.reasons, one.applicable) for one in answers}
    if len(chosen.ids) != APPLICABLE or len(said) != 1 or answers[0].effect is not Effect.ALLOW:
        raise AssertionError(f"not the same, or not allowed: {said}")

    def both() -> Decision:
        policies.select(*shape())
        return decide(point)

    return both


def unselected(policies: Policies) -> DecisionPoint:
    """A decision point that evaluates all the policies."""
    return point_of(replace(policies, selection=Unselected(policies)))


def point_of(policies: Policies) -> DecisionPoint:
    """A decision point with the shipped intents."""
    return DecisionPoint(policies, load_intents(shipped(), policies.action_names))


def variants(folder: Path) -> dict[str, Variant]:
    """Everything that takes turns."""
    few, many = load(folder / "few", APPLICABLE), load(folder / "many", MANY)
    made_up = itertools.count()
    return {
        "bare engine": bare(few),
        "all 10": partial(decide, unselected(few)),
        "selected 10": selected(few),
        "selected 10, asked before": partial(decide, point_of(few), CALL),
        "selected 10,000": selected(many),
        "all 10,000": partial(decide, unselected(many)),
        "look-up, known shape": partial(many.select, *shape()),
        "look-up, new shape": lambda: many.select(*shape(f"made up {next(made_up)}")),
    }


def measure(run: dict[str, Variant], rounds: int) -> list[dict[str, float]]:
    """Microseconds by variant, for each round; a round takes about a tenth of a second."""
    return [{name: _micros(variant) for name, variant in run.items()} for _ in range(rounds)]


def _micros(variant: Variant, least: int = 5_000_000) -> float:
    """The mean of as many calls as fit into five milliseconds, in microseconds."""
    calls, started = 0, time.perf_counter_ns()
    while (spent := time.perf_counter_ns() - started) < least:
        variant()
        calls += 1
    return spent / calls / 1000


def ratio(measured: list[dict[str, float]], aim: Aim) -> float:
    """The median over the rounds of variant to other, both of the same round."""
    return statistics.median(one[aim.variant] / one[aim.than] for one in measured)


def goals(measured: list[dict[str, float]], aims: Sequence[Aim]) -> list[Reached]:
    """What was aimed at, and what came out."""
    return [Reached(aim.name, ratio(measured, aim), aim.most) for aim in aims]


def grids(found: dict[str, Any]) -> list[Grid]:
    """The tables of a report."""
    rows = [(name, f"{value:,.1f}") for name, value in found["micros"].items()]
    return [Grid(found["title"], ("variant", "median us"), rows)]


def report(
    title: str, run: dict[str, Variant], rounds: int, aims: Sequence[Aim], out: Path | None
) -> int:
    """Measure, print, write JSON; 0 when every aim is met, else 1."""
    began = about()
    measured = measure(run, rounds)
    micros = {name: statistics.median(one[name] for one in measured) for name in measured[0]}
    found = {"machine": began, "title": title, "micros": micros}
    return finish(grids(found), found, goals(measured, aims), out)


def main() -> int:
    """Measure, print, and write JSON; 0 when every aim is met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="how often all variants take turns")
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = variants(Path(folder))
        return report("One decision", run, chosen.rounds, AIMS, chosen.out)


if __name__ == "__main__":
    sys.exit(main())
