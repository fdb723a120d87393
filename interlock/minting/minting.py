"""The routes and the tokens of one installation: who holds what, and where it may go."""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from broker import Mask, Secret
from broker.recipes.standin import Place, StandIn
from interlock.calls.hosts import parse_destination
from interlock.errors import MintError
from interlock.minting.capture import FORM, Token, capture
from interlock.minting.placeholder import digest, new_placeholder, placeholders_in
from interlock.minting.route import Route
from interlock.model import Agent, Authority, Call, Request
from interlock.store import Audit, Database, Snapshot
from interlock.store.minted import Minted, forget_route, keep, rows

log = logging.getLogger(__name__)

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Use:
    """A minted token that a call uses: which one, the way it travels, and its value."""

    minted: Minted
    recipe: StandIn
    secret: Secret


@dataclass(frozen=True, slots=True)
class Taken:
    """An answer without its tokens, and what would reveal them.

    `kept` is done when they are sealed, on disk; None where there were none.
    """

    body: bytes
    mask: Mask
    kept: Future[None] | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    minted: Minted
    secret: Secret


@dataclass(frozen=True, slots=True)
class _Known:
    routes: Mapping[str, Route]
    held: Mapping[str, _Held]
    masks: dict[Authority, Mask]


class Minting:
    """Sees to it that no agent ever holds what an upstream hands out on a declared route."""

    def __init__(self, database: Database, audit: Audit, master_key: bytes) -> None:
        self._database = database
        self._audit = audit
        self._box = SecretBox(master_key)
        self._forms: dict[str, Mask] = {}
        self._snapshot = Snapshot(database, self._load)

    @property
    def routes(self) -> Mapping[str, Route]:
        """The routes by name; raises MintError for one that is not sound, StoreError."""
        return self._snapshot.value.routes

    def require_sound(self) -> None:
        """Raise MintError for a route that leads where no call could be judged (I7)."""
        declared(self._database)

    def add(self, route: Route) -> None:
        """Declare a route, in place of the one of that name."""

        def work(connection: sqlite3.Connection) -> None:
            before = _known(connection, route.name)
            save(connection, route)
            change = {"before": before, "after": public(route)}
            self._audit(connection, "mint.add", {"route": route.name} | change)

        self._database.write(work)

    def remove(self, name: str) -> int:
        """Forget a route and what it has minted; answer how many tokens. Raises MintError."""

        def work(connection: sqlite3.Connection) -> int:
            if (before := _known(connection, name)) is None:
                raise MintError(f"there is no route named {name!r}")
            connection.execute("delete from mint_routes where name = ?", [name])
            count = forget_route(connection, name)
            self._audit(connection, "mint.rm", {"route": name, "before": before, "tokens": count})
            return count

        return self._database.write(work)

    def guards(self, authority: Authority) -> bool:
        """True for a destination whose answers may hold a token, new or known."""
        return any(route.reaches(authority) for route in self.routes.values())

    def mask_at(self, authority: Authority) -> Mask:
        """What would reveal a token that may go to a destination."""
        known = self._snapshot.value
        if (mask := known.masks.get(authority)) is not None:
            return mask
        reaching = {name for name, route in known.routes.items() if route.reaches(authority)}
        mask = known.masks[authority] = Mask.all(
            self._forms[held.minted.digest]
            for held in known.held.values()
            if held.minted.route in reaching
        )
        return mask

    def part_in(self, agent: Agent, call: Call, now: float) -> tuple[Route | None, Use | None]:
        """Where a call may be handed a token, and which one it uses; raises MintError.

        Asked of every call, most of which have nothing to do with either.
        """
        if not (self.routes or call.request.offered):
            return None, None
        return self.route_of(agent, call), self.use(agent, call.request, now)

    def route_of(self, agent: Agent, call: Call) -> Route | None:
        """The route on which a call may be handed a token, None for any other call.

        Raises MintError where it could not be kept for its caller, or perhaps not be seen.
        """
        request = call.request
        at_host = [r for r in self.routes.values() if r.authority == request.authority]
        if not at_host:
            return None
        fitting = [r for r in at_host if r.fits(request.authority, request.method, request.path)]
        if call.doubt:
            raise MintError(f"tokens are handed out at this host, and {call.doubt}")
        if fitting and request.protocol:
            raise MintError("tokens are handed out here, and not in a conversation")
        if fitting and (not agent.identified or agent.cut_off):
            raise MintError("tokens are handed out here, and only to an agent in good standing")
        if len(fitting) > 1:
            fields = tuple(dict.fromkeys(name for route in fitting for name in route.fields))
            return replace(fitting[0], fields=fields)
        return fitting[0] if fitting else None

    def use(self, agent: Agent, request: Request, now: float) -> Use | None:
        """The minted token that a call shows the placeholder of, None when it shows none.

        Raises MintError for one that is not good here and now, for this agent; which of these,
        it does not say. In a body that goes anywhere but to a route, a placeholder is only text.
        """
        shown: list[tuple[str, Place, str]] = [
            (text, "header", name) for name, text in request.offered
        ]
        shown += [(text, place, "") for text, place in self._in_content(request)]
        if not shown:
            return None
        if len(shown) > 1:
            raise MintError("a call can use one minted token, in one place")
        text, place, header = shown[0]
        return self._use(agent, request.authority, text, place, header, now)

    def holds(self, minted: str, now: float) -> bool:
        """Say whether the token of an id is kept still, and good."""
        held = self._snapshot.value.held.values()
        return any(each.minted.id == minted and each.minted.ends > now for each in held)

    def _use(
        self,
        agent: Agent,
        authority: Authority,
        text: str,
        place: Place,
        header: str,
        now: float,
    ) -> Use:
        known = self._snapshot.value
        held = known.held.get(digest(text))
        if not held or held.minted.agent != agent.name or held.minted.ends <= now:
            raise MintError("the placeholder stands for no token of yours that is still good")
        if agent.cut_off:
            raise MintError("the agent is cut off")
        route = known.routes[held.minted.route]
        fits = (
            route.serves(authority) and header in route.headers
            if header
            else (authority == route.authority)
        )
        if not fits:
            raise MintError(f"{held.minted.secret} may not go there")
        return Use(held.minted, StandIn(text, place, header), held.secret)

    def _in_content(self, request: Request) -> list[tuple[str, Place]]:
        """The placeholders in query and body of a call to a route."""
        at, method, path = request.authority, request.method, request.path
        if not [route for route in self.routes.values() if route.fits(at, method, path)]:
            return []
        query = request.path.partition("?")[2].encode("utf-8", "surrogateescape")
        found: list[tuple[str, Place]] = [(text, "query") for text in placeholders_in(query)]
        kind = request.content_type.partition(";")[0].strip().lower()
        places: dict[str, Place] = {FORM: "form", _JSON: "json"}
        if request.content_encoding in ("", "identity") and kind in places:
            found += [(text, places[kind]) for text in placeholders_in(request.body)]
        return found

    def take(
        self,
        agent: Agent,
        route: Route,
        decision_id: str,
        body: bytes,
        now: float,
        content_type: str = "",
    ) -> Taken:
        """Take the tokens out of an answer; raises ValueError for one that cannot be read."""
        captured = capture(body, route.fields, now, new_placeholder, content_type)
        mask = Mask(each.value.reveal() for each in captured.tokens)
        if not captured.tokens:
            return Taken(captured.body, mask)
        held = [(_minted(agent, route, token, now), token.value) for token in captured.tokens]
        kept = self._database.submit(self._keeping(held, decision_id))
        return Taken(captured.body, mask, kept)

    def _keeping(
        self, held: list[tuple[Minted, Secret]], decision_id: str
    ) -> Callable[[sqlite3.Connection], None]:
        def work(connection: sqlite3.Connection) -> None:
            for minted, secret in held:
                keep(connection, minted, self._sealed(minted, secret))
                told = {"secret": minted.secret, "minted": minted.id, "agent": minted.agent}
                more = {"ends": minted.ends, "decision": decision_id}
                self._audit(connection, "secret.mint", told | more)

        return work

    def _sealed(self, minted: Minted, secret: Secret) -> bytes:
        return bytes(self._box.encrypt(minted.label.encode() + b"\n" + secret.reveal()))

    def _load(self, database: Database) -> _Known:
        routes = {route.name: route for route in declared(database)}
        held: dict[str, _Held] = {}
        for minted, sealed in database.read(rows):
            if minted.route in routes and minted.ends > time.time():
                secret = self._opened(minted, sealed)
                if secret:
                    held[minted.digest] = _Held(minted, secret)
        self._forms = {
            key: self._forms.get(key) or Mask(StandIn("", "form").forms(each.secret))
            for key, each in held.items()
        }
        return _Known(routes, held, {})

    def _opened(self, minted: Minted, sealed: bytes) -> Secret | None:
        """The value, or nothing for a row that was sealed for another; the rest is still good."""
        label = minted.label.encode() + b"\n"
        try:
            plain = self._box.decrypt(sealed)
        except CryptoError:
            plain = b""
        if plain.startswith(label):
            return Secret(plain.removeprefix(label))
        log.error("%s (%s) does not open: another master key, or changed", minted.id, minted.secret)
        return None


def _minted(agent: Agent, route: Route, token: Token, now: float) -> Minted:
    return Minted(digest(token.placeholder), agent.name, route.name, token.field, now, token.ends)


def save(connection: sqlite3.Connection, route: Route) -> None:
    """Store or replace a route, in the open transaction."""
    connection.execute(
        "insert or replace into mint_routes (name, host, method, path, fields, hosts, headers) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        [
            *(route.name, str(route.authority), route.method, route.path),
            json.dumps(route.fields),
            json.dumps([str(host) for host in route.hosts]),
            json.dumps(route.headers),
        ],
    )


def declared(database: Database) -> list[Route]:
    """Every route by name; raises MintError for one that is not sound, StoreError."""
    return [
        _route(row)
        for row in database.read(
            lambda connection: connection.execute(
                "select * from mint_routes order by name"
            ).fetchall()
        )
    ]


def _known(connection: sqlite3.Connection, name: str) -> dict[str, object] | None:
    """A route as it is stored, for the ledger; sound or not, so that it can be removed."""
    row = connection.execute("select * from mint_routes where name = ?", [name]).fetchone()
    return dict(row) if row else None


def _route(row: sqlite3.Row) -> Route:
    try:
        return Route(
            row["name"],
            parse_destination(row["host"]),
            row["path"],
            row["method"],
            tuple(json.loads(row["fields"])),
            tuple(map(parse_destination, json.loads(row["hosts"]))),
            tuple(json.loads(row["headers"])),
        )
    except (ValueError, TypeError) as e:
        raise MintError(f"route {row['name']!r} cannot be read: {e}") from None


def public(route: Route) -> dict[str, object]:
    """A route as JSON values."""
    return {
        "name": route.name,
        "host": str(route.authority),
        "method": route.method,
        "path": route.path,
        "fields": list(route.fields),
        "to": [str(host) for host in route.hosts],
        "headers": list(route.headers),
    }
