"""Runs a part of a test in a network of its own, which a thread may have for itself on Linux."""

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

# An address of no machine (RFC 5737): what an agent dials who does not know of us.
SOMEWHERE = "203.0.113.10"


def in_own_network[T](what: Callable[[], T]) -> T:
    """Do something where there is nothing but a loopback; what it starts is there too."""

    def work() -> T:
        os.unshare(os.CLONE_NEWNET)
        configure("ip", "link", "set", "lo", "up")
        configure("ip", "address", "add", f"{SOMEWHERE}/32", "dev", "lo")
        return what()

    return _aside(work)


def in_network[T](name: str, what: Callable[[], T]) -> T:
    """Do something in a network namespace that has a name."""

    def work() -> T:
        with Path(f"/run/netns/{name}").open() as handle:
            os.setns(handle.fileno(), os.CLONE_NEWNET)
        return what()

    return _aside(work)


def _aside[T](what: Callable[[], T]) -> T:
    done: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
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
