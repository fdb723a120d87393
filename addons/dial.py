"""The choke point: only what a cleared request asked for is dialled, at a checked address."""

import asyncio
import logging

from mitmproxy import connection
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons.addresses import Address, is_allowed, is_own, is_public
from addons.door import Door
from addons.lookup import Lookup
from addons.parent import Parent, parent_of
from interlock.calls import parse_authority
from interlock.model import Authority
from interlock.settings import AllowPrivate

log = logging.getLogger(__name__)


class Dial:
    """Refuses raw tunnels, eager dials and addresses inside our own network."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._pinned: dict[str, Authority] = {}
        self._lookup = Lookup()

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        """Resolve once, check every answer, and pin the address that is dialled.

        Any failure in here stops the dial, because an error on the connection does.
        """
        try:
            authority = _authority(data)
            if parent := parent_of(data.client):
                address = await self._through(parent, data, authority)
            elif authority not in self._door.dialable.get(data.client.id, ()):
                raise PermissionError(f"no cleared request asked for {authority}")
            else:
                address = await self._resolve(authority, data.client, self._door.private)
        except Exception as e:  # noqa: BLE001 - whatever goes wrong, the dial is refused
            data.server.error = f"interlock refused to dial: {e}"
            log.warning("%s", data.server.error)
            return
        self._pinned[data.server.id] = authority
        if data.server.tls:
            data.server.sni = authority.host
        data.server.address = (str(address), authority.port)

    async def _through(
        self, parent: Parent, data: ServerConnectionHookData, authority: Authority
    ) -> Address:
        """Dial the parent, and nobody else; our operator named it, so it may be private.

        Which destination the tunnel may lead to, the boundary sees to, where it is asked for.
        """
        if data.server.address != parent[1]:
            raise PermissionError("all calls go through the parent proxy")
        if not self._door.dialable.get(data.client.id):
            raise PermissionError("no cleared request asked for anything")
        governor, name = self._door.governor, self._door.parent_secret_name
        if governor and name:
            open_ = governor.installation.secret
            self._door.parent_secret = await asyncio.to_thread(open_, name)
        return await self._resolve(authority, data.client, (frozenset({authority.host}), ()))

    async def _resolve(
        self, authority: Authority, client: connection.Client, private: AllowPrivate
    ) -> Address:
        """Resolve a name once and answer the address to dial.

        Raises PermissionError when ANY answer is not a public address, or is one of this machine,
        and is not allowed; OSError when there is no answer.
        """
        proven = self._door.proofs.get(client.id, {}).values()
        who = next(iter(proven), f"at {client.peername[0]}")
        addresses = await self._lookup.addresses(authority, who)
        for address in addresses:
            inside = "not public" if not is_public(address) else "this machine" * is_own(address)
            if inside and not is_allowed(authority.host, private, address):
                raise PermissionError(
                    f"{authority.host} resolves to {address}, which is {inside} "
                    "(allow it with interlock_allow_private)"
                )
        return addresses[0]

    async def server_connected(self, data: ServerConnectionHookData) -> None:
        """Give the connection its name back, by which the HTTP layer finds it for reuse.

        The field is guarded against changes on an open connection because that could hide
        where it leads; this restores what stood there before we pinned the address.
        """
        authority = self._pinned.pop(data.server.id, None)
        if authority:
            data.server.__dict__["address"] = (authority.host, authority.port)

    async def server_connect_error(self, data: ServerConnectionHookData) -> None:
        """Forget the pin of a dial that failed."""
        self._pinned.pop(data.server.id, None)


def _authority(data: ServerConnectionHookData) -> Authority:
    if data.server.transport_protocol != "tcp":
        raise PermissionError("only TCP is dialled")
    if data.server.via or not data.server.address:
        raise PermissionError("only a parent proxy itself is dialled")
    host, port = data.server.address[:2]
    return parse_authority(f"[{host}]" if ":" in host else host, port)
