"""What is wrong with the categories and the cases of a folder, each entry by itself."""

import re
import tomllib
from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from interlock.apdp.case import parse_case
from interlock.apdp.category import parse_category
from interlock.apdp.place import Fault, fault_at

_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


def intent_faults(text: str, actions: frozenset[str] | None) -> Iterator[Fault]:
    """Say what is wrong with each category of an intents.toml."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as e:
        said = str(e)
        place = _TOML_PLACE.search(said)
        line, column = map(int, place.groups()) if place else (0, 0)
        yield Fault(_TOML_PLACE.sub("", said), line, column)
        return
    if not tables:
        yield Fault("there is no category in this file")
    for title, body in tables.items():
        try:
            parse_category(title, body, actions)
        except ValueError as e:
            yield _in_category(text, title, str(e))


def _in_category(text: str, title: str, said: str) -> Fault:
    """The line of the field that the words begin with, or that of the category."""
    field = re.escape(said.partition(":")[0])
    name = re.escape(title)
    head = re.search(rf"^[ \t]*\[?[ \t]*[\"']?{name}[\"']?[ \t]*[\]=]", text, re.MULTILINE)
    if not head:
        return Fault(f"category {title!r}: {said}")
    rest = re.compile(
        rf"(?:(?!^[ \t]*\[).)*?^[ \t]*(?P<f>{field})[ \t]*=", re.MULTILINE | re.DOTALL
    )
    found = rest.match(text, head.end())
    return fault_at(
        text, found.start("f") if found else head.start(), f"category {title!r}: {said}"
    )


def case_faults(text: str, actions: frozenset[str] | None) -> Iterator[Fault]:
    """Say what is wrong with each case of a file."""
    yaml = YAML(typ="safe", pure=True)
    try:
        entries, root = yaml.load(text), yaml.compose(text)
    except MarkedYAMLError as e:
        mark = e.problem_mark
        yield Fault(str(e.problem), *((mark.line + 1, mark.column + 1) if mark else ()))
        return
    except (YAMLError, ValueError, RecursionError) as e:
        yield Fault(str(e).splitlines()[0])
        return
    if not isinstance(entries, list) or not entries or not isinstance(root, SequenceNode):
        yield Fault("use a list of cases that is not empty")
        return
    for entry, node in zip(entries, root.value, strict=True):
        try:
            case = parse_case("", entry)
            if actions is not None and case.call.action not in actions:
                raise ValueError(f"action: {case.call.action!r} is no action of the schema")
        except ValueError as e:
            yield _in_case(node, str(e))


def _in_case(node: Node, said: str) -> Fault:
    """The place of the field that the words lead to."""
    at = node
    for name in said.split(": "):
        pairs = node.value if isinstance(node, MappingNode) else ()
        found = next(((key, value) for key, value in pairs if key.value == name), None)
        if not found:
            break
        at, node = found
    return Fault(said, at.start_mark.line + 1, at.start_mark.column + 1)
