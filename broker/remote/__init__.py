"""A broker in a process of its own: one question a line, one answer a line, over a private line.

The line is a Unix socket whose other end the kernel names, or mutual TLS.
"""

from broker.remote.address import Address, parse_address
from broker.remote.client import Client
from broker.remote.server import Answer, serve

__all__ = ["Address", "Answer", "Client", "parse_address", "serve"]
