"""What people type, read once at the edge: durations, names, hosts, plain text."""

import ipaddress
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import typer

from interlock.calls.hosts import parse_destination
from interlock.model import Authority

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_SECRET_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
LONGEST_DURATION_S = 36500 * 86400
LONGEST_TEXT = 1024


def parse_duration(text: str) -> float:
    """Read `45s`, `30m`, `8h` or `90d` into seconds; raises ValueError."""
    found = _DURATION.fullmatch(text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if seconds > LONGEST_DURATION_S:
        raise ValueError(f"{text[:40]!r} is longer than {LONGEST_DURATION_S // 86400}d")
    if not seconds:
        raise ValueError(f"{text[:40]!r} is not a duration such as 45s, 30m, 8h or 90d")
    return float(seconds)


def parse_address(text: str) -> str:
    """Read an IP address; raises ValueError."""
    return str(ipaddress.ip_address(text))


def parse_moment(text: str) -> float:
    """Read a date, a time (UTC unless it says otherwise) or an age into epoch seconds."""
    if _DURATION.fullmatch(text):
        return time.time() - parse_duration(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is not like 2026-11-24, 2026-11-24T18:00:00Z or 7d"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def require_order(first: str, start: float | None, last: str, end: float | None) -> None:
    """Refuse two moments, named as their options are, of which the first is the later one."""
    if start is not None and end is not None and start > end:
        raise typer.BadParameter(f"{first} is later than {last}, so nothing lies between them")


def parse_text(text: str) -> str:
    """Read one printable line, as long as a declaration header may be; raises ValueError."""
    if len(text) > LONGEST_TEXT or not text.isprintable():
        raise ValueError(f"use one line of printable text, {LONGEST_TEXT} characters at most")
    return text


def parse_secret_name(text: str) -> str:
    """Read the name of a secret; raises ValueError."""
    if not _SECRET_NAME.fullmatch(text):
        raise ValueError(
            f"{text[:64]!r} is not a secret name: "
            "use letters, digits, '.', '_' and '-', 128 at most"
        )
    return text


def parse_host(text: str) -> Authority:
    """Read HOST or HOST:PORT, one `*` in HOST standing for a label; raises ValueError."""
    return parse_destination(text)


def parse_method(text: str) -> str:
    """Read a method of HTTP, in upper case from then on; raises ValueError."""
    if not _METHOD.fullmatch(text.upper()):
        raise ValueError(f"{text[:40]!r} is not a method such as GET or POST")
    return text.upper()


def typed[T](parse: Callable[[str], T]) -> Callable[[str], T]:
    """Make a parser of ours one for typer, which keeps the words of BadParameter only."""

    def read(text: str) -> T:
        try:
            return parse(text)
        except ValueError as e:
            raise typer.BadParameter(str(e)) from None

    return read
