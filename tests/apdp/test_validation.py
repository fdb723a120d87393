"""Policies of one kind are checked once, and no mistake hides behind one that was checked."""

import json
from typing import Any

import cedarpy
import pytest

from interlock.apdp.policies import SCHEMA, shipped
from interlock.apdp.validation import Validator

SHIPPED = (shipped() / SCHEMA).read_text()
GOOD = 'permit(principal == Agent::"a", action == Action::"chat", resource == Model::"m");'


def body(text: str) -> dict[str, Any]:
    """The one policy of a text, in Cedar's JSON."""
    (found,) = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"].values()
    return dict(found)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD.replace("Agent", "Agnt"), id="another type of principal"),
        pytest.param(GOOD.replace("Model", "Secret"), id="a type that the action is not for"),
        pytest.param(GOOD.replace("chat", "chant"), id="another action"),
        pytest.param(GOOD.replace("== Agent", "in Action"), id="an action as principal"),
        pytest.param(GOOD.replace(";", " when { context.x };"), id="another condition"),
        pytest.param(GOOD.replace(";", " unless { resource.host == 1 };"), id="a wrong type"),
        pytest.param(
            GOOD.replace(";", ' when { principal in Action::"none" };'), id="an id in a condition"
        ),
    ],
)
def test_a_mistake_beside_a_good_policy_is_seen(text: str) -> None:
    """The good one was checked before, and one of its kind with another id too."""
    validator = Validator(SHIPPED)
    assert validator.problem(body(GOOD)) == ""
    assert validator.problem(body(GOOD.replace('"a"', '"b"'))) == ""
    assert validator.problem(body(text))
    assert not cedarpy.validate_policies(text, SHIPPED).validation_passed


def test_a_schema_with_enumerated_ids_has_each_id_checked() -> None:
    """There the id is part of the type."""
    validator = Validator(
        'entity Agent enum ["a"]; entity Model;'
        "action chat appliesTo { principal: Agent, resource: Model };"
    )
    assert validator.problem(body(GOOD)) == ""
    assert validator.problem(body(GOOD.replace('"a"', '"b"')))


def test_ten_thousand_grants_are_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs by the agent's name alone is of one kind."""
    checks: list[str] = []
    real = cedarpy.validate_policies

    def counted(text: str, *more: Any, **options: Any) -> Any:
        checks.append(text)
        return real(text, *more, **options)

    monkeypatch.setattr(cedarpy, "validate_policies", counted)
    validator = Validator(SHIPPED)
    grants = (body(GOOD.replace('"a"', f'"agent-{n}"')) for n in range(100))
    assert not any(validator.problem(grant) for grant in grants)
    assert len(checks) == 1
