"""One question of `interlock doctor`, answered."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How serious it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Check:
    """One answer."""

    subject: str
    status: Status
    found: str
    advice: str = ""
