"""A set of names as a row holds it: a JSON list."""

import json
from functools import lru_cache


@lru_cache(maxsize=1024)  # thousands of rows share a few lists, the empty one above all
def names_in(text: str) -> frozenset[str]:
    """The names of a column."""
    return frozenset(json.loads(text))
