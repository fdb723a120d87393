"""Tells secrets in plain text from references to them, and never says what they are."""

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

from interlock.discovery.signs import key_names

HIDDEN = "***"
_OURS = ("ilk_", "ils_")
_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-[\w-]{16,}|AIza[\w-]{30,}|gsk_\w{20,}|hf_\w{20,}|xai-\w{20,}"
    r"|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|r8_\w{20,}"
    r"|A(?:KIA|SIA)[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*)"
)
_TELLING = re.compile(
    r"(?:^|[_-])(?:api_?key|apikey|token|secret|password|passwd|credentials?|access_?key|auth"
    r"|authorization|private_?key)(?:$|[_-])",
    re.IGNORECASE,
)
# What points at a secret that is kept elsewhere: ${VAR}, $VAR, {env:X}, op://, a template.
_REFERENCE = re.compile(
    r"\$\{?\w[\w.:-]*\}?|\$\{[^}]+\}|\{(?:env|file):[^}]+\}|\{\{.*\}\}|<[^>]*>|\w+://[^@\s]*"
    r"|vault:.*|env:.*|keyring:.*"
)
_PLACEHOLDER = re.compile(
    r"(?:your|my|insert|replace|change|enter|example|dummy|fake|placeholder|not[-_ ]?needed|none"
    r"|null|true|false|todo|xxx|test)(?:[-_ ].*|me)?|x{3,}|\*+|\.+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?:bearer|basic|token)\s+", re.IGNORECASE)
# Where secrets stand inside a word: assignments in a line for a shell, and URLs.
_PARTS = (
    (
        re.compile(r"(?i)(\b\w*(?:key|token|secret|passw\w*|credentials?)\w*\s*[=:]\s*)[^\s;&]+"),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?<=://)[^/\s@]+@"), f"{HIDDEN}@"),
    (re.compile(r"(://[^\s?]*)\?\S+"), rf"\1?{HIDDEN}"),
    (_SHAPES, HIDDEN),
)


def is_provider_key(name: str, value: str) -> bool:
    """True for a variable that holds a provider's real key, in place of one of ours."""
    return bool(key_names([name])) and _is_bare(value, shortest=16)


def is_secret(name: str, value: str) -> bool:
    """True for a variable, header or argument that holds a secret in plain text."""
    bare = _SCHEME.sub("", value, count=1)
    if bare.startswith(_OURS):
        return False
    if _SHAPES.search(value):
        return True
    named = bool(key_names([name])) or _TELLING.search(_snaked(name)) is not None
    return named and _is_bare(bare, shortest=8)


def _is_bare(value: str, shortest: int) -> bool:
    value = value.strip()
    if value.startswith(_OURS) or len(value) < shortest:
        return False
    return not (_REFERENCE.fullmatch(value) or _PLACEHOLDER.fullmatch(value))


def _snaked(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def plain_names(values: Mapping[str, str]) -> list[str]:
    """The names of the variables that hold a secret in plain text."""
    return sorted(name for name, value in values.items() if is_secret(name, value))


def hide(words: Iterable[str]) -> tuple[str, ...]:
    """Arguments of a command, with what may be secret in them hidden."""
    shown: list[str] = []
    for word in words:
        option = shown[-1] if shown and shown[-1].startswith("-") else ""
        shown.append(_hidden(option, word))
    return tuple(shown)


def plain_arguments(words: Sequence[str]) -> bool:
    """True when a secret stands among the arguments of a command."""
    return HIDDEN in " ".join(hide(words)) and HIDDEN not in " ".join(words)


def public_url(url: str) -> str:
    """A URL without user, password, query and fragment, which may hold a key."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, host + port, parts.path, "", ""))


def _hidden(option: str, word: str) -> str:
    name, equals, value = word.partition("=")
    if equals and is_secret(name.lstrip("-"), value):
        return f"{name}={HIDDEN}"
    if option and is_secret(option.lstrip("-"), word) and not word.startswith("-"):
        return HIDDEN
    for pattern, shown in _PARTS:
        word = pattern.sub(shown, word)
    return word
