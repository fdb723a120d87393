"""The client of one agent: a few lines to be registered, to live, to ask."""

import os
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from nacl.signing import SigningKey

from broker.keyfile import load_key
from interlock.client.answer import Answer, read_answer
from interlock.client.channel import Channel
from interlock.client.errors import ClientError, UnreachableError
from interlock.client.heartbeat import Heartbeat
from interlock.client.reason import current
from interlock.client.url import parse_api_url
from interlock.delegation import attenuate, read_chain
from interlock.model import Entity

DEFAULT_URL = "http://127.0.0.1:9080"
# A third of the lease that an agent gets when nobody says otherwise.
BEAT_S = 30.0


class Client:
    """An agent at the API. Whatever fails raises ClientError, so that nothing is taken for yes.

    It never goes through a proxy of the environment, which is for the agent's other calls.
    """

    def __init__(
        self,
        url: str = "",
        key: str = "",
        *,
        verify: ssl.SSLContext | bool = True,
        unsafe_plain_http: bool = False,
    ) -> None:
        """`key` is the agent's, or the token of its session.

        What is not given is read from INTERLOCK_API_URL and INTERLOCK_AGENT_KEY. To another
        machine it is sent by https alone, unless that is asked for.
        """
        given = url or os.environ.get("INTERLOCK_API_URL") or DEFAULT_URL
        try:
            self.url = parse_api_url(given, unsafe_plain_http=unsafe_plain_http)
        except ValueError as e:
            raise ClientError(f"the URL of the API: {e}") from None
        self.key = key or os.environ.get("INTERLOCK_AGENT_KEY", "")
        self._name = ""
        if not self.key:
            raise ClientError("give the agent's key, or set INTERLOCK_AGENT_KEY")
        if not (self.key.isascii() and self.key.isprintable()):
            raise ClientError("the agent's key holds what no key holds: was it cut or wrapped?")
        self._channel = Channel(self.url, {"Authorization": f"Bearer {self.key}"}, verify)

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the API."""
        self._channel.close()

    @classmethod
    def register(
        cls,
        name: str,
        *,
        token: str,
        url: str = "",
        verify: ssl.SSLContext | bool = True,
        unsafe_plain_http: bool = False,
        **more: Any,
    ) -> "Client":
        """Register an agent with a token that may, and answer its client; keep `client.key`.

        `more` are further fields of `POST /api/v1/agents/register`, such as `agent_type`.
        """
        how: dict[str, Any] = {"verify": verify, "unsafe_plain_http": unsafe_plain_http}
        with cls(url, token, **how) as registrar:
            made = registrar._post("/api/v1/agents/register", {"name": name, **more})
        client = cls(url, made["api_key"], **how)
        client._name = name
        return client

    def heartbeat(self, interval_s: float = BEAT_S) -> Heartbeat:
        """Renew the agent's lease in the background, for as long as a `with` block runs."""
        return Heartbeat(self.beat, interval_s)

    def beat(self) -> None:
        """Renew the agent's lease once."""
        self._post("/api/v1/agents/heartbeat", {})

    @property
    def name(self) -> str:
        """Whose key it is."""
        if not self._name:
            self._name = str(self._channel.ask("GET", "/whoami")["name"])
        return self._name

    def authorize(
        self, action: str, resource: str, *, principal: str = "", **context: Any
    ) -> Answer:
        """Ask whether the agent may do something: `authorize("call_tool", 'Tool::"search"')`.

        What the surrounding `declare` says goes along; `context` is what policies are told more.
        """
        question = _question(principal or self._principal(), action, resource, context)
        return _answer(self._post("/authorize", question))

    async def authorize_async(
        self, action: str, resource: str, *, principal: str = "", **context: Any
    ) -> Answer:
        """The same without blocking."""
        channel = self._channel
        async with httpx.AsyncClient(**channel.options) as http:
            try:
                if not (principal or self._name):
                    self._name = str(channel.read(await http.get("/whoami"))["name"])
                question = _question(principal or self._principal(), action, resource, context)
                response = await http.post("/authorize", json=question)
            except httpx.HTTPError as e:
                raise channel.unreachable(e) from e
        return _answer(channel.read(response))

    @staticmethod
    def attenuate(
        chain: str,
        key_file: Path | str,
        to: str,
        *,
        actions: Iterable[str],
        expires_s: float | None = None,
        **narrower: Iterable[str],
    ) -> str:
        """Let another agent act with a part of what a chain allows; needs nothing but the key.

        `narrower` are lists of `resources`, `intents` and `goals`; what is not given stays.
        Raises DelegationError for a part that is not one, ValueError for a bad name.
        """
        now, last = time.time(), read_chain(chain)[-1]
        more: dict[str, Any] = {name: tuple(values) for name, values in narrower.items()}
        scope = replace(
            last.scope,
            actions=tuple(actions),
            depth=max(last.scope.depth - 1, 0),
            expires=last.scope.expires if expires_s is None else now + expires_s,
            **more,
        )
        return attenuate(chain, _signing_key(key_file), Entity("Agent", to), scope, now)

    def _principal(self) -> str:
        return str(Entity("Agent", self.name))

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._channel.ask("POST", path, body)


def _question(
    principal: str, action: str, resource: str, context: Mapping[str, Any]
) -> dict[str, Any]:
    said = {name: value for name, value in current().items() if name != "approval"}
    about = {"principal": principal, "action": action, "resource": resource}
    return {**about, "context": {**said, **context}}


def _answer(body: Any) -> Answer:
    try:
        return read_answer(body)
    except (KeyError, TypeError, ValueError) as e:
        raise UnreachableError(f"the answer has no {e}") from None


def _signing_key(file: Path | str) -> SigningKey:
    """The private key in a file that is there; raises ClientError or broker.KeyFileError."""
    path = Path(file).expanduser().absolute()
    if not path.exists():
        raise ClientError(f"{path} does not exist: run `interlock key new`")
    return SigningKey(load_key(path))
