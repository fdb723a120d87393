"""Names of systems outside have one spelling each, and issuers are sound when they are added."""

from dataclasses import replace

import pytest

from interlock.federation import (
    FieldError,
    Identity,
    Issuer,
    is_statement,
    parse_identity,
    parse_issuer,
)

SOUND = Issuer("https://idp.example/realms/ai", "interlock")
DOMAIN = Issuer("spiffe://td.example", "interlock", jwks="https://idp.example/keys")
DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        ("spiffe", "spiffe://td.example/ns/a/sa/b", "spiffe://td.example/ns/a/sa/b"),
        ("certificate", DIGEST, DIGEST),
        ("certificate", ":".join([DIGEST.upper()[i : i + 2] for i in range(0, 64, 2)]), DIGEST),
        ("oidc", "https://idp.example/#a#b", "https://idp.example/#a#b"),
    ],
)
def test_a_name_is_read(kind: str, text: str, name: str) -> None:
    """In its one spelling."""
    assert parse_identity(kind, text) == Identity(kind, name)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param("spiffe", "spiffe://TD.example/x", id="upper case"),
        pytest.param("spiffe", "spiffe://td.example", id="no path"),
        pytest.param("spiffe", "spiffe://td.example/", id="an empty path"),
        pytest.param("spiffe", "spiffe://td.example/a//b", id="an empty segment"),
        pytest.param("spiffe", "spiffe://td.example/../a", id="a step up"),
        pytest.param("spiffe", "spiffe://td.example/%61", id="an escape"),
        pytest.param("spiffe", "spiffe://td.example:1/a", id="a port"),
        pytest.param("spiffe", "spiffe://u@td.example/a", id="a user"),
        pytest.param("spiffe", "spiffe://td.example/a?b", id="a query"),
        pytest.param("spiffe", "spiffe://td.example/a\n", id="a line break"),
        pytest.param("spiffe", "spiffe://td.example/" + "a" * 2048, id="endless"),
        pytest.param("spiffe", "https://td.example/a", id="another scheme"),
        pytest.param("certificate", DIGEST[1:], id="a short fingerprint"),
        pytest.param("oidc", "https://idp.example", id="no subject"),
        pytest.param("oidc", "https://idp.example#", id="an empty subject"),
        pytest.param("oidc", "https://idp.example#a\x00", id="a subject with NUL"),
        pytest.param("oidc", "http://idp.example#a", id="an issuer without TLS"),
    ],
)
def test_what_is_no_name_is_refused(kind: str, text: str) -> None:
    """Nothing is corrected: two spellings would be two names."""
    with pytest.raises(ValueError, match=r".+"):
        parse_identity(kind, text)


@pytest.mark.parametrize(
    ("issuer", "said"),
    [
        pytest.param(replace(SOUND, url="http://idp.example"), "url", id="without TLS"),
        pytest.param(replace(SOUND, url="https://u:p@idp.example"), "url", id="with a user"),
        pytest.param(replace(SOUND, url="https://idp.example#"), "url", id="with a fragment"),
        pytest.param(replace(SOUND, jwks="file:///etc/keys"), "jwks", id="keys in a file"),
        pytest.param(replace(SOUND, audience=""), "audience", id="for nobody"),
        pytest.param(replace(SOUND, algorithms=("HS256",)), "algorithm", id="a shared secret"),
        pytest.param(replace(SOUND, algorithms=("none",)), "algorithm", id="no signature"),
        pytest.param(replace(SOUND, ca="x"), "ca", id="an authority that is none"),
        pytest.param(replace(SOUND, auto_register=True), "agent_claim", id="registers the unnamed"),
        pytest.param(replace(DOMAIN, jwks=""), "jwks", id="a trust domain without keys"),
        pytest.param(replace(DOMAIN, agent_claim="sub"), "bound", id="a trust domain that names"),
        pytest.param(replace(DOMAIN, url="spiffe://TD"), "spiffe", id="a domain in upper case"),
    ],
)
def test_an_issuer_that_is_not_sound_is_refused(issuer: Issuer, said: str) -> None:
    """By the name of the field that is wrong."""
    assert parse_issuer(SOUND) == SOUND
    assert parse_issuer(DOMAIN) == DOMAIN
    with pytest.raises(FieldError, match=said):
        parse_issuer(issuer)


def test_the_shape_of_a_token_is_known() -> None:
    """A key of ours has another, and so have the keys of providers."""
    assert is_statement("eyJhbGciOiJFUzI1NiJ9.eyJhIjoxfQ.c2ln")
    for other in ("ilk_" + "a" * 43, "sk-proj-eyJ", "eyJ.x", "eyJh.b.c.d", "eyJh.b.c\n", ""):
        assert not is_statement(other)
