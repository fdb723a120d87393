"""Real servers on loopback: OpenBao, what it makes users at, and one that never answers."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from interlock.demo.ports import free_ports

BAO = Path(sys.executable).parent / "bao"
START_S = 30.0


class Bao:
    """`bao server -dev`: in memory, unsealed, with a root token, ended with its block."""

    token = "root-of-a-test"

    def __enter__(self) -> Self:
        (port,) = free_ports(1)
        self.address = f"http://127.0.0.1:{port}"
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [
                *(BAO, "server", "-dev", "-dev-no-store-token"),
                f"-dev-root-token-id={self.token}",
                f"-dev-listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"HOME": self._folder.name, "PATH": os.environ["PATH"]},
        )
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, "bao server -dev ended"
            assert time.monotonic() < deadline, "bao server -dev does not start"
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._folder.cleanup()

    @property
    def environ(self) -> dict[str, str]:
        """What a user of it has set."""
        return {"BAO_ADDR": self.address, "BAO_TOKEN": self.token}

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Ask as root."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.address}/v1/{path}",
            json.dumps(body).encode() if body else None,
            {"X-Vault-Token": self.token},
            method=method,
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return json.loads(answer.read() or b"{}")

    def keep(self, path: str, **fields: Any) -> None:
        """Write a key/value secret."""
        self.call("POST", f"secret/data/{path}", data=fields)

    def allow_role(self, ttl: str, longest: str = "1h") -> dict[str, str]:
        """Make an AppRole that reads everything, and answer the environment of who has it."""
        if "approle/" not in self.call("GET", "sys/auth")["data"]:
            self.call("POST", "sys/auth/approle", type="approle")
        rule = 'path "*" { capabilities = ["read", "update"] }'
        self.call("PUT", "sys/policies/acl/reader", policy=rule)
        role = {"token_ttl": ttl, "token_max_ttl": longest, "token_policies": "reader"}
        self.call("POST", "auth/approle/role/door", **role)
        role_id = self.call("GET", "auth/approle/role/door/role-id")["data"]["role_id"]
        made = self.call("POST", "auth/approle/role/door/secret-id", ttl="1h")["data"]
        return {
            "VAULT_ADDR": self.address,
            "VAULT_ROLE_ID": role_id,
            "VAULT_SECRET_ID": made["secret_id"],
        }

    def _answers(self) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(self.address.rpartition(":")[2]))):
                return False
        try:
            return bool(self.call("GET", "sys/mounts"))
        except OSError:
            return False


class Users:
    """The management API of a message broker, as far as OpenBao's engine `rabbitmq` uses it."""

    def __enter__(self) -> Self:
        self.names: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.names))
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(names: set[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if found := re.fullmatch(r"/api/users/([^/]+)", self.path):
                names.add(found[1])
            self._done()

        def do_DELETE(self) -> None:
            names.discard(self.path.rpartition("/")[2])
            self._done()

        def log_message(self, *_: object) -> None:
            pass

        def _done(self) -> None:
            self.send_response(204)
            self.end_headers()

    return Handler


class Elsewhere:
    """Answers every request with a redirect to `target`."""

    def __init__(self, target: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(307)
                self.send_header("Location", target + self.path)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Mute:
    """Takes connections and never answers."""

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
