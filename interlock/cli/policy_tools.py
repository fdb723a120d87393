"""`interlock policy replay`, `explain` and `suggest`: what the ledger teaches about policies."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.apdp import DecisionPoint, PolicyFolder
from interlock.apdp import explain as explained
from interlock.apdp import replay as replayed
from interlock.apdp.case import parse_case, parse_entity
from interlock.apdp.suggest import suggest as suggested
from interlock.cli.exits import NoError
from interlock.cli.home import Records, reading, settings_of
from interlock.cli.past import story_of, tell_of_past
from interlock.cli.printing import Json, moment, say, say_fields, say_json
from interlock.cli.words import parse_duration, typed
from interlock.errors import BindingError, RegistryError, StoreError
from interlock.ledger import Question
from interlock.model import Agent, Call, Declaration, Effect, Entity
from interlock.settings import Settings

Since = Annotated[
    float | None,
    typer.Option(
        metavar="DURATION", parser=typed(parse_duration), help="Only the last, such as 24h."
    ),
]


def replay(
    context: typer.Context,
    against: Annotated[Path, typer.Option(metavar="DIR", help="The policies to decide with.")],
    since: Since = None,
    agent: Annotated[str, typer.Option(metavar="AGENT", help="Only calls of this agent.")] = "",
    as_json: Json = False,
) -> None:
    """Decide the recorded calls again by other policies; exit 1 when an answer would change.

    Trust, goals and delegation stay as they stood then; the intent is judged anew. Calls for which
    a secret was not available are left out. Rows of older versions do not hold all that was decided
    on: these are marked approximate, or left out too.
    """
    folder = PolicyFolder(against)
    point = DecisionPoint(folder.current, folder.intents)
    asked = changed = skipped = approximate = 0
    settings = settings_of(context)
    with reading(settings) as records:
        for recorded in _recalled(records, settings, agent, since):
            if recorded is None or recorded.superseded:
                skipped += 1
                continue
            asked += 1
            approximate += recorded.approximate
            answer = replayed.replay(point, recorded)
            if answer.changed:
                changed += 1
                _say_change(answer, as_json)
    rest = f"not replayed: {skipped}"
    if approximate:
        rest += f", approximate: {approximate}"
    if changed:
        raise NoError(f"{changed} of {asked} decisions would change, {rest}")
    if not as_json:
        say(f"{asked} decisions, none would change, {rest}")


def explain(
    context: typer.Context,
    reference: Annotated[
        str, typer.Argument(metavar="ID", help="A recorded decision, or use the options.")
    ] = "",
    against: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Policies; default: those in force.")
    ] = None,
    agent: Annotated[str, typer.Option(metavar="AGENT", help="Who would call.")] = "",
    action: Annotated[str, typer.Option(metavar="ACTION", help="What it would do.")] = "",
    resource: Annotated[
        Entity | None,
        typer.Option(
            metavar="RESOURCE", parser=typed(parse_entity), help="On what, as in a policy."
        ),
    ] = None,
    service: Annotated[str, typer.Option(metavar="NAME", help="At which service.")] = "",
    secret: Annotated[str, typer.Option(metavar="NAME", help="With which secret.")] = "",
    intent: Annotated[str, typer.Option(metavar="TEXT", help="What it would declare.")] = "",
    intent_category: Annotated[str, typer.Option(metavar="NAME", help="And as what.")] = "",
    as_json: Json = False,
) -> None:
    """Say why a call was, or would be, decided so: every stage, every policy that may apply.

    Either the ID of a recorded decision, or --agent, --action and --resource.
    """
    settings = settings_of(context)
    folder = PolicyFolder(against or settings.policies)
    recorded = None
    with reading(settings) as records:
        if reference and not (agent or action or resource):
            recorded = _found(records, settings, reference)
            situation = recorded.situation
        elif agent and action and resource and not reference:
            call = _supposed(action, resource, service)
            known = _agent(records, agent, time.time())
            mode = records.modes.of(settings.mode, known, call.service)
            declared = Declaration(intent, intent_category)
            situation = replayed.Situation(known, call, declared, secret, mode, time.time())
        else:
            raise typer.BadParameter("give an ID, or --agent, --action and --resource")
    answer = explained.explain(folder.current, folder.intents, situation, reference)
    if as_json:
        say_json(_as_json(answer) | (_record(recorded) if recorded else {"recorded": None}))
        return
    if recorded:
        say_fields([("recorded", _recorded(recorded))])
    say_fields(_story(answer, situation))


def suggest(
    context: typer.Context,
    agent: Annotated[str, typer.Option(metavar="AGENT", help="The agent that was watched.")],
    since: Since = None,
    as_json: Json = False,
) -> None:
    """Write the policies that permit what an agent was seen to do, and nothing else.

    Redirect the output into a *.cedar file of a folder of its own; test it with `policy replay`.
    """
    settings = settings_of(context)
    with reading(settings) as records:
        found = suggested(filter(None, _recalled(records, settings, agent, since)))
    if not found:
        raise NoError(f"no call of {agent!r} left that a policy could permit")
    for policy in found:
        if as_json:
            say_json({"id": policy.id, "times": policy.times, "text": policy.text})
            continue
        for line in [*policy.text.strip().splitlines(), ""]:
            say(line)


def _recalled(
    records: Records, settings: Settings, agent: str, since: float | None
) -> Iterator[replayed.Recorded | None]:
    start = time.time() - since if since else 0.0
    tell_of_past(records, settings, start, ", and are left out")
    for event in records.ledger.query(Question(agent=agent, since=start)):
        yield _recall(records, event, records.ledger.of(event["decision_id"]))


def _recall(
    records: Records, decision: Mapping[str, Any], events: list[dict[str, Any]]
) -> replayed.Recorded | None:
    """Add what stands elsewhere: the agent, and the secret that was given, or would be by now."""
    given = [
        event["body"].get("secret", "") for event in events if event["kind"] == "secret_access"
    ]
    agent = _agent(records, decision["agent"])
    recorded = replayed.recall(decision, agent, given[0] if given else "")
    if not (recorded and recorded.refused and "facts" not in decision["body"]):
        return recorded
    situation = recorded.situation
    try:
        binding = records.bindings.choose(situation.agent, situation.call, goal="")
    except BindingError as e:
        raise NoError(str(e)) from None
    secret = binding.secret if binding else ""
    return replace(recorded, situation=replace(situation, secret=secret))


def _found(records: Records, settings: Settings, reference: str) -> replayed.Recorded:
    events = story_of(records, settings, reference)
    decision = next((event for event in events if event["kind"] == "decision"), None)
    if decision is None:
        raise StoreError(f"{reference!r} is not of a decision")
    recorded = _recall(records, decision, events)
    if recorded is None:
        body = decision["body"]
        why = "; ".join(f"{id_}: {said}" for id_, said in body.get("reasons", ()))
        raise NoError(f"settled at the {body.get('stage')} stage, which is not repeatable: {why}")
    return recorded


def _supposed(action: str, resource: Entity, service: str) -> Call:
    """A call that nobody made, read as a case of the policies is."""
    case = {"name": "supposed", "principal": "supposed", "expect": Effect.ALLOW}
    asked = {"action": action, "resource": str(resource), "service": service}
    return parse_case("supposed", case | asked).call


def _agent(records: Records, name: str, now: float | None = None) -> Agent:
    try:
        return records.registry.get(name, now)
    except RegistryError:
        return Agent(name)


def _say_change(answer: replayed.Replayed, as_json: bool) -> None:
    recorded, decision = answer.recorded, answer.decision
    agent, call = recorded.situation.agent, recorded.situation.call
    if as_json:
        say_json(
            {
                "id": recorded.id,
                "ts": recorded.situation.now,
                "agent": agent.name,
                "action": call.action,
                "resource": str(call.resource),
                "before": recorded.effect,
                "after": decision.effect,
                "stage": decision.stage,
                "reasons": [reason.policy_id for reason in decision.reasons],
                "approximate": recorded.approximate,
            }
        )
        return
    when = moment(recorded.situation.now)
    mark = "  (approximate)" if recorded.approximate else ""
    say(recorded.id, f" {when}  {agent.name} {call.action} {call.resource}{mark}")
    say(f"    {recorded.effect} -> {decision.effect} at the {decision.stage} stage: {decision.why}")


def _record(recorded: replayed.Recorded) -> dict[str, Any]:
    return {
        "recorded": recorded.effect,
        "recorded_stage": recorded.stage,
        "recorded_reasons": [reason.policy_id for reason in recorded.reasons],
        "approximate": recorded.approximate,
    }


def _recorded(recorded: replayed.Recorded) -> str:
    why = "; ".join(map(str, recorded.reasons)) or "no policy permits it"
    mark = "; what follows is approximate" if recorded.approximate else ""
    return f"{recorded.effect} at the {recorded.stage} stage: {why}{mark}"


def _as_json(answer: explained.Explanation) -> dict[str, Any]:
    decision = answer.decision
    return {
        "id": decision.id,
        "effect": decision.effect,
        "stage": decision.stage,
        "policy_set": decision.policy_set,
        "reasons": [reason.policy_id for reason in decision.reasons],
        "steps": [asdict(step) for step in answer.steps],
        "rulings": [
            asdict(ruling) | {"resource": str(ruling.resource)} for ruling in answer.rulings
        ],
    }


def _story(
    answer: explained.Explanation, situation: replayed.Situation
) -> Iterator[tuple[str, str]]:
    decision = answer.decision
    yield "call", f"{situation.agent.name} {situation.call.action} {situation.call.resource}"
    yield "answer", f"{decision.effect} at the {decision.stage} stage, set {decision.policy_set}"
    for step in answer.steps:
        yield step.stage, _PASSED[step.passed] + step.said
    for ruling in answer.rulings:
        yield "policy", f"{ruling.action} {ruling.resource}: {ruling.effect}"
        if not ruling.policies:
            yield "", "  no policy has a scope that fits"
        for applied in ruling.policies:
            yield "", f"  {_word(applied)} {applied.effect} {applied.id}: {applied.description}"
            for clause in applied.failed:
                yield "", f"      false: {clause}"


_PASSED = {True: "passed: ", False: "DENIED: ", None: ""}


def _word(applied: explained.Applied) -> str:
    if applied.counted:
        return "counts"
    return "outweighed" if applied.holds else "does not apply"
