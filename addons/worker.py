"""One process of a front door, run by a supervisor as `python -m addons.worker`."""

import asyncio
import contextlib
import json
import os
import signal
import sys

from addons import hangup

if __name__ == "__main__":
    hangup.outlive()  # what follows takes most of a second to load

from addons import listeners
from addons.master import serve
from addons.plan import Plan

READY = b"ready\n"


def main(plan: str, sockets: str, channel: str) -> int:
    """Serve until told to end, or until the supervisor is gone; answer the exit code.

    `channel` is the file descriptor of our end of a socket pair: we say that we serve, and it
    closes when the supervisor ends, however it ends.
    """
    handle = int(channel)
    os.set_blocking(handle, False)
    listeners.share(listeners.inherit(json.loads(sockets)))

    async def run() -> int:
        loop = asyncio.get_running_loop()
        loop.add_reader(handle, _orphaned, handle)
        return await serve(Plan.load(plan), ready=lambda: _tell(handle))

    return asyncio.run(run())


def _tell(handle: int) -> None:
    with contextlib.suppress(OSError):
        os.write(handle, READY)


def _orphaned(handle: int) -> None:
    """End like after SIGTERM: nobody would ever end us otherwise."""
    asyncio.get_running_loop().remove_reader(handle)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
