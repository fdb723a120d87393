"""The questions that `interlock doctor` asks; each answers with what it found and what to do."""

import asyncio
import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from broker import BrokerError, Secret, Vault, parse_recipe
from broker.remote import Client, parse_address
from broker.remote.address import Address
from interlock.cli.advice import advise
from interlock.cli.attestation import verified
from interlock.cli.check import Check, Status
from interlock.cli.environment import CA_FILE
from interlock.cli.home import Records, reading
from interlock.cli.outside import check_authorities, check_issuers
from interlock.cli.policy import load_as_front_door
from interlock.cli.ports import is_free, listener
from interlock.cli.reader import START
from interlock.cli.starting import check_bindings, check_start
from interlock.errors import InterlockError, SettingsError
from interlock.model import Binding
from interlock.own_key import OwnKey
from interlock.settings import Settings
from interlock.store import Shelf

PORTS = {8080: "proxy", 8081: "web page", 9080: "API", 9443: "base URLs"}
FRONT_DOORS = ("mitmdump", "mitmweb", "mitmproxy", "interlock")
KNOCK_S = 3.0
RENEW = timedelta(days=30)


def examine(settings: Settings) -> Iterator[Check]:
    """Ask everything, without changing anything."""
    home = check_home(settings)
    yield home
    if settings.home.is_dir():
        yield from check_keys(settings)
        yield from check_records(settings)
        yield check_certificate(settings)
    yield from check_authorities(settings)
    yield from check_start(settings)
    yield check_policies(settings)
    for port, purpose in PORTS.items():
        yield check_port(port, purpose)


def check_home(settings: Settings) -> Check:
    """The home is there and nobody else's."""
    home = settings.home
    if not home.is_dir():
        return Check("home", Status.FAILURE, f"{home} does not exist", START)
    if wide := _wider_than(home, 0o700):
        return Check("home", Status.FAILURE, f"{home} has mode {wide}", f"chmod 700 {home}")
    return Check("home", Status.OK, str(home))


def check_keys(settings: Settings) -> Iterator[Check]:
    """Key files are nobody else's."""
    keys = sorted(settings.keys.glob("*.key"))
    for key in keys:
        if wide := _wider_than(key, 0o600):
            yield Check("keys", Status.FAILURE, f"{key} has mode {wide}", f"chmod 600 {key}")
    if not keys:
        yield Check("keys", Status.WARNING, f"there are none in {settings.keys}", START)
    elif not any(_wider_than(key, 0o600) for key in keys):
        yield Check("keys", Status.OK, f"{len(keys)} key files, all private")


def check_records(settings: Settings) -> Iterator[Check]:
    """The database opens, the ledger is intact, every binding works."""
    try:
        with reading(settings) as records:
            found = f"{settings.database} (SQLite {sqlite3.sqlite_version})"
            yield Check("database", Status.OK, found)
            yield check_ledger(settings, records)
            yield from check_secrets(settings, records)
            yield from check_bindings(records)
            yield from check_issuers(records)
    except InterlockError as e:
        yield Check("database", Status.FAILURE, *advise(e))


def check_ledger(settings: Settings, records: Records) -> Check:
    """Every hash of the chain fits, and every checkpoint."""
    result = verified(settings, records)
    if result.intact:
        found = f"events: {result.events}, checkpoints: {result.checkpoints}, every hash fits"
        return Check("ledger", Status.OK, found)
    advice = "somebody changed the database: keep a copy of it, then find out who"
    return Check("ledger", Status.FAILURE, result.problem, advice)


def check_secrets(settings: Settings, records: Records) -> Iterator[Check]:
    """Every binding has a secret that opens and a recipe that fits it."""
    if settings.broker:
        yield check_broker(settings)
        return
    bindings = records.bindings.all()
    if not bindings:
        advice = "interlock secret set openai-api-key"
        yield Check("secrets", Status.WARNING, "no secret is bound to any host", advice)
        return
    try:
        key = OwnKey(settings).find(records.database)
    except SettingsError as e:
        advice = "only the key that this home was made with opens them"
        yield Check("secrets", Status.FAILURE, f"none can be opened: {e}", advice)
        return
    problems = {b: problem for b in bindings if (problem := _problem(records, key, b))}
    for binding, problem in problems.items():
        advice = f"interlock secret set {binding.secret}"
        yield Check("secrets", Status.FAILURE, f"{binding.authority}: {problem}", advice)
    if not problems:
        yield Check("secrets", Status.OK, f"bindings: {len(bindings)}, every secret opens")


def check_broker(settings: Settings) -> Check:
    """The broker that has the secrets lets us in, as it will let in the front door."""
    try:
        address = parse_address(settings.broker, settings.broker_tls)
        bindings = asyncio.run(_bindings_of(address))
    except (ValueError, BrokerError) as e:
        advice = "interlock broker serve, in the broker's home"
        return Check("broker", Status.FAILURE, f"{settings.broker}: {e}", advice)
    found = f"has the secrets, and lets us in at {settings.broker}; bindings: {bindings}"
    return Check("broker", Status.OK, found)


def check_certificate(settings: Settings) -> Check:
    """The authority that agents trust is there and will be for a while."""
    path = settings.ca / CA_FILE
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except FileNotFoundError:
        return Check("certificate", Status.FAILURE, f"{path} does not exist", START)
    except (OSError, ValueError) as e:
        return Check("certificate", Status.FAILURE, f"{path}: {e}", START)
    renew = f"remove {settings.ca} and run `interlock init`; agents must trust the new one"
    left = ends - datetime.now(UTC)
    if left <= timedelta(0):
        return Check("certificate", Status.FAILURE, f"it expired on {ends:%Y-%m-%d}", renew)
    if left < RENEW:
        return Check("certificate", Status.WARNING, f"it expires on {ends:%Y-%m-%d}", renew)
    return Check("certificate", Status.OK, f"valid until {ends:%Y-%m-%d}")


def check_policies(settings: Settings) -> Check:
    """The policies load."""
    try:
        loaded = load_as_front_door(settings.policies)
    except InterlockError as e:
        return Check("policies", Status.FAILURE, str(e), "interlock policy check")
    found = f"{len(loaded.current)} policies, set {loaded.current.digest}"
    return Check("policies", Status.OK, found)


def check_port(port: int, purpose: str) -> Check:
    """A default port is free, or ours."""
    subject = f"port {port}"
    if is_free(port):
        return Check(subject, Status.OK, f"free ({purpose})")
    who = listener(port)
    if who.startswith(FRONT_DOORS):
        return Check(subject, Status.OK, f"in use by {who}")
    advice = "if that is no front door, give ours another port: --mode regular@PORT"
    return Check(subject, Status.WARNING, f"in use by {who or 'somebody'} ({purpose})", advice)


def _problem(records: Records, key: bytes, binding: Binding) -> str:
    """Say why a binding would fail at the wire; empty when it would not."""
    try:
        found = records.database.read(lambda c: Vault(Shelf(c), key).look(binding.secret))
        if isinstance(found, Secret):  # `interlock secret check` fetches the others
            parse_recipe(binding.recipe).check(found)
    except (BrokerError, ValueError) as e:
        return str(e)
    return ""


async def _bindings_of(address: Address) -> int:
    """How many bindings a broker has; raises BrokerError."""
    client = Client(address, KNOCK_S)
    try:
        return len((await client.ask("bindings", change=-1)).get("bindings") or ())
    finally:
        client.close()


def _wider_than(path: Path, most: int) -> str:
    """The mode of a path in octal if it grants more than `most`, else empty."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return f"{mode:04o}" if mode & ~most else ""
