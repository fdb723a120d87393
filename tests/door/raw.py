"""A client that says at each layer what it wants: CONNECT target, SNI and Host may all differ."""

import base64
import socket
import ssl

from interlock.model import Mode
from tests.door.world import TRUSTED, World


def tunnelled(
    world: World, mode: Mode, target: str, *, sni: str, host: str, path: str = "/v1/models"
) -> bytes:
    """Send one GET through CONNECT and answer every byte that came back."""
    door = world.doors[mode]
    proof = base64.b64encode(f"{TRUSTED}:{world.keys[TRUSTED]}".encode()).decode()
    trust = ssl.create_default_context(cafile=door.ca)
    trust.check_hostname = False
    with socket.create_connection(("127.0.0.1", door.ports[0]), 10) as plain:
        connect = (
            f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {proof}"
        )
        plain.sendall(f"{connect}\r\n\r\n".encode())
        head = plain.recv(65536)
        if b" 200 " not in head.split(b"\r\n")[0]:
            return head
        with trust.wrap_socket(plain, server_hostname=sni) as secure:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            secure.sendall(request.encode())
            return read_all(secure)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except OSError:
        pass
    return received
