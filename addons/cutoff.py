"""Ends the open connections of an agent that was cut off, within a second."""

import asyncio
import logging
import time
from collections.abc import Mapping

from mitmproxy import ctx

from addons.background import Background
from addons.door import Door, Origin, Presented, Proof
from addons.ending import Ending
from addons.proofs import is_from_outside
from interlock.errors import IdentityError, StoreError
from interlock.governor import Governor
from interlock.model import Agent, Mode

log = logging.getLogger(__name__)

POLL_S = 0.25
# So many connections are looked at before others have a turn: some 2 ms right after a change.
AT_ONCE = 100
# The refusal that says why may be on its way: what cuts an agent off is often a call of its own.
ANSWER_S = 0.1


class Cutoff:
    """Looks at who is connected whenever the registry has changed or a lease has lapsed.

    The next request of a cut-off agent is refused anyhow; this is for what is under way:
    tunnels, idle connections, and streams that would run on for hours.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._change = -1
        self._looked_at = 0.0
        self._background = Background()

    def running(self) -> None:
        """Begin to watch."""
        self._background.begin(self._watch)

    def done(self) -> None:
        """Stop watching."""
        self._background.stop()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._look()
            except StoreError as e:
                log.warning("cannot see who was cut off: %s", e)

    async def _look(self) -> None:
        governor = self._door.governor
        if governor is None:
            return
        records, now = governor.installation, time.time()
        self._look_at_calls(governor, now)
        change = records.database.change
        since = self._looked_at
        lapsed = records.registry.lapsed_since(since, now)
        lapsed = lapsed or records.addresses.lapsed_since(since, now)
        unchanged = change == self._change and not lapsed
        for number, (client_id, proofs) in enumerate(list(self._door.proofs.items()), 1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            due = {p: who for p, who in proofs.items() if not unchanged or is_from_outside(p)}
            if why := _ended(governor, due):
                log.warning("connection cut: %s", why)
                for account in self._door.accounts.values():
                    if account.client == client_id:
                        account.ending = Ending.CUT_OFF
                asyncio.get_running_loop().call_later(ANSWER_S, cut, client_id)
        # Only now: what could not be looked at is looked at again.
        self._looked_at, self._change = now, change

    def _look_at_calls(self, governor: Governor, now: float) -> None:
        """Cut calls that run on and on, once what they rest on is gone."""
        for account in list(self._door.accounts.values()):
            runs_on = account.lasting or account.verdict.call.server
            if runs_on and (why := governor.withdrawn(account.verdict, now)):
                account.ended = f"Interlock: {why}"
                account.ending = Ending.CUT_OFF
                log.warning("call cut: %s", why)
                cut(account.client)


def _ended(governor: Governor, proofs: Mapping[Proof | Origin | Presented, str]) -> str:
    """Say why a connection must end whose proofs proved these agents; empty when it may stay.

    A key that does not hold any more ends it in both modes, as it does at the next request; an
    agent that is cut off ends it where denials bind.
    """
    for proof, name in proofs.items():
        try:
            agent = _proven(governor, proof)
        except IdentityError:
            return f"{_told(proof)} does not hold any more"
        if agent.name != name:
            return f"{_told(proof)} stands for another agent than {name} now"
        if agent.cut_off and governor.mode_of(agent) is Mode.ENFORCE:
            return f"{agent.name} is {agent.state}"
    return ""


def _proven(governor: Governor, proof: Proof | Origin | Presented) -> Agent:
    """The agent of a proof that was given before; raises IdentityError when it ended."""
    if isinstance(proof, Origin):
        addresses = governor.installation.addresses
        return addresses.require(proof.whence, proof.agent, time.time())
    if isinstance(proof, Presented):
        return governor.installation.federation.prove_chain(proof.chain, time.time())
    name, key = proof
    return governor.identify(key, name)


def _told(proof: Proof | Origin | Presented) -> str:
    if isinstance(proof, Origin):
        return f"the address of {proof.agent}"
    if isinstance(proof, Presented):
        return "a client certificate"
    return f"the key of {proof[0] or 'an agent'}"


def cut(client_id: str) -> None:
    """Close the agent's side; mitmproxy then closes the upstream's."""
    handler = ctx.master.addons.get("proxyserver").connections.get(client_id)
    if handler is not None and handler.client in handler.transports:
        handler.close_connection(handler.client)
