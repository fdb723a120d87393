"""Keeps the keys of issuers at hand, and fetches them anew when they may have changed."""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field

from interlock.federation.fetch import FetchError, fetch
from interlock.federation.issuer import Issuer
from interlock.federation.keyset import Keyset, parse_keyset

log = logging.getLogger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
# How long a call waits for the keys of its issuer.
WAIT_S = 6.0
# Older keys are fetched anew beside the traffic; those that could not be for so long are dropped.
REFRESH_S = 300.0
KEEP_S = 3600.0
# An unknown `kid` may be a key that is new, or anybody's invention: it is asked for this often.
ASK_EVERY_S = 5.0


@dataclass(slots=True)
class _Kept:
    """What is known of one issuer; times are those of a monotonic clock, in seconds."""

    keyset: Keyset | None = None
    fetched_at: float = float("-inf")
    asked_at: float = float("-inf")
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Keysets:
    """The keysets in use, by issuer; an issuer that was changed is another one."""

    def __init__(self) -> None:
        self._kept: dict[Issuer, _Kept] = {}

    def get(self, issuer: Issuer) -> Keyset | None:
        """The keys of an issuer as far as they are at hand; never waits."""
        kept = self._kept.get(issuer)
        if kept is None or time.monotonic() - kept.fetched_at > KEEP_S:
            return None
        if time.monotonic() - kept.fetched_at > REFRESH_S:
            with contextlib.suppress(RuntimeError):  # outside a loop the next call will do it
                self._ask(issuer, kept)
        return kept.keyset

    async def have(self, issuer: Issuer, kid: str | None) -> None:
        """Wait a bounded time until the keys are at hand, a key of this name among them.

        Answers in any case: what is still missing then proves nobody.
        """
        keyset = self.get(issuer)
        if keyset and keyset.knows(kid):
            return
        kept = self._kept.setdefault(issuer, _Kept())
        self._ask(issuer, kept)
        if kept.task:
            await asyncio.wait({kept.task}, timeout=WAIT_S)

    def _ask(self, issuer: Issuer, kept: _Kept) -> None:
        """Begin to fetch, once at a time and not too often."""
        now = time.monotonic()
        loop = asyncio.get_running_loop()
        if kept.task is None and now - kept.asked_at >= ASK_EVERY_S:
            kept.asked_at = now
            kept.task = loop.create_task(self._fetch(issuer, kept))

    async def _fetch(self, issuer: Issuer, kept: _Kept) -> None:
        try:
            kept.keyset = await fetch_keyset(issuer)
            kept.fetched_at = time.monotonic()
        except (FetchError, ValueError) as e:
            log.warning("keys of issuer %s NOT fetched: %s", issuer.url, e)
        finally:
            kept.task = None


async def fetch_keyset(issuer: Issuer) -> Keyset:
    """Fetch the keys of an issuer; raises FetchError, and ValueError for a hostile answer.

    The discovery document has to be the issuer's own (OpenID Connect Discovery, 4.3).
    """
    url = issuer.jwks
    if not url:
        document = await fetch(issuer.url.rstrip("/") + DISCOVERY, issuer.ca)
        if document.get("issuer") != issuer.url:
            raise ValueError("its discovery document names another issuer")
        url = document.get("jwks_uri", "")
        if not isinstance(url, str):
            raise ValueError("its discovery document names no keys")
    return parse_keyset(await fetch(url, issuer.ca))
