"""An identity provider on a real socket: discovery, keys that rotate, and hostile answers."""

import contextlib
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, Self

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from interlock.demo.certificates import Certificates
from interlock.federation import Issuer

AUDIENCE = "interlock"
# Made once: to make an RSA key takes long.
RSA = RSAKey.generate_key(2048)
type Key = RSAKey | ECKey | OKPKey


class Provider:
    """An OpenID provider; `answers` replaces what a path answers: (status, headers, body)."""

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates.create(folder, "localhost")
        self.first: Key = ECKey.generate_key("P-256")
        self.keys = {"first": self.first}
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        # Between two bytes of a body; 0 for at once.
        self.pause_s = 0.0

    def __enter__(self) -> Self:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            """Answers for the provider."""

            def do_GET(self) -> None:
                """Any path."""
                provider.asked.append(self.path)
                status, headers, body = provider.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                provider.send(self.wfile, body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.chain, self.certificates.key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = True
        self.url = f"https://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def send(self, file: BinaryIO, body: bytes) -> None:
        """Write a body, byte by byte where there is a pause between them."""
        if not self.pause_s:
            file.write(body)
            return
        with contextlib.suppress(OSError):
            for byte in body:
                file.write(bytes([byte]))
                time.sleep(self.pause_s)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """What a path answers."""
        if path in self.answers:
            return self.answers[path]
        documents = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
            },
            "/keys": {"keys": [self.public(kid) for kid in self.keys]},
        }
        if path not in documents:
            return 404, {}, b"{}"
        return 200, {"Content-Type": "application/json"}, json.dumps(documents[path]).encode()

    def public(self, kid: str) -> dict[str, Any]:
        """One key as the JWKS shows it."""
        return dict(self.keys[kid].as_dict(private=False)) | {"kid": kid, "use": "sig"}

    def issuer(self, **more: Any) -> Issuer:
        """This provider as an installation knows it."""
        return Issuer(self.url, AUDIENCE, ca=self.certificates.ca.read_text(), **more)

    def claims(self, **more: Any) -> dict[str, Any]:
        """The claims of a good token; None leaves one out."""
        now = int(time.time())
        times = {"iat": now, "exp": now + 300}
        claims = {"iss": self.url, "sub": "bot", "aud": AUDIENCE} | times | more
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, kid: str = "first", alg: str = "ES256", *, key: Any = None, **more: Any) -> str:
        """A token that is good unless told otherwise."""
        header = {"alg": alg, "kid": kid}
        return jwt.encode(header, self.claims(**more), key or self.keys[kid], [alg])
