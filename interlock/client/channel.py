"""Asks one API in JSON: through no proxy of the environment, and by TLS that is verified."""

import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from interlock.client.errors import ApiError, UnreachableError

TIMEOUT_S = 10.0


class Channel:
    """The connections to an API. Whatever fails raises ClientError."""

    def __init__(
        self, url: str, headers: Mapping[str, str], verify: ssl.SSLContext | bool = True
    ) -> None:
        """`headers` go along with every request."""
        self.url = url
        self.options: dict[str, Any] = {
            "base_url": url,
            "headers": dict(headers),
            "verify": verify,
            "trust_env": False,
            "timeout": TIMEOUT_S,
        }
        self._http = httpx.Client(**self.options)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send one request, and answer what it was answered; raises ClientError."""
        try:
            response = self._http.request(method, path, json=body)
        except httpx.HTTPError as e:
            raise self.unreachable(e) from e
        return self.read(response)

    def read(self, response: httpx.Response) -> Any:
        """The body of an answer; raises ClientError for a refusal."""
        try:
            body = response.json()
            if response.is_success:
                return body
            error = body["error"]
            refusal = ApiError(response.status_code, error["code"], error["message"])
        except (ValueError, KeyError, TypeError):
            raise UnreachableError(f"{self.url}: this is not an answer of Interlock") from None
        raise refusal

    def unreachable(self, error: httpx.HTTPError) -> UnreachableError:
        """The error for a request that was not answered."""
        return UnreachableError(f"{self.url} does not answer: {str(error) or type(error).__name__}")
