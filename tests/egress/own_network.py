"""Runs a part of a test in a network of its own, which a thread may have for itself on Linux."""

import os
import subprocess
import threading
from collections.abc import Callable

# An address of no machine (RFC 5737): what an agent dials who does not know of us.
SOMEWHERE = "203.0.113.10"


def in_own_network[T](what: Callable[[], T]) -> T:
    """Do something where there is nothing but a loopback; what it starts is there too."""
    done: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            os.unshare(os.CLONE_NEWNET)
            configure("ip", "link", "set", "lo", "up")
            configure("ip", "address", "add", f"{SOMEWHERE}/32", "dev", "lo")
            done.append(what())
        except BaseException as e:  # noqa: BLE001 - raised again below
            failed.append(e)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def redirect(port: int, to: int) -> None:
    """Have what goes out to a port of that address come to one of ours, as docs/deploy.md says."""
    rule = f"ip daddr {SOMEWHERE} tcp dport {port} redirect to :{to}"
    configure("nft", "add table ip agent")
    configure("nft", "add chain ip agent out { type nat hook output priority -100; }")
    configure("nft", f"add rule ip agent out {rule}")


def configure(*command: str) -> None:
    """Run a command here."""
    subprocess.run(command, check=True, capture_output=True)
