"""Where a secret is kept when it is not kept here; a reference itself is no secret."""

from dataclasses import dataclass

LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Reference:
    """`text` is what was written; a store reads `path` and, where it has any, `field`."""

    text: str
    store: str
    path: str
    field: str = ""

    def __str__(self) -> str:
        return self.text
