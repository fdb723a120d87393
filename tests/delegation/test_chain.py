"""The laws of chains: only the whole one, as it was signed, from a user to the one that calls."""

import hashlib
import json
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from broker import Broker, Grant, Keyring, Secret, TokenError, Wire, paseto
from broker.claims import encode_footer
from interlock.delegation import (
    AttenuationError,
    BrokenError,
    DelegationError,
    DepthError,
    ExpiredError,
    ForgedError,
    Link,
    MalformedError,
    PublicKey,
    RevokedError,
    Scope,
    SignerError,
    attenuate,
    grant,
    kid_of,
    read_chain,
    verify,
)
from interlock.delegation.link import PURPOSE, sign_link
from interlock.model import Entity
from tests.delegation.cast import (
    ADA,
    CHAIN,
    FOREIGN,
    GRANTED,
    HANDED_ON,
    KEY,
    KEYS,
    NOW,
    ROOT,
    A,
    B,
    C,
    D,
    narrower,
)

LINKS = CHAIN.split("~")
IDS = tuple(link.id for link in read_chain(CHAIN))


def check(chain: str, agent: str = "c", now: float = NOW, **changed: Any) -> Any:
    return verify(chain, **{"keys": KEYS, "revoked": (), "agent": agent, "now": now} | changed)


def forge(*links: tuple[Entity, Entity, Scope], signed_by: tuple[SigningKey, ...] = ()) -> str:
    """Sign links as a holder who keeps to none of our rules would."""
    tokens = [""]
    for number, (from_, to, scope) in enumerate(links):
        key = signed_by[number] if signed_by else KEY[from_]
        link = Link(f"dlg_{number:020x}", from_, to, scope, kid_of(key.verify_key))
        tokens.append(sign_link(link, key, tokens[-1]))
    return "~".join(tokens[1:])


def test_tells_who_acts_for_whom() -> None:
    """The user, every agent in order, and what is left for the last one."""
    chain = check(CHAIN)
    assert chain.depth == 3
    assert chain.delegated_by == ADA
    assert chain.actors == (ADA, A, B, C)
    assert chain.scope == replace(ROOT, depth=6)
    assert chain.ids == IDS
    assert check(GRANTED, "a").depth == 1


ONE, TWO = narrower(ROOT), narrower(narrower(ROOT))
LATE = replace(ROOT, not_before=NOW + 100)
SHORT = narrower(ROOT, expires=NOW + 10)
NO_MORE = replace(ROOT, depth=0)


@pytest.mark.parametrize(
    ("chain", "error", "link"),
    [
        pytest.param("", MalformedError, 1, id="nothing"),
        pytest.param("~", MalformedError, 1, id="nothing twice"),
        pytest.param("none", MalformedError, 1, id="a word"),
        pytest.param(CHAIN + "~", MalformedError, 4, id="an end without a link"),
        pytest.param("~" + CHAIN, MalformedError, 1, id="a beginning without a link"),
        pytest.param(CHAIN.replace("~", ","), MalformedError, 1, id="another separator"),
        pytest.param("x" * 16_385, MalformedError, 0, id="too long"),
        pytest.param("é" * 99, MalformedError, 1, id="not ASCII"),
        pytest.param("\ud800", MalformedError, 1, id="a lone surrogate"),
        pytest.param("v4.public.AAAA", MalformedError, 1, id="no footer"),
        pytest.param(forge((ADA, A, ROOT), (B, C, ONE)), BrokenError, 2, id="another start"),
        pytest.param(forge((A, C, ROOT)), BrokenError, 1, id="a root that no user signed"),
        pytest.param(forge((ADA, ADA, ROOT)), BrokenError, 1, id="to a user"),
        pytest.param(forge((ADA, A, ROOT), (A, A, ONE)), BrokenError, 2, id="to oneself"),
        pytest.param(
            forge((ADA, A, ROOT), (A, B, ONE), (B, A, TWO)), BrokenError, 3, id="in a circle"
        ),
        pytest.param(HANDED_ON, BrokenError, 2, id="an end elsewhere"),
        pytest.param(forge((ADA, A, ROOT), (A, C, ROOT)), AttenuationError, 2, id="widened"),
        pytest.param(forge((ADA, A, NO_MORE), (A, C, ONE)), DepthError, 2, id="one too many"),
        pytest.param(forge((ADA, C, LATE)), ExpiredError, 1, id="not valid yet"),
        pytest.param(
            forge((ADA, C, replace(ROOT, not_before=1, expires=NOW))), ExpiredError, 1, id="over"
        ),
        pytest.param(
            forge((ADA, C, ROOT), signed_by=(KEY[A],)), SignerError, 1, id="an agent as the user"
        ),
        pytest.param(
            forge((ADA, A, ROOT), (A, C, ONE), signed_by=(KEY[ADA], KEY[ADA])),
            SignerError,
            2,
            id="the user as the agent",
        ),
        pytest.param(
            forge((ADA, A, ROOT), (A, C, ONE), signed_by=(KEY[ADA], FOREIGN)),
            SignerError,
            2,
            id="a foreign key",
        ),
    ],
)
def test_refuses(chain: str, error: type[DelegationError], link: int) -> None:
    """Each failure has its own error, which names the link."""
    with pytest.raises(error) as refused:
        check(chain)
    assert refused.value.link == link
    assert type(refused.value) is error


def test_one_link_too_late_in_the_middle_ends_the_chain() -> None:
    """Also when the links around it, by breaking the rules, would last longer."""
    chain = forge((ADA, A, ROOT), (A, B, SHORT), (B, C, TWO))
    with pytest.raises(ExpiredError, match="link 2: it has expired"):
        check(chain, now=NOW + 10)
    with pytest.raises(AttenuationError, match=r"link 3: .* exp"):
        check(chain, now=NOW)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_revoked_link_ends_the_chain(number: int) -> None:
    """Wherever it stands."""
    with pytest.raises(RevokedError, match=f"link {number}: {IDS[number - 1]}"):
        check(CHAIN, revoked={IDS[number - 1], "dlg_0"})


@pytest.mark.parametrize(("number", "holder"), [(1, ADA), (2, A), (3, B)])
def test_a_revoked_or_unknown_key_ends_the_chain(number: int, holder: Entity) -> None:
    """Whatever it signed, and whenever it says that it did."""
    kid = kid_of(KEY[holder].verify_key)
    ended = PublicKey(holder, KEY[holder].verify_key, revoked_at=NOW + 9)
    with pytest.raises(SignerError, match=f"link {number}: the key {kid} .* revoked"):
        check(CHAIN, keys=KEYS | {kid: ended})
    with pytest.raises(SignerError, match=f"link {number}: its key is not registered"):
        check(CHAIN, keys={k: key for k, key in KEYS.items() if k != kid})


@given(st.integers(0, len(CHAIN) - 1), st.integers(0, 6))
def test_refuses_any_flipped_bit(index: int, bit: int) -> None:
    """One bit anywhere, and there is no chain."""
    flipped = CHAIN[:index] + chr(ord(CHAIN[index]) ^ 1 << bit) + CHAIN[index + 1 :]
    with pytest.raises(DelegationError):
        check(flipped)


@given(st.integers(0, len(CHAIN) - 1), st.integers(1, len(CHAIN)))
def test_refuses_any_piece_cut_out(start: int, length: int) -> None:
    """Front, middle or end."""
    with pytest.raises(DelegationError):
        check(CHAIN[:start] + CHAIN[start + length :])


def test_refuses_links_in_any_other_order_or_number() -> None:
    """Reordered, left out or repeated: a link fits behind exactly one other."""
    for count in range(1, 5):
        for picked in permutations([*LINKS, LINKS[1]], count):
            other = "~".join(picked)
            if other != CHAIN:
                with pytest.raises(DelegationError):
                    check(other)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_refuses_a_link_of_another_chain(number: int) -> None:
    """Even when the same key signed the same words for the same agent."""
    twin = grant(KEY[ADA], ADA, A, ROOT, NOW)
    twin = attenuate(twin, KEY[A], B, ONE, NOW)
    twin = attenuate(twin, KEY[B], C, TWO, NOW)
    assert check(twin).actors == check(CHAIN).actors
    swapped = [*LINKS[: number - 1], twin.split("~")[number - 1], *LINKS[number:]]
    with pytest.raises(ForgedError):
        check("~".join(swapped))


@given(st.binary(min_size=32, max_size=32))
def test_refuses_any_other_key_under_a_known_name(seed: bytes) -> None:
    """A kid is a name, not a proof."""
    assume(seed not in map(bytes, KEY.values()))
    key = SigningKey(seed)
    link = Link("dlg_" + "0" * 20, ADA, C, ROOT, kid_of(KEY[ADA].verify_key))
    with pytest.raises(ForgedError, match="link 1"):
        check(sign_link(link, key, ""))


def test_refuses_a_chain_longer_than_the_limit_before_it_looks_at_it() -> None:
    """Nine links by default, and what a governor sets otherwise."""
    with pytest.raises(DepthError, match="link 10"):
        check("~".join(["x"] * 10))
    with pytest.raises(DepthError, match="link 3"):
        check(CHAIN, limit=1)
    assert check(CHAIN, limit=2).depth == 3


CLAIMS = json.loads(paseto.verify(GRANTED, KEY[ADA].verify_key, paseto.pae(PURPOSE, b""))[0])


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[" * 9_000, id="a parser's nightmare"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"[]", id="a list"),
        pytest.param({"sub": "a"}, id="a claim too many"),
        pytest.param({"depth": True}, id="a truth for a number"),
        pytest.param({"depth": 1e0}, id="a fraction"),
        pytest.param({"depth": -1}, id="a depth below nothing"),
        pytest.param({"actions": []}, id="an empty list"),
        pytest.param({"actions": "*"}, id="a text for a list"),
        pytest.param({"goals": [["*"]]}, id="a list in a list"),
        pytest.param({"nbf": 0}, id="a number for a time"),
        pytest.param({"exp": "2099-01-01T00:00:00"}, id="a time without a zone"),
        pytest.param({"exp": "never"}, id="a time that is none"),
        pytest.param({"exp": "1970-01-01T00:00:01+00:00"}, id="an end before the beginning"),
        pytest.param({"to": "c"}, id="an agent without its type"),
        pytest.param({"to": 'Agent::"a"b"'}, id="a quote in a name"),
        pytest.param({"to": 'Tool::"a"'}, id="to a tool"),
        pytest.param({"id": "1"}, id="another id"),
    ],
)
def test_refuses_claims_that_are_no_links(payload: Any) -> None:
    """Well signed by a person whom we know, and yet no link."""
    raw = payload if isinstance(payload, bytes) else json.dumps(CLAIMS | payload).encode()
    footer = encode_footer(kid_of(KEY[ADA].verify_key))
    token = paseto.sign(raw, KEY[ADA], footer, paseto.pae(PURPOSE, b""))
    with pytest.raises(MalformedError, match="link 1"):
        check(token)
    with pytest.raises(MalformedError, match="link 1"):
        read_chain(token)


WIRE = Wire("POST", "a.example:443", "/", hashlib.sha256(b"").digest(), verified=True)
SCT = Grant("sct_1", "a", "chat", "Model", "s", "a.example:443", "dec_1", "", "", WIRE.assertion())


def test_a_token_for_a_secret_is_no_link() -> None:
    """Not even when one key, against all advice, signs both."""
    token = Broker(Keyring([KEY[ADA]])).issue(SCT, Secret("sk-1"), NOW)
    with pytest.raises(ForgedError, match="link 1"):
        check(token, "a")


@pytest.mark.parametrize("link", LINKS)
def test_a_link_is_no_token_for_a_secret(link: str) -> None:
    """The broker knows the key and refuses all the same."""
    broker = Broker(Keyring([KEY[ADA], KEY[A], KEY[B]]))
    broker.issue(SCT, Secret("sk-1"), NOW)
    with pytest.raises(TokenError, match="signature"):
        broker.redeem(link, WIRE, NOW)


def test_every_error_names_its_link() -> None:
    """Zero is the chain as a whole."""
    assert str(BrokenError(2, "it breaks")) == "delegation link 2: it breaks"
    assert str(MalformedError(0, "chains are short")) == "delegation chains are short"


def test_nobody_but_the_last_agent_may_call() -> None:
    """Neither those before it nor a stranger."""
    for agent in ("a", "b", "ada", "d", "", D.id):
        with pytest.raises(BrokenError, match="not at the agent that calls"):
            check(CHAIN, agent)
