"""The laws of issuing and redeeming: I1 and I3 as far as a library can hold them."""

import base64
import json
import os
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from broker import (
    Broker,
    Grant,
    KeyFolder,
    Keyring,
    Secret,
    TokenError,
    TokenExpiredError,
    TokenForgedError,
    TokenMalformedError,
    TokenReplayedError,
    TokenScopeError,
    Wire,
    paseto,
)
from broker.claims import encode_claims, encode_footer, encode_implicit

NOW = 1_800_000_000.0


def test_a_token_is_worth_its_secret_once(
    broker: Broker, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """The first redemption gives the secret, every other one is a replay."""
    token = broker.issue(grant, secret, NOW)
    assert broker.redeem(token, wire, NOW) is secret
    for _ in range(2):
        with pytest.raises(TokenReplayedError) as caught:
            broker.redeem(token, wire, NOW)
        assert caught.value.token_id == grant.id


@pytest.fixture
def _polite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other threads in at the worst moment: between seeing that a right exists and taking it.

    There the broker asks for its process id.
    """
    process = os.getpid()

    def getpid() -> int:
        time.sleep(1e-5)
        return process

    monkeypatch.setattr(os, "getpid", getpid)


@pytest.mark.usefixtures("_polite")
def test_64_threads_get_one_secret(
    broker: Broker, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """Of 64 that redeem one token at the same moment exactly one has it."""
    for attempt in range(20):
        token = broker.issue(replace(grant, id=f"sct_{attempt}"), secret, NOW)
        start = threading.Barrier(64)

        def redeem(token: str = token, start: threading.Barrier = start) -> type:
            start.wait()
            try:
                return type(broker.redeem(token, wire, NOW))
            except TokenError as error:
                return type(error)

        with ThreadPoolExecutor(64) as pool:
            results = Counter(f.result() for f in [pool.submit(redeem) for _ in range(64)])
        assert results == {Secret: 1, TokenReplayedError: 63}


def test_a_forked_process_has_no_rights(
    broker: Broker, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """A fork copies memory; the right to redeem stays where it was issued."""
    token = broker.issue(grant, secret, NOW)
    child = os.fork()
    if child == 0:
        try:
            broker.redeem(token, wire, NOW)
        except TokenReplayedError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert broker.redeem(token, wire, NOW) is secret


def test_a_restart_ends_every_right(
    keyring: Keyring, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """Another broker with the same keys, be it a worker, a node or a restart, refuses the token."""
    token = Broker(keyring).issue(grant, secret, NOW)
    with pytest.raises(TokenReplayedError):
        Broker(keyring).redeem(token, wire, NOW)


@given(where=st.integers(0), flip=st.integers(1, 127))
def test_a_changed_token_is_refused_and_harms_nothing(
    keyring: Keyring, grant: Grant, secret: Secret, wire: Wire, where: int, flip: int
) -> None:
    """Any character changed makes it malformed or forged, and the genuine token stays good."""
    broker = Broker(keyring)
    token = broker.issue(grant, secret, NOW)
    index = where % len(token)
    changed = token[:index] + chr(ord(token[index]) ^ flip) + token[index + 1 :]
    with pytest.raises((TokenMalformedError, TokenForgedError)):
        broker.redeem(changed, wire, NOW)
    assert broker.redeem(token, wire, NOW) is secret


@given(cut=st.integers(0), tail=st.text(min_size=1))
def test_a_token_is_whole_or_nothing(
    keyring: Keyring, grant: Grant, secret: Secret, wire: Wire, cut: int, tail: str
) -> None:
    """Cut short anywhere, or with anything behind it, it is refused and the genuine one good."""
    broker = Broker(keyring)
    token = broker.issue(grant, secret, NOW)
    for changed in (token[: cut % len(token)], token + tail):
        with pytest.raises((TokenMalformedError, TokenForgedError)):
            broker.redeem(changed, wire, NOW)
    assert broker.redeem(token, wire, NOW) is secret


@given(data=st.data())
def test_any_flipped_bit_is_forged(
    keyring: Keyring, grant: Grant, secret: Secret, wire: Wire, data: st.DataObject
) -> None:
    """Of claims, signature or footer, below the encoding; nothing verifies but what was signed."""
    broker = Broker(keyring)
    token = broker.issue(grant, secret, NOW)
    version, purpose, *parts = token.split(".")
    which = data.draw(st.sampled_from([0, 1]))
    raw = bytearray(base64.urlsafe_b64decode(parts[which] + "=" * (-len(parts[which]) % 4)))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    parts[which] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    with pytest.raises((TokenMalformedError, TokenForgedError)):
        broker.redeem(".".join([version, purpose, *parts]), wire, NOW)
    assert broker.redeem(token, wire, NOW) is secret


@given(seeds=st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=2, unique=True))
def test_a_footer_from_another_token_is_forged(
    grant: Grant, secret: Secret, wire: Wire, seeds: list[bytes]
) -> None:
    """Both keys are on the ring, and yet each token stands under the name of its own."""
    one, other = (SigningKey(seed) for seed in seeds)
    broker = Broker(Keyring([other, one]))
    token = broker.issue(grant, secret, NOW)
    footer = Broker(Keyring([other])).issue(grant, secret, NOW).rpartition(".")[2]
    for swapped in (f"{token.rpartition('.')[0]}.{footer}", token.rpartition(".")[0]):
        with pytest.raises((TokenMalformedError, TokenForgedError)):
            broker.redeem(swapped, wire, NOW)
    assert broker.redeem(token, wire, NOW) is secret


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("sk-live-0123456789abcdef", id="a credential"),
        pytest.param(paseto.sign(b"{}", SigningKey(b"k" * 32)), id="a token without a footer"),
    ],
)
def test_what_is_no_token_is_malformed(broker: Broker, wire: Wire, token: str) -> None:
    """A text that cannot be an SCT is told apart from a forged one."""
    with pytest.raises(TokenMalformedError):
        broker.redeem(token, wire, NOW)


def forge(grant: Grant, key: SigningKey, kid: str, implicit: bytes, **claims: str) -> str:
    payload = json.loads(encode_claims(grant, "interlock", NOW)) | claims
    compact = json.dumps(payload, separators=(",", ":")).encode()
    return paseto.sign(compact, key, encode_footer(kid), implicit)


@pytest.mark.parametrize(
    ("seed", "kid", "purpose"),
    [
        pytest.param(b"x", None, None, id="another key under our kid"),
        pytest.param(b"x", "0" * 16, None, id="another key under its own kid"),
        pytest.param(b"k", "0" * 16, None, id="our key under an unknown kid"),
        pytest.param(b"k", None, b"interlock-delegation-v1", id="another purpose"),
        pytest.param(b"k", None, b"", id="no purpose"),
    ],
)
def test_a_forged_token_harms_nothing(
    keyring: Keyring,
    grant: Grant,
    secret: Secret,
    wire: Wire,
    seed: bytes,
    kid: str | None,
    purpose: bytes | None,
) -> None:
    """Signed by another key, or by ours for another purpose: forged, and the right is untouched."""
    broker = Broker(keyring)
    token = broker.issue(grant, secret, NOW)
    implicit = encode_implicit(wire.assertion())
    if purpose is not None:
        implicit = paseto.pae(purpose, wire.assertion()) if purpose else wire.assertion()
    forged = forge(grant, SigningKey(seed * 32), kid or keyring.kid, implicit)
    with pytest.raises(TokenForgedError):
        broker.redeem(forged, wire, NOW)
    assert broker.redeem(token, wire, NOW) is secret


@given(data=st.data())
def test_a_token_fits_no_other_request(
    keyring: Keyring, grant: Grant, secret: Secret, wire: Wire, data: st.DataObject
) -> None:
    """Another method, authority, path or body: forged, and the right is untouched."""
    broker = Broker(keyring)
    token = broker.issue(grant, secret, NOW)
    name = data.draw(st.sampled_from([f.name for f in fields(Wire) if f.name != "verified"]))
    value: Any = data.draw(st.binary() if name == "body_sha256" else st.text())
    assume(value != getattr(wire, name))
    with pytest.raises(TokenForgedError):
        broker.redeem(token, replace(wire, **{name: value}), NOW)
    assert broker.redeem(token, wire, NOW) is secret


def refuse_and_burn(broker: Broker, shown: tuple[str, Wire], good: tuple[str, Wire]) -> None:
    with pytest.raises(TokenScopeError) as caught:
        broker.redeem(*shown, NOW)
    assert caught.value.token_id == "sct_1"
    with pytest.raises(TokenReplayedError):
        broker.redeem(*good, NOW)


def test_an_unverified_wire_burns_the_token(
    broker: Broker, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """No secret without verified TLS, and no second try either."""
    token = broker.issue(grant, secret, NOW)
    refuse_and_burn(broker, (token, replace(wire, verified=False)), (token, wire))


def test_the_wrong_authority_burns_the_token(
    broker: Broker, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """The audience is checked on its own, even where the request was signed for the wrong host."""
    elsewhere = replace(wire, authority="evil.example:443")
    token = broker.issue(replace(grant, assertion=elsewhere.assertion()), secret, NOW)
    refuse_and_burn(broker, (token, elsewhere), (token, elsewhere))


@pytest.mark.parametrize(
    "claim", ["iss", "sub", "act", "res", "sec", "aud", "dec", "pol", "goal", "iat", "nbf", "exp"]
)
def test_a_claim_that_was_not_granted_burns_the_token(
    keyring: Keyring, grant: Grant, secret: Secret, wire: Wire, claim: str
) -> None:
    """Even signed with our own key, every claim must be the one that the grant made."""
    broker = Broker(keyring)
    token = broker.issue(grant, secret, NOW)
    value = "2027-01-15T08:00:01+00:00" if claim in {"iat", "nbf", "exp"} else "other"
    implicit = encode_implicit(wire.assertion())
    widened = forge(grant, keyring.signing_key, keyring.kid, implicit, **{claim: value})
    refuse_and_burn(broker, (widened, wire), (token, wire))


@pytest.mark.parametrize(
    ("after", "error"),
    [
        pytest.param(-6, TokenExpiredError, id="before nbf"),
        pytest.param(-4, None, id="within the skew before nbf"),
        pytest.param(34, None, id="within the skew behind exp"),
        pytest.param(36, TokenExpiredError, id="behind exp"),
        pytest.param(1e6, TokenExpiredError, id="long forgotten"),
    ],
)
def test_a_token_has_its_time(
    keyring: Keyring,
    grant: Grant,
    secret: Secret,
    wire: Wire,
    after: float,
    error: type[TokenError] | None,
) -> None:
    """Valid from nbf to exp, 5 s of skew allowed; outside expired, here and in other processes."""
    broker = Broker(keyring)
    token = broker.issue(grant, secret, NOW)
    if error is None:
        assert broker.redeem(token, wire, NOW + after) is secret
        return
    for process in (broker, Broker(keyring)):
        with pytest.raises(error):
            process.redeem(token, wire, NOW + after)


def test_an_id_is_issued_once(broker: Broker, grant: Grant, secret: Secret, wire: Wire) -> None:
    """While a token may live its id is taken, be it spent or not; the first one stays good."""
    token = broker.issue(grant, secret, NOW)
    with pytest.raises(ValueError, match="'sct_1' was issued before"):
        broker.issue(grant, secret, NOW)
    assert broker.redeem(token, wire, NOW) is secret
    with pytest.raises(ValueError, match="'sct_1' was issued before"):
        broker.issue(grant, secret, NOW + 1)
    assert broker.issue(grant, secret, NOW + 36)


def test_rights_that_expired_are_forgotten(broker: Broker, grant: Grant, wire: Wire) -> None:
    """Tokens that nobody redeems keep neither their secret nor their id in memory for long."""
    secret = Secret("never redeemed")
    unused = sys.getrefcount(secret)
    for number in range(1000):
        ttl = 1 + number % 300  # they do not expire in the order in which they were issued
        broker.issue(replace(grant, id=f"sct_{number}", ttl=ttl), secret, NOW)
    assert sys.getrefcount(secret) == unused + 1000
    broker.issue(replace(grant, id="sct_half"), Secret("another"), NOW + 155.5)
    assert unused + 400 < sys.getrefcount(secret) < unused + 600
    broker.issue(replace(grant, id="sct_all"), Secret("another"), NOW + 306)
    assert sys.getrefcount(secret) == unused
    assert len(broker._rights) == len(broker._ends) == 1


def test_a_retired_key_still_verifies(
    keyring: Keyring, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """With a newer key on the ring, a token of the older one is judged by what it says."""
    token = Broker(keyring).issue(grant, secret, NOW)
    rotated = Keyring([keyring.signing_key, SigningKey(b"n" * 32)])
    with pytest.raises(TokenReplayedError):
        Broker(rotated).redeem(token, wire, NOW)
    with pytest.raises(TokenForgedError):
        Broker(Keyring([SigningKey(b"n" * 32)])).redeem(token, wire, NOW)


def test_no_message_shows_the_secret(
    broker: Broker, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """Neither a refusal nor the broker itself, printed with all it has, shows a secret."""
    token = broker.issue(grant, secret, NOW)
    with pytest.raises(TokenScopeError) as caught:
        broker.redeem(token, replace(wire, verified=False), NOW)
    shown = f"{caught.value!r} {caught.value} {vars(broker)}"
    assert secret.reveal().decode() not in shown
    assert token not in shown


def test_a_token_ends_with_its_key(
    tmp_path: Path, grant: Grant, secret: Secret, wire: Wire
) -> None:
    """Even where it was issued a moment ago, and is known there without looking at it."""
    keyring = Keyring.open(tmp_path, "sct")
    broker = Broker(keyring)
    token = broker.issue(grant, secret, NOW)
    for key in tmp_path.glob("sct-*.key"):
        key.unlink()
    KeyFolder(tmp_path, "sct").furnish()
    assert keyring.renew(NOW)
    with pytest.raises(TokenForgedError):
        broker.redeem(token, wire, NOW)
