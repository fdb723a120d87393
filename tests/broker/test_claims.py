"""The laws of the three parts of an SCT."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import Grant, TokenExpiredError, TokenMalformedError
from broker.claims import (
    decode_claims,
    decode_footer,
    encode_claims,
    encode_footer,
    encode_implicit,
)

NOW = 1_800_000_000.25


def test_says_exactly_this(grant: Grant) -> None:
    """The claims of architecture.md, 6, and no other."""
    assert json.loads(encode_claims(grant, "interlock", NOW)) == {
        "iss": "interlock",
        "sub": "research-agent",
        "jti": "sct_1",
        "iat": "2027-01-15T08:00:00.250000+00:00",
        "nbf": "2027-01-15T08:00:00.250000+00:00",
        "exp": "2027-01-15T08:00:30.250000+00:00",
        "act": "chat",
        "res": "Model::gpt-5",
        "sec": "openai-api-key",
        "aud": "api.openai.com:443",
        "dec": "dec_1",
        "pol": "0f" * 32,
        "goal": "quarterly-report",
    }


@given(
    text=st.text(st.characters(exclude_categories=())),
    now=st.floats(0, 4e9),
    ttl=st.floats(0.001, 300),
)
def test_decode_mirrors_encode(text: str, now: float, ttl: float, grant: Grant) -> None:
    """Whatever the names, what redeeming needs comes back, times to the microsecond."""
    named = replace(grant, id="x" + text, authority=text, resource=text, ttl=ttl)
    claims = decode_claims(encode_claims(named, "interlock", now))
    assert (claims.id, claims.authority) == (named.id, text)
    assert claims.not_before == pytest.approx(now, abs=2e-6)
    assert claims.expires == pytest.approx(now + ttl, abs=2e-6)


def claims_with(grant: Grant, **changed: object) -> bytes:
    claims = json.loads(encode_claims(grant, "interlock", NOW)) | changed
    return json.dumps({name: value for name, value in claims.items() if value != ...}).encode()


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"jti": ...}, id="a claim is missing"),
        pytest.param({"scope": "all"}, id="a claim too many"),
        pytest.param({"goal": None}, id="null"),
        pytest.param({"exp": 1_800_000_030}, id="a number for a time"),
        pytest.param({"exp": "tomorrow"}, id="a time that is none"),
        pytest.param({"nbf": "2027-01-15T08:00:00"}, id="a time without a zone"),
    ],
)
def test_refuses_other_claims(grant: Grant, changed: dict[str, object]) -> None:
    """A payload that is not an SCT's is malformed, even when our own key signed it."""
    with pytest.raises(TokenMalformedError):
        decode_claims(claims_with(grant, **changed))


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'"text"', b"null", b"\xff\xfe{"])
def test_refuses_what_is_no_object(payload: bytes) -> None:
    """Only a JSON object can carry claims."""
    with pytest.raises(TokenMalformedError):
        decode_claims(payload)


@pytest.mark.parametrize(
    ("after", "why"),
    [
        pytest.param(-5.001, "not valid yet", id="issued in the future"),
        pytest.param(-5, None, id="issued by a clock 5 s ahead"),
        pytest.param(0, None, id="at once"),
        pytest.param(34.999, None, id="within the skew behind exp"),
        pytest.param(35, "expired", id="skew used up"),
    ],
)
def test_is_valid_from_nbf_to_exp(grant: Grant, after: float, why: str | None) -> None:
    """30 seconds, and 5 on either side for clocks that disagree."""
    claims = decode_claims(encode_claims(grant, "interlock", NOW))
    if why is None:
        claims.require_current(NOW + after)
    else:
        with pytest.raises(TokenExpiredError, match=why):
            claims.require_current(NOW + after)


def test_the_footer_names_the_key() -> None:
    """Decode mirrors encode."""
    assert encode_footer("0f0f") == b'{"kid":"0f0f"}'
    assert decode_footer(encode_footer("0f0f")) == "0f0f"


@pytest.mark.parametrize(
    "footer",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"0f0f", id="a bare kid"),
        pytest.param(b'{"kid":""}', id="an empty kid"),
        pytest.param(b'{"kid": "0f0f"}', id="another spelling"),
        pytest.param(b'{"kid":"0f0f"}\n', id="a line break"),
        pytest.param(b'{"kid":"0f0f","kid":"0a0a"}', id="two kids"),
        pytest.param(b'{"kid":"%s"}' % (b"0" * 65), id="a kid that is too long"),
        pytest.param(b"[" * 100_000, id="a parser's nightmare"),
    ],
)
def test_refuses_another_footer(footer: bytes) -> None:
    """One spelling: nothing unverified reaches a parser."""
    with pytest.raises(TokenMalformedError):
        decode_footer(footer)


def test_the_purpose_is_signed_too() -> None:
    """The implicit assertion separates SCTs from all else that a key might sign."""
    assert b"interlock-sct-v1" in encode_implicit(b"request")
    assert encode_implicit(b"request") != b"request"
    assert encode_implicit(b"request") != encode_implicit(b"other request")
