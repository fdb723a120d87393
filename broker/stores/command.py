"""`command:PROGRAM ARGUMENT ...`: one line from the output of a program, run without a shell."""

import contextlib
import os
import re
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import ClassVar

from broker.errors import StoreRefusalError
from broker.secret import MAX_BYTES, Secret
from broker.stores.reference import Reference
from broker.stores.store import TIME_LIMIT_S, Fetched, Store, fetched, secret_or_why


class Command(Store):
    """Run programs with our environment, less what is Interlock's own in it."""

    name: ClassVar = "command"
    form: ClassVar = "command:PROGRAM ARGUMENT ..."
    pattern: ClassVar = re.compile(r"(?P<path>\S.*)")
    needs: ClassVar = (
        "the program; it prints the value as one line, within "
        f"{TIME_LIMIT_S:g} seconds, and ends with 0"
    )

    def __init__(self, environ: Mapping[str, str], limit_s: float = TIME_LIMIT_S) -> None:
        self._environ = environ
        self._limit_s = limit_s

    def fetch(self, reference: Reference) -> Fetched:
        environ = {k: v for k, v in self._environ.items() if not k.startswith("INTERLOCK_")}
        words = _split(reference.path)
        try:
            process = subprocess.Popen(  # noqa: S603 - a person wrote it, and no shell reads it
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # may quote the value
                env=environ,
                start_new_session=True,
            )
        except (OSError, ValueError) as e:
            why = getattr(e, "strerror", None) or "its words cannot be run"
            raise StoreRefusalError(f"{words[0]!r} does not start: {why}") from None
        with process:
            try:
                return fetched(_line(process, time.monotonic() + self._limit_s))
            finally:
                _end(process)

    def forget(self, reference: Reference) -> None:
        """Keep nothing, so forget nothing."""

    def close(self) -> None:
        """Hold nothing."""


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as e:
        raise StoreRefusalError(f"the command cannot be read: {e}") from None


def _line(process: subprocess.Popen[bytes], deadline: float) -> Secret | str:
    """Read the one line that a program prints before it ends well, or say why there is none."""
    output = _output(process, deadline)
    if isinstance(output, str):
        return output
    try:
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "it does not end in time"
    if code:
        return f"it ended with exit status {code}"
    return secret_or_why(output.removesuffix(b"\n").removesuffix(b"\r"))


def _output(process: subprocess.Popen[bytes], deadline: float) -> bytes | str:
    """Read to the end, never more than a secret may be long, never beyond the deadline."""
    found = bytearray()
    if process.stdout is None:
        return bytes(found)
    handle = process.stdout.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        while len(found) <= MAX_BYTES + len(b"\r\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return "it prints no line in time"
            chunk = os.read(handle, MAX_BYTES)
            if not chunk:
                return bytes(found)
            found += chunk
    return f"it prints more than {MAX_BYTES} bytes"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program with all that it has started; what was left running would pile up."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
