"""What `interlock doctor` asks that a front door asks at its start, of the same functions."""

import os
from collections.abc import Callable, Iterator

from broker import BrokerError
from broker.secrecy import leave_nothing
from interlock.calls import Catalogue
from interlock.cli.check import Check, Status
from interlock.cli.home import Records
from interlock.coverage import require_sound
from interlock.errors import InterlockError
from interlock.minting.minting import declared
from interlock.own_key import OwnKey
from interlock.settings import Settings
from interlock.shadow import Shadow
from interlock.store.distinct import require_distinct

ADVICE = "the front door will not start"


def check_start(settings: Settings) -> Iterator[Check]:
    """Nothing in the settings keeps a front door from starting."""
    yield from _asked("environment", lambda: leave_nothing(os.environ))
    yield from _asked("shadow", lambda: Shadow(settings.shadow))
    if settings.broker:  # without one, the secrets tell of their key
        yield from _asked("keys", lambda: OwnKey(settings))
    if settings.routes or settings.parent_secret:
        yield from _asked("ways", lambda: _require_ways(settings))


def check_bindings(records: Records) -> Iterator[Check]:
    """No binding and no route of minted tokens does so."""
    bindings = records.bindings.all()
    yield from _asked("bindings", lambda: require_sound(bindings, Catalogue.shipped()))
    yield from _asked("bindings", lambda: require_distinct(bindings))
    yield from _asked("routes", lambda: declared(records.database))


def _asked(subject: str, question: Callable[[], object]) -> Iterator[Check]:
    try:
        question()
    except (InterlockError, BrokerError) as e:
        yield Check(subject, Status.FAILURE, str(e), ADVICE)


def _require_ways(settings: Settings) -> None:
    # They bring mitmproxy with them, for which nobody waits who has none of this.
    from addons.destination import parse_routes
    from addons.options import check_parent

    parse_routes(settings.routes)
    check_parent(settings)
