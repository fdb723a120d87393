"""Makes planted keys: random, and to the eye a key of the kind that a thief looks for."""

import secrets
import string
from collections.abc import Mapping
from typing import Literal

_LETTERS = string.ascii_letters + string.digits
_URL_SAFE = _LETTERS + "-_"
_BASE32 = string.ascii_uppercase + "234567"

Kind = Literal["openai", "anthropic", "github", "gitlab", "aws", "google", "slack", "stripe"]
type Part = str | tuple[str, int]

# Text as it stands, or an alphabet and how many characters of it.
KINDS: Mapping[Kind, tuple[Part, ...]] = {
    "openai": ("sk-proj-", (_URL_SAFE, 74), "T3BlbkFJ", (_URL_SAFE, 73), (_LETTERS, 1)),
    "anthropic": ("sk-ant-api03-", (_URL_SAFE, 93), "AA"),
    "github": ("ghp_", (_LETTERS, 36)),
    "gitlab": ("glpat-", (_LETTERS, 20)),
    # The key id: the secret that belongs to it never travels, requests are signed with it.
    "aws": ("AKIA", (_BASE32, 16)),
    "google": ("AIza", (_URL_SAFE, 34), (_LETTERS, 1)),
    "slack": ("xoxb-", (string.digits, 12), "-", (string.digits, 13), "-", (_LETTERS, 24)),
    "stripe": ("sk_live_51", (_LETTERS, 97)),
}


def imitate(kind: Kind) -> str:
    """Make a new value that looks like a key of this kind."""
    return "".join(part if isinstance(part, str) else _random(*part) for part in KINDS[kind])


def _random(alphabet: str, count: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(count))
