"""Recipes that sign: what arrives verifies with the key, and says nothing of it."""

import base64
import hashlib
import hmac
import json
import logging

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broker import Outgoing, RecipeError, Secret, parse_recipe

NOW = 1_440_938_160.0  # 2015-08-30T12:36:00Z, the moment of AWS's own test suite
KEY = {
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
SESSION = KEY | {"session_token": "session-token-0123456789"}


def signed(text: str, secret: object, outgoing: Outgoing) -> dict[str, str]:
    """The headers of a request as a recipe leaves it; each stands once."""
    raw = secret if isinstance(secret, str) else json.dumps(secret)
    after = parse_recipe(text).apply(outgoing, Secret(raw), NOW)
    names = [name.lower() for name, _ in after.headers]
    assert len(names) == len(set(names))
    return {name.decode(): value.decode() for name, value in after.headers}


def test_aws_own_example() -> None:
    """`get-vanilla` of the suite that AWS published, but for the hash of the body beside it."""
    request = Outgoing("GET", "example.amazonaws.com", "/")
    headers = signed("sigv4:service/us-east-1", KEY, request)
    assert headers["x-amz-date"] == "20150830T123600Z"
    assert headers["x-amz-content-sha256"] == hashlib.sha256(b"").hexdigest()
    scope = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
    expected = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-content-sha256"
    assert headers["authorization"].startswith(expected)


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("dynamodb", "/"),
        ("s3", "/bucket/a%20b//c?list-type=2&prefix=x%2Fy"),
        ("execute-api", "/stage/a%20b?b=2&a=1&a=0"),
    ],
)
@pytest.mark.parametrize("key", [KEY, SESSION], ids=["a long-lived key", "a session"])
def test_botocore_itself_would_sign_the_same(service: str, path: str, key: dict[str, str]) -> None:
    """What botocore's own `add_auth` writes for the request that arrived is what arrived."""
    request = Outgoing(
        "POST",
        "aws.example.com",
        path,
        ((b"content-type", b"application/json"), (b"x-amz-target", b"T"), (b"user-agent", b"x")),
        b'{"a":1}',
    )
    headers = signed(f"sigv4:{service}/eu-central-1", key, request)
    arrived = {n: v for n, v in headers.items() if n not in ("authorization", "user-agent")}
    again = AWSRequest("POST", f"https://aws.example.com{path}", arrived, request.body)
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    signer = kind(Credentials(*key.values()), service, "eu-central-1")
    again.context["timestamp"] = headers["x-amz-date"]
    to_sign = signer.string_to_sign(again, signer.canonical_request(again))
    assert headers["authorization"].endswith(f"Signature={signer.signature(to_sign, again)}")
    assert headers["x-amz-content-sha256"] == hashlib.sha256(request.body).hexdigest()


def test_takes_off_what_the_agent_signed() -> None:
    """A dummy key's signature goes, in headers and in a presigned URL."""
    request = Outgoing(
        "GET",
        "s3.example.com",
        "/b?X-Amz-Credential=DUMMY&x-amz-signature=1&X-Amz-Date=2&X-Amz-Security-Token=DUMMY&v=1",
        (
            (b"Authorization", b"AWS4-HMAC-SHA256 Credential=DUMMY"),
            (b"X-Amz-Date", b"20000101T000000Z"),
            (b"x_amz_security_token", b"DUMMY"),
            (b"X-Amz-Content-SHA256", b"UNSIGNED-PAYLOAD"),
        ),
    )
    after = parse_recipe("sigv4:s3/eu-central-1").apply(request, Secret(json.dumps(KEY)), NOW)
    assert after.path == "/b?v=1"
    assert b"DUMMY" not in b"".join(value for _, value in after.headers)
    assert not after.values("x-amz-security-token")
    assert after.values("x-amz-content-sha256") == [hashlib.sha256(b"").hexdigest().encode()]


def test_the_signer_does_not_log_the_session_token(caplog: pytest.LogCaptureFixture) -> None:
    """botocore's `add_auth` would."""
    caplog.set_level(logging.DEBUG)
    signed("sigv4:s3/eu-central-1", SESSION, Outgoing("GET", "s3.example.com", "/"))
    assert "session-token" not in caplog.text


def test_signed_chunks_are_refused() -> None:
    """Their signatures stand inside the body."""
    headers = ((b"x-amz-content-sha256", b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),)
    with pytest.raises(RecipeError, match="send a plain body"):
        signed("sigv4:s3/eu-central-1", KEY, Outgoing("PUT", "s3.example.com", "/b/k", headers))


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("AKIA:abc", "must be a JSON object with access_key_id, secret_access_key"),
        ('["a"]', "must be a JSON object"),
        ('{"access_key_id":"AKIDEXAMPLE"}', "the secret has no secret_access_key"),
    ],
)
def test_names_what_a_secret_lacks(secret: str, said: str) -> None:
    """The message names fields, never a value."""
    with pytest.raises(RecipeError, match=said) as caught:
        parse_recipe("sigv4:s3/eu-central-1").check(Secret(secret))
    assert "AKI" not in str(caught.value)


def test_hides_the_parts_of_a_key() -> None:
    """The key and the session token reveal the secret, the access key id does not."""
    forms = parse_recipe("sigv4:s3/x").forms(Secret(json.dumps(SESSION)))
    assert {SESSION["secret_access_key"].encode(), b"session-token-0123456789"} <= set(forms)
    assert b"AKIDEXAMPLE" not in forms


@pytest.mark.parametrize(
    ("form", "header", "value", "signs"),
    [
        ("github", "x-hub-signature-256", "sha256={}", b"BODY"),
        ("slack", "x-slack-signature", "v0={}", b"v0:1440938160:BODY"),
        ("stripe", "stripe-signature", "t=1440938160,v1={}", b"1440938160.BODY"),
        ("X-Sig={hex}@{method}{path}{body}", "x-sig", "{}", b"POST/a?b=1BODY"),
    ],
)
def test_the_hmac_verifies(form: str, header: str, value: str, signs: bytes) -> None:
    """Computed anew from what arrived, it is the same; the agent's own is gone."""
    request = Outgoing("POST", "a.example", "/a?b=1", ((header.encode(), b"dummy"),), b"BODY")
    headers = signed(f"hmac:{form}", "signing-key", request)
    expected = hmac.new(b"signing-key", signs, "sha256").hexdigest()
    assert headers[header] == value.format(expected)
    if form == "slack":
        assert headers["x-slack-request-timestamp"] == "1440938160"


def test_the_hmac_may_be_base64() -> None:
    """As many payment APIs want it, with the time in a header beside it."""
    headers = signed(
        "hmac:X-Sig={base64}&X-Time={timestamp}@{timestamp}{body}",
        "signing-key",
        Outgoing("POST", "a.example", "/", (), b"BODY {body}"),
    )
    digest = hmac.digest(b"signing-key", b"1440938160BODY {body}", "sha256")
    assert headers == {"x-sig": base64.b64encode(digest).decode(), "x-time": "1440938160"}


@pytest.mark.parametrize(
    "text",
    [
        *("hmac:", "hmac:gitlab", "hmac:X-Sig={hex}", "hmac:X-Sig={hex}@static", "hmac:X=1@{body}"),
        *("hmac:Host={hex}@{body}", "hmac:X-Sig={md5}@{body}", "hmac:X-Sig={hex}@{bodies}"),
        *("hmac:X-Sig={hex}\n@{body}", "sigv4:", "sigv4:s3", "sigv4:S3/x", "sigv4:s3/x/y"),
    ],
)
def test_refuses_a_form_that_signs_nothing(text: str) -> None:
    """One line says what the form lacks."""
    with pytest.raises(ValueError, match=rf"^recipe {text.partition(':')[0]}: .*$"):
        parse_recipe(text)
