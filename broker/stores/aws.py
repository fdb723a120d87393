"""`aws:NAME#FIELD`: AWS Secrets Manager, with the credentials that boto3 finds."""

import json
import re
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from broker.errors import StoreRefusalError
from broker.secret import Secret
from broker.stores.address import require_private_wire
from broker.stores.reference import Reference
from broker.stores.store import (
    TIME_LIMIT_S,
    Fetched,
    Store,
    fetched,
    field_or_why,
    hush,
    secret_or_why,
)

_KNOWN = {
    "ResourceNotFoundException": "there is no secret of that name in this account and region",
    "AccessDeniedException": "access denied: secretsmanager:GetSecretValue is needed",
    "DecryptionFailure": "access denied: its KMS key does not decrypt for these credentials",
    "InvalidRequestException": "the secret is marked for deletion, or has no current version",
    "ExpiredTokenException": "the AWS credentials have expired",
    "UnrecognizedClientException": "the AWS credentials are not valid",
    "ThrottlingException": "AWS is throttling: too many requests",
}


class AwsSecretsManager(Store):
    """Read the current version of a secret: all of it, or one field of a JSON object."""

    name: ClassVar = "aws"
    form: ClassVar = "aws:NAME or aws:NAME#FIELD"
    pattern: ClassVar = re.compile(r"(?P<path>[A-Za-z0-9/_+=.@:-]{1,600})(?:#(?P<field>.+))?")
    needs: ClassVar = (
        "`pip install 'interlock[aws]'`, credentials and a region as for the AWS CLI; "
        "NAME may be an ARN"
    )

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._client: Any = None

    def fetch(self, reference: Reference) -> Fetched:
        try:
            from botocore.exceptions import (  # type: ignore[import-untyped]
                BotoCoreError,
                ClientError,
            )
        except ImportError:
            raise StoreRefusalError("run: pip install 'interlock[aws]'") from None
        try:
            return fetched(_value(self._connect(), reference))
        except ClientError as e:
            code = e.response.get("Error", {}).get("Code", "")
            why = _KNOWN.get(code, f"AWS refuses: {code}")
        except BotoCoreError as e:  # their words may quote an address, never a value
            why = f"{type(e).__name__}: no answer from AWS, or no credentials or region for it"
        raise StoreRefusalError(why)

    def forget(self, reference: Reference) -> None:
        """Keep nothing, so forget nothing."""

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connect(self) -> Any:
        """Make the client once: that takes long, and is not safe between threads."""
        with self._lock:
            if self._client is None:
                import boto3  # type: ignore[import-untyped]
                from botocore.config import Config  # type: ignore[import-untyped]

                hush("boto3", "botocore", "urllib3")
                client = boto3.session.Session().client(
                    "secretsmanager",
                    config=Config(
                        connect_timeout=TIME_LIMIT_S,
                        read_timeout=TIME_LIMIT_S,
                        retries={"total_max_attempts": 2, "mode": "standard"},
                    ),
                )
                require_private_wire(client.meta.endpoint_url, "the AWS endpoint")
                self._client = client
            return self._client


def _value(client: Any, reference: Reference) -> Secret | str:
    answer = client.get_secret_value(SecretId=reference.path)
    whole = answer.get("SecretString", answer.get("SecretBinary"))
    if not reference.field:
        return secret_or_why(whole)
    try:
        fields = json.loads(whole)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return f"it is not a JSON object, so it has no field {reference.field!r}"
    return field_or_why(fields, reference.field)
