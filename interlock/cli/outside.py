"""What `interlock doctor` asks of the identity systems outside, whose word is taken."""

import asyncio
import time
from collections.abc import Iterator
from importlib.util import find_spec

from interlock.cli.check import Check, Status
from interlock.cli.home import Records
from interlock.errors import SettingsError
from interlock.federation import Issuer
from interlock.federation.authorities import AuthorityFiles
from interlock.federation.fetch import FetchError
from interlock.federation.keysets import fetch_keyset
from interlock.federation.statement import INSTALL
from interlock.registry import unjudged
from interlock.settings import Settings

# So much of what an issuer may register is used when somebody should look.
CROWDED = 0.8


def check_issuers(records: Records) -> Iterator[Check]:
    """Every issuer's keys can be had, and those that it registered are looked at."""
    issuers = records.federation.issuers.all().values()
    if issuers and find_spec("joserfc") is None:
        yield Check("issuers", Status.FAILURE, f"joserfc {INSTALL}", "their tokens prove nobody")
        return
    for issuer in issuers:
        yield asyncio.run(_keys_of(issuer))
        yield from _crowd_of(records, issuer)


def check_authorities(settings: Settings) -> Iterator[Check]:
    """The authorities of client certificates can be read, and their revocation list is current."""
    files = AuthorityFiles(settings.client_ca, settings.client_crl)
    try:
        files.load()
    except SettingsError as e:
        yield Check("certificates", Status.FAILURE, str(e), "the front door will not start")
        return
    if (known := files.current) is None:
        return
    now = time.time()
    ends = [one.next_update_utc for one in known.lists if one.next_update_utc]
    if over := [end for end in ends if end.timestamp() <= now]:
        found = f"the revocation list ended on {min(over):%Y-%m-%d}"
        advice = "nobody is proven by a certificate of it: fetch a new one"
        yield Check("certificates", Status.FAILURE, found, advice)
        return
    found = f"authorities: {len(known.roots)}, revocation lists: {len(known.lists)}"
    yield Check("certificates", Status.OK, found)


async def _keys_of(issuer: Issuer) -> Check:
    try:
        keyset = await fetch_keyset(issuer)
    except (FetchError, ValueError) as e:
        advice = "its tokens prove nobody until its keys can be had"
        return Check("issuers", Status.FAILURE, f"{issuer.url}: {e}", advice)
    return Check("issuers", Status.OK, f"{issuer.url}: keys: {len(keyset.keys)}")


def _crowd_of(records: Records, issuer: Issuer) -> Iterator[Check]:
    """Warn before the agents of an issuer that registers them are refused."""
    if not issuer.auto_register:
        return
    count = records.database.read(lambda c: unjudged(c, f"issuer:{issuer.url}"))
    if count >= CROWDED * issuer.most_agents:
        found = f"{issuer.url} has registered {count} of {issuer.most_agents} agents"
        advice = "trust, quarantine or remove those that nobody has looked at"
        yield Check("issuers", Status.WARNING, found, advice)
