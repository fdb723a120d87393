"""Grants as data: each link in `links.toml` fills the slots of a template and is a policy then."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from interlock.apdp.validation import slots_of

LINKS = "links.toml"
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_UID = re.compile(r'((?:\w+::)*\w+)::"((?:[^"\\]|\\["\\])*)"')
_TEXTS = ("id", "template", "principal", "resource", "description")


@dataclass(frozen=True, slots=True)
class Link:
    """One grant: a template, and what its slots stand for, as in `Agent::"research-agent"`.

    Empty where the template has no such slot. `expires` is in seconds since the epoch.
    """

    id: str
    template: str
    principal: str = ""
    resource: str = ""
    description: str = ""
    expires: int | None = None


def parse_links(text: str) -> tuple[Link, ...]:
    """Read the text of a `links.toml`; raises ValueError naming link and field."""
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    entries = document.pop("link", [])
    if document or not isinstance(entries, list):
        raise ValueError("use entries under [[link]] and nothing else")
    return tuple(_parse(number, entry) for number, entry in enumerate(entries, start=1))


def _parse(number: int, entry: object) -> Link:
    if not isinstance(entry, dict):
        raise ValueError(f"link {number}: use entries under [[link]]")
    place = f"link {entry.get('id', number)!r}"
    if unknown := entry.keys() - {*_TEXTS, "expires"}:
        raise ValueError(f"{place}: {min(unknown)}: unknown field")
    for name in _TEXTS:
        if not isinstance(entry.get(name, ""), str):
            raise ValueError(f"{place}: {name}: is not text")
    if not _ID.fullmatch(entry.get("id", "")):
        raise ValueError(f"{place}: id: use letters, digits, '.', '_' and '-', 128 at most")
    if not entry.get("template"):
        raise ValueError(f"{place}: template: is missing")
    for slot in ("principal", "resource"):
        if entry.get(slot) and not _UID.fullmatch(entry[slot]):
            raise ValueError(f'{place}: {slot}: {entry[slot]!r} is not like Agent::"name"')
    return Link(**entry | {"expires": _seconds(place, entry.get("expires"))})


def _seconds(place: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"{place}: expires: use a time with its zone: 2027-01-31T12:00:00Z")
    return int(value.timestamp())


def write_links(links: Iterable[Link]) -> str:
    """The text of a `links.toml` that reads back as these links."""
    return "\n".join(_text(link) for link in links)


def _text(link: Link) -> str:
    lines = ["[[link]]"]
    for name in _TEXTS:
        if value := getattr(link, name):
            # A JSON string is a TOML one, but for DEL, which TOML wants escaped.
            quoted = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
            lines.append(f"{name} = {quoted}")
    if link.expires is not None:
        lines.append(f"expires = {datetime.fromtimestamp(link.expires, UTC):%Y-%m-%dT%H:%M:%SZ}")
    return "\n".join(lines) + "\n"


def fill(template: Mapping[str, Any], link: Link) -> dict[str, Any]:
    """The policy that a template becomes by a link, in Cedar's JSON.

    Raises ValueError when not exactly the slots that the template has are given.
    """
    slots = slots_of(template)
    given = {name: value for name in ("principal", "resource") if (value := getattr(link, name))}
    if missing := slots - given.keys():
        raise ValueError(f"{min(missing)}: template {link.template!r} has a slot for it; give one")
    if surplus := given.keys() - slots:
        raise ValueError(f"{min(surplus)}: template {link.template!r} has no slot for it")
    notes = dict(template["annotations"]) | {"id": link.id}
    if link.description:
        notes["description"] = link.description
    filled = {name: _filled(template[name], entity_of(given[name])) for name in slots}
    conditions = [*template["conditions"], *_until(link.expires)]
    return {**template, **filled, "annotations": notes, "conditions": conditions}


def entity_of(text: str) -> dict[str, str]:
    """Type and id of an entity as people write it; raises ValueError."""
    found = _UID.fullmatch(text)
    if not found:
        raise ValueError(f'{text!r} is not like Agent::"name"')
    return {"type": found[1], "id": re.sub(r"\\(.)", r"\1", found[2])}


def _filled(asked: Mapping[str, Any], entity: Mapping[str, str]) -> dict[str, Any]:
    """One third of a scope with the entity where its slot was."""
    if "in" in asked:
        return {**asked, "in": {"entity": entity}}
    return {name: part for name, part in asked.items() if name != "slot"} | {"entity": entity}


def _until(expires: int | None) -> Sequence[Mapping[str, Any]]:
    """The condition `when { context.now < expires }`: Cedar keeps the time, not the loader."""
    if expires is None:
        return ()
    now = {".": {"left": {"Var": "context"}, "attr": "now"}}
    return ({"kind": "when", "body": {"<": {"left": now, "right": {"Value": expires}}}},)
