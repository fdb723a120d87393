"""A process that has secrets leaves nothing behind from which somebody could read them."""

import resource
from collections.abc import Mapping
from pathlib import Path

from broker.errors import KeyFileError

# Where TLS libraries write, for debuggers, what decrypts the connections that somebody recorded.
KEY_LOGS = ("SSLKEYLOGFILE", "MITMPROXY_SSLKEYLOGFILE")


def leave_nothing(environ: Mapping[str, str]) -> None:
    """Have no memory dumped when the process crashes.

    Raises KeyFileError when the environment asks for the keys of TLS connections in a file.
    """
    for name in KEY_LOGS:
        if path := environ.get(name):
            why = f"would get what decrypts every connection, secrets and all: unset {name}"
            raise KeyFileError(Path(path), why)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
