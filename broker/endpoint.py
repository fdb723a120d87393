"""Asks a token endpoint: one POST, verified TLS, no redirects, bounded in time and size."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from broker.errors import RecipeError
from broker.recipes.exchanged import Ask

TIMEOUT_S = 10.0
MOST_BYTES = 64 << 10
# RFC 6749, 5.2: words of the standard can be told; any other text may quote what we sent.
_ERRORS = {
    *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client"),
    *("unsupported_grant_type", "invalid_scope"),
}


async def post(recipe: str, ask: Ask) -> dict[str, Any]:
    """Answer the JSON object that the endpoint gave; raises RecipeError, which quotes nothing."""
    where = f"the token endpoint {urlsplit(ask.url).netloc}"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status, body = await _send(ask)
    except TimeoutError:
        raise RecipeError(recipe, f"{where} did not answer in {TIMEOUT_S:g} s") from None
    except _Unreachable as e:
        raise RecipeError(recipe, f"{where} cannot be used: {e}") from None
    answer = _object(body)
    if status not in (200, 201):
        known = answer.get("error") if answer else None
        word = f" ({known})" if isinstance(known, str) and known in _ERRORS else ""
        raise RecipeError(recipe, f"{where} answered {status}{word}")
    if answer is None:
        raise RecipeError(
            recipe, f"{where} answered with no JSON object of up to {MOST_BYTES} bytes"
        )
    return answer


class _Unreachable(Exception):
    """Nothing came back that can be read."""


async def _send(ask: Ask) -> tuple[int, bytes]:
    import httpx  # here, because most installations never ask and it takes 0.1 s to load

    headers = {**ask.headers, "Accept-Encoding": "identity"}
    body = bytearray()
    try:
        # Proxies of the environment are left aside; the trusted authorities are read from there.
        trust = httpx.create_ssl_context(trust_env=True)
        async with (
            httpx.AsyncClient(verify=trust, trust_env=False, timeout=TIMEOUT_S) as client,
            client.stream("POST", ask.url, headers=headers, content=ask.body) as answer,
        ):
            async for part in answer.aiter_raw():
                body += part
                if len(body) > MOST_BYTES:
                    return answer.status_code, b""
            return answer.status_code, bytes(body)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
        raise _Unreachable(" ".join(str(e).split())[:200] or type(e).__name__) from None


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
