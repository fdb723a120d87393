"""What one decision costs, as ratios between variants that take turns in one run.

Absolute times depend on the machine and on who else uses it; the ratios hold.
"""

import argparse
import itertools
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import cedarpy
from rich.console import Console
from rich.table import Table

from interlock.apdp import (
    DecisionPoint,
    Policies,
    Standing,
    load_intents,
    load_policies,
)
from interlock.apdp.entities import context_of, entities_of_call, uid
from interlock.apdp.policies import shipped
from interlock.apdp.selection import Line, Question, Selected, Selection
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
NOON = 1_700_000_000.0
SECRET = "openai-api-key"  # noqa: S105 - the name of one
AGENT = Agent("research-agent", "ann", groups=("research",), trust=Trust.TRUSTED)
REQUEST = Request("POST", "https", Authority("api.openai.com", 443), "/v1/chat", b"x" * 600)
CALL = Call("openai", "chat", Entity("Model", "gpt-4o"), REQUEST, b"", model="gpt-4o")
SAID = Declaration("report the sales figures of March", "DataAnalysis", "sales-report")
STANDING = Standing(Goal("sales-report", max_actions=100, expires_at=NOON + 3600))

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
            f'resource is Model) when {{ context.trust == "trusted" && context.hour > {n * 6} }};'
        )
        yield (
            f'@id("key-{n}") permit(principal == Agent::"{AGENT.name}", '
            f'action == Action::"access_secret", resource == Secret::"{SECRET}") '
            f'when {{ context.intent_category == "DataAnalysis" && context.hour > {n * 6} }};'
        )
    for n in range(number - APPLICABLE):
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


def decide(point: DecisionPoint) -> Decision:
    """Decide on the call and on its secret, all stages."""
    return point.decide(
        "d", AGENT, CALL, SAID, secret=SECRET, mode=Mode.ENFORCE, now=NOON, standing=STANDING
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


def main() -> int:
    """Measure, print, and write JSON; 0 when every aim is met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="how often all variants take turns")
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(variants(Path(folder)), chosen.rounds)
    micros = {name: statistics.median(one[name] for one in measured) for name in measured[0]}
    ratios = {aim: ratio(measured, aim) for aim in AIMS}
    show(micros, ratios)
    if chosen.out:
        chosen.out.write_text(json.dumps(_report(micros, ratios), indent=2) + "\n")
    return 0 if all(ratios[aim] <= aim.most for aim in AIMS) else 1


def _report(micros: dict[str, float], ratios: dict[Aim, float]) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "cedarpy": version("cedarpy"),
        "micros": micros,
        "aims": [asdict(aim) | {"ratio": value} for aim, value in ratios.items()],
    }


def show(micros: dict[str, float], ratios: dict[Aim, float]) -> None:
    """Print the times, and whether the aims are met."""
    times = Table("variant", "median us")
    for name, value in micros.items():
        times.add_row(name, f"{value:,.1f}")
    aims = Table("aim", "at most", "measured", "")
    for aim, value in ratios.items():
        met = "met" if value <= aim.most else "missed"
        aims.add_row(aim.name, f"{aim.most:.3g}", f"{value:.3g}", met)
    Console().print(times, aims)


if __name__ == "__main__":
    sys.exit(main())
