"""`sigv4:SERVICE/REGION`: the request is signed for AWS (Signature Version 4), by botocore."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from broker.errors import RecipeError
from broker.recipes.fields import fields_of, parts_of
from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import AUTHORIZATION, Recipe
from broker.secret import Secret

_WORD = re.compile(r"[a-z0-9-]+")
_HASH = "x-amz-content-sha256"
# What an agent's SDK put there with a key of its own, in headers or in a presigned URL.
_HEADERS = (AUTHORIZATION, "x-amz-date", "x-amz-security-token", "date", _HASH)
_PARAMETERS = (
    *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires"),
    *("X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token"),
)
# A body whose chunks are framed but not signed can be passed on; signed chunks cannot.
_UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


@dataclass(frozen=True, slots=True)
class SigV4(Recipe):
    """Send `Authorization: AWS4-HMAC-SHA256 ...` over host, path, query, x-amz headers, body."""

    usage: ClassVar[str] = "sigv4:SERVICE/REGION"
    holds: ClassVar[str] = "an access key; `session_token` may be added"
    fields: ClassVar[tuple[str, ...]] = ("access_key_id", "secret_access_key")
    scope: str

    def __post_init__(self) -> None:
        service, _, region = self.scope.partition("/")
        if not (_WORD.fullmatch(service) and _WORD.fullmatch(region)):
            raise ValueError(f"recipe sigv4: {self.scope!r} must be as s3/eu-central-1")

    @property
    def text(self) -> str:
        return f"sigv4:{self.scope}"

    def check(self, secret: Secret) -> None:
        self._signer(secret)

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        if "#" in outgoing.path or not outgoing.path.startswith("/"):
            raise RecipeError(self.text, "the path cannot be signed")
        signer = self._signer(secret)
        payload = self._payload(outgoing)
        bare = outgoing.without(*_HEADERS).without_parameters(_PARAMETERS)
        time = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        dated = bare.with_header("x-amz-date", time.encode()).with_header(_HASH, payload.encode())
        if token := signer.credentials.token:
            dated = dated.with_header("x-amz-security-token", token.encode())
        return dated.with_header(AUTHORIZATION, _signature(signer, dated, time).encode())

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        fields = fields_of(self.text, secret, self.fields)
        return (secret.reveal(), *parts_of(fields, "secret_access_key", "session_token"))

    def _payload(self, outgoing: Outgoing) -> str:
        """The hash of the body as it leaves, whatever the agent said of it."""
        said = b"".join(outgoing.values(_HASH)).decode("latin-1")
        if said == _UNSIGNED_CHUNKS:
            return said
        if said.startswith("STREAMING-"):
            raise RecipeError(self.text, "signed chunks cannot be signed anew; send a plain body")
        return hashlib.sha256(outgoing.body).hexdigest()

    def _signer(self, secret: Secret) -> Any:
        fields = fields_of(self.text, secret, self.fields)
        try:
            from botocore.auth import S3SigV4Auth, SigV4Auth  # type: ignore[import-untyped]
            from botocore.credentials import Credentials  # type: ignore[import-untyped]
        except ImportError:
            why = "botocore is missing; install it with: pip install 'interlock[aws]'"
            raise RecipeError(self.text, why) from None
        service, _, region = self.scope.partition("/")
        key = Credentials(*(fields[name] for name in self.fields), fields.get("session_token"))
        kind = S3SigV4Auth if service.startswith("s3") else SigV4Auth
        return kind(key, service, region)


def _signature(signer: Any, outgoing: Outgoing, time: str) -> str:
    """The value of Authorization.

    Step by step and not by `add_auth`, which reads the clock itself and writes what it signs,
    the session token with it, to the log.
    """
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

    request = AWSRequest(outgoing.method, f"https://{outgoing.host}{outgoing.path}")
    request.context["timestamp"] = time
    request.headers["host"] = outgoing.host
    for name, value in outgoing.headers:
        if name.lower() == b"content-type" or name.lower().startswith(b"x-amz-"):
            request.headers[name.decode("latin-1")] = value.decode("latin-1")
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    signed = signer.signed_headers(signer.headers_to_sign(request))
    return (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, "
        f"SignedHeaders={signed}, Signature={signer.signature(to_sign, request)}"
    )
