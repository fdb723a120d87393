"""`@record_arguments("amount, payee.country")`: which fields of a body a policy puts on record."""

import re

MOST_FIELDS = 16
_FIELD = re.compile(r"[A-Za-z0-9_$@-]{1,40}(\.[A-Za-z0-9_$@-]{1,40}){0,7}")


def parse_fields(text: str) -> tuple[str, ...]:
    """Read names that are separated by commas, dots leading into objects; raises ValueError."""
    fields = tuple(part.strip() for part in text.split(","))
    if len(fields) > MOST_FIELDS or not all(map(_FIELD.fullmatch, fields)):
        raise ValueError(
            f"@record_arguments({text[:80]!r}) is not like 'amount, payee.country', "
            f"{MOST_FIELDS} fields at most"
        )
    return fields
