"""What stands before a policy with an `@`: its id, words for people, and what holding means."""

import json
from collections.abc import Iterator
from difflib import get_close_matches

import cedarpy

from interlock.apdp.place import Fault, Statement
from interlock.apdp.policies import EFFECTS, TIMEOUT
from interlock.apdp.recording import parse_fields

MEANT = ("id", "description", "effect", "timeout", "record_arguments")


def annotation_faults(statement: Statement) -> Iterator[tuple[bool, str, Fault]]:
    """Yield whether it is an error, the rule and the place of each doubtful annotation."""
    document = json.loads(cedarpy.policies_to_json_str(statement.text))
    bodies = (document["staticPolicies"] or document["templates"]).values()
    notes = {name: said or "" for body in bodies for name, said in _notes(body).items()}
    effect, timeout = notes.get("effect", ""), notes.get("timeout", "60s")
    if effect not in EFFECTS and "effect" in notes:
        known = ", ".join(EFFECTS)
        yield True, "annotation", _at(statement, "effect", f"{effect!r} is not one of {known}")
    if not TIMEOUT.fullmatch(timeout):
        yield True, "annotation", _at(statement, "timeout", f"{timeout!r} is not like 60s")
    if "record_arguments" in notes:
        try:
            parse_fields(notes["record_arguments"])
        except ValueError as e:
            yield True, "annotation", _at(statement, "record_arguments", str(e))
    for name in notes.keys() - MEANT:
        if near := get_close_matches(name, MEANT, 1, 0.75):
            yield False, "annotation", _at(statement, name, f"means nothing; @{near[0]} does")
    for name in ("id", "description"):
        if not notes.get(name):
            fault = statement.at(statement.head, f"the policy has no @{name}(...)")
            yield False, f"no-{name}", fault


def _notes(body: dict[str, dict[str, str | None]]) -> dict[str, str | None]:
    return body.get("annotations", {})


def _at(statement: Statement, name: str, said: str) -> Fault:
    pairs = zip(statement.tokens, statement.tokens[1:], strict=False)
    start = next(a.start for a, b in pairs if (a.text, b.text) == ("@", name))
    return statement.at(start, f"@{name}: {said}")
