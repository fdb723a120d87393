"""Gets one JSON object from an issuer: verified TLS, no redirects, bounded in time and size."""

import asyncio
import json
import ssl
from typing import Any

TIMEOUT_S = 5.0
MOST_BYTES = 256 << 10
LONGEST_URL = 2048


class FetchError(Exception):
    """Nothing came back that can be used; the message says why."""


async def fetch(url: str, ca: str) -> dict[str, Any]:
    """Answer the JSON object at an https URL; raises FetchError.

    `ca` holds the authorities to trust, in PEM; empty for those of the system.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status, body = await _get(url, ca)
    except TimeoutError:
        raise FetchError(f"{url} did not answer in {TIMEOUT_S:g} s") from None
    if status != 200:
        raise FetchError(f"{url} answered {status}")
    if len(body) > MOST_BYTES:
        raise FetchError(f"{url} answered with more than {MOST_BYTES} bytes")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FetchError(f"{url} answered with no JSON object")
    return found


async def _get(url: str, ca: str) -> tuple[int, bytes]:
    import httpx  # here, because most installations never ask and it takes 0.1 s to load

    # It may come out of a document, and ends up in logs and on terminals.
    if not url.startswith("https://") or not url.isprintable() or len(url) > LONGEST_URL:
        raise FetchError(f"{url[:200]!r} is not https")
    body = bytearray()
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        trust = ssl.create_default_context(cadata=ca) if ca else httpx.create_ssl_context()
        # Proxies of the environment are left aside: one of them may be this front door.
        async with (
            httpx.AsyncClient(verify=trust, trust_env=False, timeout=TIMEOUT_S) as client,
            client.stream("GET", url, headers=headers, follow_redirects=False) as answer,
        ):
            async for part in answer.aiter_raw():
                body += part
                if len(body) > MOST_BYTES:
                    break
            return answer.status_code, bytes(body)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as e:
        told = " ".join(str(e).split())[:200] or type(e).__name__
        raise FetchError(f"{url} cannot be reached: {told}") from None
