"""Patterns for hosts and paths: a `*` never reaches over a dot or a slash.

A pattern is compared segment by segment (labels of a host, segments of a path). One `*` in a
segment stands for one character or more. So two patterns can be held against each other exactly.
"""

from collections.abc import Iterable, Sequence
from itertools import starmap

# Where anyone can get a name of the next level: whoever asks for it is not known.
_REGISTRIES = frozenset(
    {"ac", "co", "com", "edu", "firm", "go", "gob", "gov", "gouv", "id", "ind", "info", "me"}
    | {"mil", "ne", "net", "nom", "or", "org", "plc", "sch", "web"}
)
_SHARED = (
    *("a.run.app", "appspot.com", "azurecontainerapps.io", "azureedge.net", "azurefd.net"),
    *("azurestaticapps.net", "azurewebsites.net", "blogspot.com", "cloudapp.azure.com"),
    *("cloudapp.net", "cloudfront.net", "cloudfunctions.net", "compute.amazonaws.com"),
    *("core.windows.net", "deno.dev", "elasticbeanstalk.com", "elb.amazonaws.com"),
    *("endpoints.huggingface.cloud", "execute-api.amazonaws.com", "firebaseapp.com", "fly.dev"),
    *("github.dev", "github.io", "gitlab.io", "gitpod.io", "glitch.me", "herokuapp.com"),
    *("hf.space", "lambda-url.amazonaws.com", "loca.lt", "netlify.app", "ngrok.app", "ngrok.dev"),
    *("ngrok-free.app", "ngrok-free.dev", "ngrok.io", "on.aws", "onrender.com", "pages.dev"),
    *("r2.dev", "railway.app", "readthedocs.io", "repl.co", "replit.app", "replit.dev"),
    *("s3.amazonaws.com", "supabase.co", "surge.sh", "trycloudflare.com", "vercel.app"),
    *("web.app", "workers.dev"),
)
# Whose names of the next level are services of their own, one key for all of which there is not.
_CLOUDS = frozenset({"amazonaws.com", "azure.com", "googleapis.com", "windows.net"})


def is_pattern(text: str) -> bool:
    """True for what is no plain name."""
    return "*" in text


def host_fits(pattern: str, host: str) -> bool:
    """Say whether a canonical host is one that a pattern means; a plain name means itself."""
    if not is_pattern(pattern):
        return pattern == host
    wanted, given = pattern.split("."), host.split(".")
    return len(wanted) == len(given) and _all_fit(wanted, given)


def hosts_overlap(one: str, other: str) -> bool:
    """Say whether there is a host that both mean."""
    first, second = one.split("."), other.split(".")
    return len(first) == len(second) and all(starmap(_meet, zip(first, second, strict=True)))


def path_fits(pattern: str, path: str) -> bool:
    """Say whether a path, without query, is the one of a pattern or lies below it."""
    wanted, given = segments_of(pattern), path.removeprefix("/").split("/")
    return len(wanted) <= len(given) and _all_fit(wanted, given)


def paths_overlap(one: str, other: str) -> bool:
    """Say whether there is a path that both mean."""
    return all(starmap(_meet, zip(segments_of(one), segments_of(other), strict=False)))


def segments_of(pattern: str) -> list[str]:
    """The segments of a path pattern; none for `/`, which means every path."""
    return pattern.strip("/").split("/") if pattern != "/" else []


def tail_of(host: str) -> str:
    """The last two labels, which are fixed in every pattern."""
    return ".".join(host.rsplit(".", 2)[-2:])


def host_objection(pattern: str) -> str:
    """Say why a host pattern could mean a stranger's host; empty when it cannot."""
    head, _, tail = pattern.partition("*")
    rest, _, tail = tail.partition(".")
    if "*" in rest + tail:
        return "use one '*', it stands for one label or a part of one"
    if head.rpartition(".")[2].startswith("xn--"):
        return "a '*' cannot stand in a label of the form xn--"
    labels = tail.split(".")
    if len(labels) < 2 or labels[-1].isdigit():
        return "two labels at least must follow the one with the '*'"
    registry = len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _REGISTRIES
    shared = any(f".{tail}".endswith(f".{suffix}") for suffix in _SHARED)
    bare = pattern.startswith("*.")
    cloud = bare and (tail in _CLOUDS or tail.endswith(".amazonaws.com"))
    if registry or shared or cloud:
        return f"anyone can have a name under {tail}"
    return ""


def path_objection(pattern: str) -> str:
    """Say why a text is no path pattern; empty when it is one."""
    if not pattern.startswith("/") or "?" in pattern:
        return "a path begins with '/' and has no '?'"
    if any(segment.count("*") > 1 for segment in segments_of(pattern)):
        return "use one '*' in a segment, it never reaches over a '/'"
    return ""


def _all_fit(wanted: Sequence[str], given: Iterable[str]) -> bool:
    return all(starmap(_fits, zip(wanted, given, strict=False)))


def _fits(wanted: str, given: str) -> bool:
    head, star, tail = wanted.partition("*")
    if not star:
        return wanted == given
    return len(given) > len(head) + len(tail) and given.startswith(head) and given.endswith(tail)


def _meet(one: str, other: str) -> bool:
    """Say whether there is a segment that both mean."""
    if not is_pattern(one):
        return _fits(other, one)
    if not is_pattern(other):
        return _fits(one, other)
    (head, _, tail), (head_, _, tail_) = one.partition("*"), other.partition("*")
    return (head.startswith(head_) or head_.startswith(head)) and (
        tail.endswith(tail_) or tail_.endswith(tail)
    )
