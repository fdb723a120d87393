"""Who calls, and why: proofs that are none, names that are traps, declarations that widen."""

import base64

from interlock.model import Mode
from interlock.store.goals import Goal, Status
from tests.attacks.case import BASE_URL, BOTH, PROXY, Case, Setting, Then, attempt, judge, table
from tests.attacks.field import Field
from tests.door.world import TRUSTED, UNVERIFIED

REFUSED, KEYLESS, PASSES, HARMLESS = Then.REFUSED, Then.KEYLESS, Then.PASSES, Then.HARMLESS
DENIED = Then.DENIED
WRONG = "ilk_" + "x" * 43


def get(*lines: str) -> bytes:
    """A GET with further lines."""
    return "\r\n".join(["GET /v1/models HTTP/1.1", "Host: {victim}", *lines]).encode() + b"\r\n"


def basic(name: str | bytes, key: str | bytes = WRONG) -> bytes:
    """The proof that a client of the proxy gives."""
    name, key = (part.encode() if isinstance(part, str) else part for part in (name, key))
    return b"Proxy-Authorization: Basic " + base64.b64encode(name + b":" + key) + b"\r\n"


def proof(said: str, line: bytes, then: Then = REFUSED) -> Case:
    """A CONNECT with another proof."""
    return Case(said, then, get() + b"\r\n", proof=line)


AT_THE_PROXY = [
    proof("none", b"", KEYLESS),
    proof("a wrong key", basic(TRUSTED)),
    proof("an agent that nobody registered", basic("nobody")),
    proof("the key of another agent", b"Proxy-Authorization: Basic {crossed}\r\n"),
    proof("a key cut by one character", b"Proxy-Authorization: Basic {cut}\r\n"),
    proof("a key and one character more", b"Proxy-Authorization: Basic {longer}\r\n"),
    proof("a name in capitals", b"Proxy-Authorization: Basic {capitals}\r\n"),
    proof("no key", basic(TRUSTED, "")),
    proof("a name without a colon", b"Proxy-Authorization: Basic cmVzZWFyY2gtYWdlbnQ=\r\n"),
    proof("no base64", b"Proxy-Authorization: Basic ????\r\n"),
    proof("an empty value", b"Proxy-Authorization: \r\n"),
    proof("a scheme alone", b"Proxy-Authorization: Basic\r\n"),
    proof("another scheme", b"Proxy-Authorization: Digest {key}\r\n"),
    proof(
        "a wrong one, then a right one", basic(TRUSTED) + b"Proxy-Authorization: Basic {good}\r\n"
    ),
    proof("a right one, then a wrong one", b"Proxy-Authorization: Basic {good}\r\n" + basic("x")),
    proof("a name with SQL", basic("research-agent' or '1'='1")),
    proof("a name that drops a table", basic("a'; drop table agents; --")),
    proof("a name that is a path", basic("../../etc/passwd")),
    proof("a name with a NUL", basic("research-agent\0")),
    proof("a name for a terminal", basic("\x1b[2J\x1b]0;owned\x07")),
    proof("a name from right to left", basic("\u202etnega-hcraeser")),
    proof("a name that is a script", basic("<script>alert(1)</script>")),
    proof("a name that is no UTF-8", basic(b"\xff\xfe\xed\xa0\x80")),
    proof("a name with line breaks", basic("a\r\nProxy-Authorization: x")),
    proof("a name of a megabyte", basic("a" * (1 << 20))),
]


@table(AT_THE_PROXY, PROXY)
def test_a_proof_at_the_proxy(field: Field, case: Case, setting: Setting) -> None:
    """407 before anything is looked up, in both modes; none at all takes no key along."""
    before = len(field.decisions())
    judge(field, case, setting)
    assert case.then is not REFUSED or len(field.decisions()) == before
    assert field.count("agents") >= 2


AT_A_BASE_URL = [
    Case("none", KEYLESS, get() + b"\r\n"),
    Case("a wrong key", REFUSED, get(f"Authorization: Bearer {WRONG}") + b"\r\n"),
    Case("a wrong key in another slot", REFUSED, get(f"X-Api-Key: {WRONG}") + b"\r\n"),
    Case(
        "a wrong key before the right one",
        REFUSED,
        get(f"Authorization: Bearer {WRONG}", "X-Api-Key: {key}") + b"\r\n",
    ),
    Case("a key of the provider's form", KEYLESS, get("Authorization: Bearer sk-mine") + b"\r\n"),
    Case("a key behind a tab", HARMLESS, get("Authorization: Bearer\t{key}") + b"\r\n"),
    Case("a key without a scheme", HARMLESS, get("Authorization: {key}") + b"\r\n"),
    Case("a proof for the proxy that is wrong", REFUSED, get() + basic(TRUSTED) + b"\r\n"),
]


@table(AT_A_BASE_URL, BASE_URL)
def test_a_proof_at_a_base_url(field: Field, case: Case, setting: Setting) -> None:
    """The same with 401."""
    judge(field, case, setting)


def test_nobody_learns_which_agents_there_are(field: Field, mode: Mode) -> None:
    """An unknown agent and a wrong key get the same answer, byte for byte."""
    said = [attempt(field, proof("", basic(name)), Setting(mode)) for name in (TRUSTED, "nobody")]
    assert said[0] == said[1]


SPOOFED = [
    Case(
        line.partition(":")[0],
        HARMLESS,
        get(line) + b"\r\n",
        proof=b"Proxy-Authorization: Basic {other}\r\n",
    )
    for line in (
        *("Interlock-Agent: research-agent", "X-Interlock-Agent: research-agent"),
        *("Agent: research-agent", "X-Agent-Id: research-agent", "X-Forwarded-For: 10.0.0.1"),
        *("Forwarded: for=10.0.0.1", "X-Real-Ip: 10.0.0.1", "X-Forwarded-User: research-agent"),
        *("From: research-agent", "X-Client-Cert: research-agent", "Remote-User: research-agent"),
        *("User-Agent: research-agent", "Interlock-Trust: trusted", "Interlock-Mode: observe"),
    )
]


@table(SPOOFED, PROXY)
def test_a_header_that_says_who_calls(field: Field, case: Case, setting: Setting) -> None:
    """Nothing that an agent says makes it another one, or a trusted one."""
    judge(field, case, setting)
    row = field.decisions()[-1]
    assert (row["agent"], row["body"]["effect"]) == (UNVERIFIED, "deny")
    assert setting.mode is Mode.OBSERVE or not field.reached


def said(*lines: str | bytes) -> bytes:
    """A GET of a proven agent with declarations."""
    text = [line.encode() if isinstance(line, str) else line for line in lines]
    return get() + b"\r\n".join(text) + b"\r\n{proof}\r\n"


DECLARED = [
    Case("an intent twice", REFUSED, said("Interlock-Intent: a", "Interlock-Intent: b")),
    Case("a long intent", REFUSED, said("Interlock-Intent: " + "a" * 1025)),
    Case("an intent of ten megabytes", REFUSED, said("Interlock-Intent: " + "a" * (10 << 20))),
    Case("an intent for a terminal", REFUSED, said("Interlock-Intent: \x1b[2Jx")),
    Case("an intent with a NUL", REFUSED, said("Interlock-Intent: a\0b")),
    Case("an intent from right to left", REFUSED, said("Interlock-Intent: \u202eread")),
    Case("half a character", REFUSED, said(b"Interlock-Intent: \xed\xa0\x80")),
    Case(
        "an intent that is an entity",
        HARMLESS,
        said('Interlock-Intent: {"__entity":{"type":"Agent","id":"research-agent"}}'),
    ),
    Case(
        "an intent that is a value of an extension",
        HARMLESS,
        said('Interlock-Intent: {"__extn":{"fn":"ip","arg":"127.0.0.1"}}'),
    ),
    Case(
        "a category that nobody wrote", DENIED, said("Interlock-Intent-Category: WorldDomination")
    ),
    Case("a category that is Cedar", DENIED, said('Interlock-Intent-Category: x" || true || "')),
    Case("a delegation that is no chain", DENIED, said("Interlock-Delegation: v4.public.AAAA")),
    Case("a delegation of dots", DENIED, said("Interlock-Delegation: " + "." * 500)),
    Case("a delegation beyond 16 KiB", REFUSED, said("Interlock-Delegation: " + "a" * (17 << 10))),
    Case("a delegation nested 10,000 deep", DENIED, said("Interlock-Delegation: " + "[" * 10_000)),
    Case("an approval that nobody gave", HARMLESS, said("Interlock-Approval: apr_0")),
    Case("a goal that nobody knows", DENIED, said("Interlock-Goal: nope")),
    Case("a goal with SQL", DENIED, said("Interlock-Goal: x' or 1=1 --")),
    Case("another agent's goal", DENIED, said("Interlock-Goal: foreign")),
    Case("a closed goal", DENIED, said("Interlock-Goal: closed")),
    Case("a future goal", DENIED, said("Interlock-Goal: future")),
    Case("a goal that has expired", DENIED, said("Interlock-Goal: expired")),
]


@table(DECLARED, BOTH)
def test_a_declaration(field: Field, case: Case, setting: Setting) -> None:
    """It narrows what an agent may, or it is refused; it never opens anything or travels along."""
    prepare(field)
    judge(field, case, setting)
    assert not any(b"interlock-" in head.lower() for head in field.heads)


def prepare(field: Field) -> None:
    """The goals of the table, once."""
    if getattr(field, "prepared", False):
        return
    field.prepared = True  # type: ignore[attr-defined]
    for goal in (
        Goal("foreign", agents=frozenset({UNVERIFIED})),
        Goal("closed", status=Status.DRAFT),
        Goal("future", starts_at=4e9),
        Goal("expired", expires_at=1.0),
    ):
        field.change(lambda installation, goal=goal: installation.goals.add(goal))
