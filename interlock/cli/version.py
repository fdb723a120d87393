"""`interlock version`."""

import platform
from importlib.metadata import version

from interlock.cli.printing import Json, say, say_json


def run(as_json: Json = False) -> None:
    """Print the versions of Interlock and of what it runs on."""
    versions = {name: version(name) for name in ("interlock", "mitmproxy", "cedarpy")}
    versions["python"] = platform.python_version()
    if as_json:
        say_json(versions)
        return
    say(", ".join(f"{name} {number}" for name, number in versions.items()))
