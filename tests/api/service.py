"""The API on a real socket, over a home of its own."""

import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn

from interlock.api.app import create_app
from interlock.api.serving import LOOPBACK
from interlock.demo.certificates import Certificates
from interlock.installation import Installation
from interlock.model import Agent, Trust
from interlock.registry import Role
from interlock.settings import Settings


@dataclass
class Service:
    """A served installation with a token of every role, and two agents."""

    home: Path
    options: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    certificates: Certificates | None = None

    def __enter__(self) -> Self:
        settings = Settings.load(home=self.home, **self.options)
        self.records = Installation(settings)
        for role in Role:
            self.keys[role] = self.records.tokens.add(role, role)
        for name, trust in (("one", Trust.TRUSTED), ("two", Trust.UNVERIFIED)):
            self.keys[name] = self.records.registry.add(Agent(name, owner="ada", trust=trust))
        self.app = create_app(self.records, LOOPBACK)
        listener = socket.create_server(("127.0.0.1", 0))
        # Head and body go out apart; without this the body would wait 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        tls = self.certificates
        files = {"ssl_certfile": tls.chain, "ssl_keyfile": tls.key} if tls else {}
        if tls:
            self.url = self.url.replace("http://127.0.0.1", "https://localhost")
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_level="warning", **files))
        self._thread = threading.Thread(target=self._server.run, args=([listener],))
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        verify = ssl.create_default_context(cafile=tls.ca) if tls else True
        self._client = httpx.Client(base_url=self.url, trust_env=False, timeout=30, verify=verify)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._server.should_exit = True
        self._thread.join()
        self.records.close()

    def ask(
        self, method: str, path: str, who: str = "admin", body: Any = None, **headers: str
    ) -> httpx.Response:
        """One request; an empty `who` shows no proof."""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if who:
            said.setdefault("Authorization", f"Bearer {self.keys[who]}")
        return self._client.request(method, path, json=body, headers=said)

    def get(self, path: str, who: str = "admin") -> Any:
        """What a GET that succeeds answers."""
        answer = self.ask("GET", path, who)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, who: str = "admin", **headers: str) -> Any:
        """What a POST that succeeds answers."""
        answer = self.ask("POST", path, who, body, **headers)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()
