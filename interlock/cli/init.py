"""`interlock init`: everything that is missing in a home, made once."""

import typer

from broker import Keyring
from interlock.cli.environment import CA_FILE, JAVA_TRUST_STORE
from interlock.cli.home import changing, settings_of
from interlock.cli.printing import Json, say, say_json
from interlock.errors import SettingsError
from interlock.settings import Settings


def run(context: typer.Context, as_json: Json = False) -> None:
    """Create the home with its database, keys and certificate authority; safe to run again."""
    settings = settings_of(context)
    before = _contents(settings)
    with changing(settings, create=True):
        Keyring.open(settings.keys, "sct")
        _create_ca(settings)
    made = sorted(_contents(settings) - before)
    if as_json:
        say_json({"home": str(settings.home), "made": made})
        return
    for path in made:
        say("made", path)
    if not made:
        say(f"{settings.home} is complete already, nothing was changed.")
    _say_next()


def _create_ca(settings: Settings) -> None:
    if all((settings.ca / name).is_file() for name in (CA_FILE, JAVA_TRUST_STORE)):
        return
    # Here, because mitmproxy takes a second to load and most commands do without.
    from addons.certificate import create_ca

    try:
        create_ca(settings)
    except ValueError as e:
        raise SettingsError(f"{settings.ca}: the certificate authority cannot be read: {e}") from e


def _contents(settings: Settings) -> set[str]:
    """The files that stand in the home, and the database wherever it is, without SQLite's own.

    A database without a byte is still to be made.
    """
    database = settings.database
    files = {path for path in settings.home.rglob("*") if path.is_file()} - {database}
    if database.exists() and database.stat().st_size:
        files.add(database)
    kept = map(str, files)
    return {path for path in kept if not path.endswith(("-wal", "-shm"))}


def _say_next() -> None:
    say()
    say("Next:")
    say("  interlock secret set openai-api-key       the provider's key, from a prompt")
    say("  interlock agent add NAME --trust trusted  an agent, and its own key")
    say("  interlock proxy                           the front door")
