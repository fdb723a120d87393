"""Holds policies against a schema, and those that differ in nothing that it looks at only once."""

import json
from collections.abc import Mapping
from typing import Any

import cedarpy

SCOPE = ("principal", "action", "resource")


class Validator:
    """Checks policies in Cedar's JSON form, one by one.

    A schema knows types. Of the entities in a scope it looks at the type and not at the id, but
    for actions and enumerated types; so a thousand grants that differ in the agent's name alone
    cost one check. (https://docs.cedarpolicy.com/policies/validation.html)
    """

    def __init__(self, schema_text: str) -> None:
        """Raises ValueError for a schema that cannot be read."""
        self._schema = cedarpy.Schema.from_str(schema_text)
        self._ids_matter = "enum" in schema_text
        self._passed: set[str] = set()
        self.actions = cedarpy.Entities.from_json_str("[]", self._schema)

    def problem(self, body: Mapping[str, Any]) -> str:
        """Say what is wrong with a policy; empty for nothing."""
        bare = {name: part for name, part in body.items() if name != "annotations"}
        kind = json.dumps(bare if self._ids_matter else bare | _types(bare), sort_keys=True)
        if kind in self._passed:
            return ""
        try:
            text = cedarpy.policies_from_json_str(_alone(bare))
        except ValueError:
            # Its JSON ends at 128 levels.
            return "too many operators in a row, the engine takes about 60"
        _, problem = self.problem_in(text)
        if not problem:
            self._passed.add(kind)
        return problem

    def problem_in(self, text: str) -> tuple[str, str]:
        """The engine's id of a policy in a text, and what is wrong with it; empty for nothing.

        The only way to check a template, which the engine does not write back as text.
        """
        result = cedarpy.validate_policies(text, self._schema, release_gil=True)
        if result.validation_passed:
            return "", ""
        error = result.errors[0]
        return error.policy_id, error.error.replace(f"`{error.policy_id}`", "it")


def _alone(body: Mapping[str, Any]) -> str:
    """Cedar's JSON of one policy."""
    return json.dumps({"staticPolicies": {"it": body}, "templates": {}, "templateLinks": []})


def slots_of(body: Mapping[str, Any]) -> frozenset[str]:
    """The slots of a template, of `principal` and `resource`; none for a policy."""
    return frozenset(
        name for name in SCOPE if "slot" in body[name] or "slot" in body[name].get("in", ())
    )


def _types(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _without_id(body[name]) for name in SCOPE}


def _without_id(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """One third of a scope with the type of its entity alone; an action keeps its name."""
    match asked:
        case {"entity": {"type": str(type_)}} if not type_.endswith("Action"):
            return {**asked, "entity": type_}
        case {"in": {"entity": {"type": str(type_)}}} if not type_.endswith("Action"):
            return {**asked, "in": type_}
    return asked
