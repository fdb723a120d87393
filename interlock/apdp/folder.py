"""Keeps a policy set current: a changed file is loaded, a broken one changes nothing."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from interlock.apdp.intents import INTENTS, Intents, load_intents
from interlock.apdp.links import LINKS
from interlock.apdp.policies import SCHEMA, Policies, load_policies, shipped
from interlock.errors import PolicyError

log = logging.getLogger(__name__)

type Fingerprint = tuple[tuple[str, int, int, int], ...]


class PolicyFolder:
    """A folder of policies and the last good set that was read from it."""

    def __init__(self, folder: Path | None = None) -> None:
        """Load the folder (the shipped one without an argument); raises PolicyError."""
        self.folder = folder or shipped()
        self._seen = self._fingerprint()
        self.current: Policies = load_policies(self.folder)
        self.intents: Intents = load_intents(self.folder, self.current.action_names)

    def reload(
        self,
        loaded: Callable[[Policies, Intents], None],
        failed: Callable[[PolicyError], None] = lambda _: None,
    ) -> bool:
        """Load again when a file has changed; True when a new set is in force.

        A set that does not load is reported once and the last good one goes on deciding.
        `loaded` is called with what is new before it is in force; a PolicyError from it counts
        as one of the set. `failed` is called with what is wrong.
        """
        seen = self._fingerprint()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            policies = load_policies(self.folder)
            intents = load_intents(self.folder, policies.action_names)
            if (policies.digest, intents) == (self.current.digest, self.intents):
                return False
            loaded(policies, intents)
        except PolicyError as e:
            log.error("policies NOT loaded, the last good set stays in force: %s", e)
            failed(e)
            return False
        self.current, self.intents = policies, intents
        log.info("policies loaded: %s policies, set %s", len(policies), policies.digest)
        return True

    def _fingerprint(self) -> Fingerprint:
        """Name, inode, size and time of every file that matters."""
        found: list[tuple[str, int, int, int]] = []
        named = [self.folder / name for name in (SCHEMA, INTENTS, LINKS)]
        for path in sorted([*self.folder.glob("*.cedar"), *named]):
            try:
                stat = os.stat(path)  # noqa: PTH116
            except OSError:
                continue
            found.append((path.name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return tuple(found)
