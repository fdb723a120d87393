"""Policies are tested like code: cases are asked, answers compared."""

import json
from dataclasses import dataclass
from pathlib import Path

import cedarpy
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from interlock.apdp.case import Case, parse_case
from interlock.apdp.decision_point import DecisionPoint
from interlock.apdp.entities import entities_of_call, uid
from interlock.apdp.policies import Policies
from interlock.errors import PolicyError
from interlock.model import Effect, Entity, Reason

_STRICTEST_FIRST = (Effect.DENY, Effect.NEEDS_APPROVAL, Effect.ALLOW)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the policies said to a case."""

    case: Case
    effect: Effect
    reasons: tuple[Reason, ...]

    @property
    def passed(self) -> bool:
        """True for the expected answer, given by the expected policy if the case names one."""
        case = self.case
        named = not case.policy or case.policy in {reason.policy_id for reason in self.reasons}
        return self.effect is case.expect and named

    @property
    def expected(self) -> str:
        """The answer that was wanted, with the policy if it was named."""
        return f"{self.case.expect} by {self.case.policy}" if self.case.policy else self.case.expect

    @property
    def got(self) -> str:
        """The answer that was given, with the policies that gave it."""
        return f"{self.effect} by {', '.join(reason.policy_id for reason in self.reasons)}"


def run_case(policies: Policies, case: Case) -> Outcome:
    """Ask about the call and the secret that it needs, as the decision point does.

    Raises PolicyError for what the schema has no word for.
    """
    call, place = case.call, f"{case.file}: case {case.name!r}"
    if call.action not in policies.action_names:
        raise PolicyError(f"{place}: action: {call.action!r} is no action of the schema")
    asked = [(call.action, call.resource)]
    if case.secret:
        asked.append(("access_secret", Entity("Secret", case.secret)))
    try:
        results = _ask(policies, case, asked)
    except ValueError as e:
        raise PolicyError(f"{place}: {e}") from None
    point = DecisionPoint(policies)
    answers = [point.answer_of(result) for result in results]
    effect = min((answer.effect for answer in answers), key=_STRICTEST_FIRST.index)
    settled = [answer.reasons for answer in answers if answer.effect is effect]
    return Outcome(case, effect, tuple(dict.fromkeys(r for reasons in settled for r in reasons)))


def _ask(
    policies: Policies, case: Case, asked: list[tuple[str, Entity]]
) -> list[cedarpy.AuthzResult]:
    entities = policies.actions.with_added_json_str(
        json.dumps(entities_of_call(case.agent, case.call, case.secret))
    )
    about = {
        "principal": uid(Entity("Agent", case.agent.name)),
        "context": json.dumps(case.context),
    }
    questions = [
        about | {"action": uid(Entity("Action", action)), "resource": uid(resource)}
        for action, resource in asked
    ]
    results = cedarpy.is_authorized_batch(questions, policies.handle, entities)
    for result in results:
        if result.decision is cedarpy.Decision.NoDecision:
            raise ValueError(result.diagnostics.errors[0])
    return results


def parse_cases(name: str, text: str) -> tuple[Case, ...]:
    """Read one file of cases; raises PolicyError naming file, case and field."""
    try:
        entries = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise PolicyError(f"{name}:{line}: {e.problem}") from None
    except (YAMLError, ValueError, RecursionError) as e:
        raise PolicyError(f"{name}: {str(e).splitlines()[0]}") from None
    if not isinstance(entries, list) or not entries:
        raise PolicyError(f"{name}: use a list of cases that is not empty")
    found = []
    for number, entry in enumerate(entries, start=1):
        title = entry.get("name", number) if isinstance(entry, dict) else number
        try:
            found.append(parse_case(name, entry))
        except ValueError as e:
            raise PolicyError(f"{name}: case {title!r}: {e}") from None
    return tuple(found)


def load_cases(folder: Path) -> tuple[Case, ...]:
    """Read every `cases/*.yaml` of a folder of policies; raises PolicyError when there is none."""
    paths = sorted((folder / "cases").glob("*.yaml"))
    if not paths:
        raise PolicyError(f"{folder / 'cases'}: there is no *.yaml file in this folder")
    return tuple(case for path in paths for case in parse_cases(str(path), _read(path)))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as e:
        raise PolicyError(f"{path}: {e.strerror}") from None
    except UnicodeDecodeError as e:
        raise PolicyError(f"{path}: not UTF-8 at byte {e.start}") from None
