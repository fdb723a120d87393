"""Proves agents and people by what systems outside say: the one way from such a proof to a name."""

import asyncio
import logging
import sqlite3
from collections import OrderedDict
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from interlock.errors import RegistryError
from interlock.federation.authorities import AuthorityFiles
from interlock.federation.certificate import (
    Authorities,
    CertificateError,
    Chain,
    Proven,
    verify_chain,
)
from interlock.federation.identities import Identities, bind
from interlock.federation.identity import (
    is_statement,
    parse_spiffe,
    trust_domain_of,
)
from interlock.federation.issuer import Issuer
from interlock.federation.issuers import Issuers
from interlock.federation.keyset import PublicJwk
from interlock.federation.keysets import Keysets
from interlock.federation.statement import (
    INSTALL,
    Statement,
    StatementError,
    Unverified,
    look,
    verify,
)
from interlock.model import Agent, Entity, Trust
from interlock.registry import Profile, Registry, enlist, require_name, unjudged
from interlock.registry.keys import digest
from interlock.store import Audit, Database

log = logging.getLogger(__name__)

# So many proofs are remembered as verified; the others are verified again.
MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class _Verified:
    issuer: Issuer
    key: PublicJwk
    statement: Statement


class Federation:
    """Issuers, bound identities and client authorities, over the registry of agents."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        registry: Registry,
        client_ca: Path | None = None,
        client_crl: Path | None = None,
    ) -> None:
        """The files of authorities are read by `require_sound`."""
        self.issuers = Issuers(database, audit)
        self.identities = Identities(database, audit)
        self._database = database
        self._audit = audit
        self._registry = registry
        self._files = AuthorityFiles(client_ca, client_crl)
        self._keysets = Keysets()
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._chains: OrderedDict[Chain, tuple[Authorities, Proven]] = OrderedDict()

    def require_sound(self) -> None:
        """Read the files of client authorities; raises SettingsError for one that is no good.

        What else is missing is told: without it tokens prove nobody, and keys go on to.
        """
        self._files.load()
        if self.issuers.all() and find_spec("joserfc") is None:
            log.warning("tokens prove nobody, whatever their issuer: joserfc %s", INSTALL)

    @property
    def asks_for_certificates(self) -> bool:
        """True where client authorities are set."""
        return self._files.current is not None

    def is_for_us(self, text: str) -> bool:
        """Say whether a text claims to be a token of an issuer of ours, for us; true or not."""
        if not is_statement(text):
            return False
        try:
            said = look(text)
        except StatementError:
            return False
        issuer = self._issuer(said)
        audiences = said.audience if isinstance(said.audience, list) else [said.audience]
        return issuer is not None and issuer.audience in audiences

    async def prepare(self, text: str, now: float) -> None:
        """Do what a token needs, and has to be waited for, before `prove` can look at it.

        That is: have the keys of its issuer, and register its agent where the issuer may.
        Raises StoreError, and StatementError where it has registered all that it may; any other
        token that is no good is passed over, to be refused by `prove`.
        """
        try:
            said = look(text)
            issuer = self._issuer(said)
            if issuer is None:
                return
            await self._keysets.have(issuer, said.kid)
            newcomer = self._newcomer(text, now) if issuer.auto_register else None
        except (StatementError, RegistryError):
            return
        if newcomer:
            await self._register(issuer, newcomer, now)

    def verify(self, text: str, now: float) -> Statement:
        """Answer what a token says; raises StatementError, also while its keys are not at hand."""
        said = look(text)
        issuer = self._issuer(said)
        if issuer is None:
            raise StatementError("unknown issuer")
        if said.algorithm not in issuer.algorithms:
            raise StatementError("wrong algorithm")
        keyset = self._keysets.get(issuer)
        if keyset is None:
            raise StatementError("keys of the issuer cannot be had")
        key = keyset.select(said.kid, said.algorithm)
        if key is None:
            raise StatementError("unknown key of the issuer")
        known = self._verified.get(digest(text))
        if known and (known.issuer, known.key) == (issuer, key):
            known.statement.require_current(now)
            return known.statement
        statement = verify(text, issuer, key, said.algorithm, now)
        _remember(self._verified, digest(text), _Verified(issuer, key, statement))
        return statement

    def prove(self, text: str, now: float, name: str | None = None) -> Agent:
        """Answer the agent that a token proves, whose name it is too when one is given.

        Raises IdentityError with the same words whatever is wrong.
        """
        statement = self.verify(text, now)
        agent = self._agent(self._named(statement), now)
        if name not in (None, agent.name):
            raise StatementError("token of another agent")
        groups = tuple(dict.fromkeys(agent.groups + statement.groups))
        return replace(agent, groups=groups, proof=str(statement.identity), actors=statement.actors)

    def prove_chain(self, chain: Chain, now: float) -> Agent:
        """Answer the agent that a client certificate and its chain prove; raises IdentityError."""
        for identity in self._chain(chain, now).identities:
            if (holder := self.identities.holder(identity)) and holder.type == "Agent":
                return replace(self._agent(holder.id, now), proof=str(identity))
        raise CertificateError("certificate of nobody")

    async def person(self, text: str, now: float) -> Entity:
        """Answer the person for whom a token was made out; raises IdentityError."""
        if not is_statement(text):
            raise StatementError("malformed token")
        await self.prepare(text, now)
        holder = self.identities.holder(self.verify(text, now).identity)
        if holder is None or holder.type != "User":
            raise StatementError("token of nobody")
        return holder

    def _issuer(self, said: Unverified) -> Issuer | None:
        """The issuer whose token it claims to be; a JWT-SVID need not name one (JWT-SVID, 3)."""
        issuers = self.issuers.all()
        if not issuers:
            return None
        if isinstance(said.subject, str) and said.subject.startswith("spiffe://"):
            try:
                domain = trust_domain_of(parse_spiffe(said.subject))
            except ValueError:
                return None
            if domain in issuers:
                return issuers[domain]
        return issuers.get(said.issuer) if isinstance(said.issuer, str) else None

    def _named(self, statement: Statement) -> str:
        """The agent that a token names.

        An agent that is bound to a subject is proven by that subject alone: no other can claim
        its name, however much its issuer lets subjects choose.
        """
        holder = self.identities.holder(statement.identity)
        if holder and holder.type == "Agent":
            return holder.id
        named = statement.agent
        if holder or not named or self.identities.has_subject(named):
            raise StatementError("token of nobody")
        return named

    def _agent(self, name: str, now: float) -> Agent:
        try:
            return self._registry.get(name, now)
        except RegistryError:
            raise StatementError("token of nobody") from None

    def _chain(self, chain: Chain, now: float) -> Proven:
        authorities = self._files.current
        if authorities is None:
            raise CertificateError("bad certificate")
        known = self._chains.get(chain)
        if known and known[0] is authorities and now < known[1].ends_at:
            return known[1]
        proven = verify_chain(chain, authorities, now)
        _remember(self._chains, chain, (authorities, proven))
        return proven

    def _newcomer(self, text: str, now: float) -> Statement | None:
        """What a token says of an agent that nobody knows yet; None for one that is known.

        Raises StatementError, and RegistryError for what no agent can be called.
        """
        statement = self.verify(text, now)
        if self.identities.holder(statement.identity) or self._registry.has(statement.agent):
            return None
        require_name(statement.agent)
        return statement

    async def _register(self, issuer: Issuer, statement: Statement, now: float) -> None:
        """Register the agent of a token: unverified, bound to its subject.

        Raises StatementError where too many wait for a person to look at them.
        """
        name, source = statement.agent, f"issuer:{issuer.url}"

        def work(connection: sqlite3.Connection) -> None:
            if unjudged(connection, source) >= issuer.most_agents:
                raise StatementError("its issuer has registered too many agents")
            agent = Agent(name, trust=Trust.UNVERIFIED)
            if enlist(connection, agent, Profile(source=source), now):
                details = {"agent": name, "after": {"trust": agent.trust, "source": issuer.url}}
                self._audit(connection, "agent.add", details)
                bind(connection, self._audit, statement.identity, Entity("Agent", name))

        await asyncio.wrap_future(self._database.submit(work))


def _remember[K, V](kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MOST_REMEMBERED:
        kept.popitem(last=False)
