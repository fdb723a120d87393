"""What the head of a request says to us alone: who sent it, and why. All of it is taken off."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field

from mitmproxy import http

from addons.door import Proof, Tunnel
from addons.headers import index_of
from broker.quick import quick
from interlock.delegation import LONGEST as LONGEST_CHAIN
from interlock.errors import IdentityError
from interlock.federation import is_statement

# Where SDKs put a provider's key, and so where an agent's key arrives in base-URL mode.
KEY_SLOTS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
_SLOTS = tuple(slot.encode() for slot in KEY_SLOTS)
# Another slot, of those who can set no header (OpenAI's `openai-insecure-api-key.KEY`).
_SUBPROTOCOLS = b"sec-websocket-protocol"
_PROXY_AUTHORIZATION = b"proxy-authorization"
_OURS = b"interlock-"
DECLARATIONS = {
    "interlock-intent": "intent",
    "interlock-intent-category": "intent_category",
    "interlock-goal": "goal",
    "interlock-delegation": "delegation",
    "interlock-approval": "approval",
}
LONGEST_DECLARATION = 1024
_MALFORMED = "Proxy-Authorization must be Basic with agent name and key, or Bearer with a token"

# Says whether a value in a key slot is meant for us.
type Ours = Callable[[str], bool]
type Field = tuple[bytes, bytes]


@quick
@dataclass(frozen=True, slots=True)
class Offer:
    """What stood in one head.

    `shown` are the values of Proxy-Authorization, `declared` those of the `Interlock-*` headers by
    name in lower case. `key` is the first key of ours in a slot; `foreign` says that there is a
    key in one, and that none of them is ours.
    """

    shown: list[str] = field(repr=False)
    key: str | None = field(repr=False)
    foreign: bool
    declared: dict[str, list[str]]

    def proof(self, tunnel: Tunnel | None) -> Proof | None:
        """The proof of who sent a request; None without one.

        Raises IdentityError for a Proxy-Authorization that is not one well-formed value.
        """
        offered = read_proof(self.shown)
        slot_key = (None, self.key) if self.key else None
        return (tunnel and tunnel.proof) or offered or slot_key

    def declaration(self) -> tuple[dict[str, str], str]:
        """What is declared, by short names, and what is wrong with it, if anything."""
        said: dict[str, str] = {}
        doubt = ""
        for name, values in self.declared.items():
            most = LONGEST_CHAIN if name == "interlock-delegation" else LONGEST_DECLARATION
            if len(values) > 1 or len(values[0]) > most or not values[0].isprintable():
                doubt = f"bad_declaration: {name} must be one printable value of {most} characters"
            elif short := DECLARATIONS.get(name):
                said[short] = values[0]
        return said, doubt


def take_offer(headers: http.Headers, ours: Ours) -> Offer:
    """Take off a head whatever is meant for us; it is nobody else's business.

    It is off whatever comes of it, because what stays on a flow is shown and logged.
    """
    told = index_of(headers)
    mine = [name for name in told if name == _PROXY_AUTHORIZATION or name.startswith(_OURS)]
    declared = {_text(name): [_text(value) for value in told[name]] for name in mine}
    shown = declared.pop(_PROXY_AUTHORIZATION.decode(), [])
    if mine:
        headers.fields = tuple([each for each in headers.fields if each[0].lower() not in mine])
    slots = [name for name in _SLOTS if name in told]
    key = _take_key(headers, slots, ours) if slots else None
    spoken = _take_spoken(headers, ours) if _SUBPROTOCOLS in told else None
    return Offer(shown, key or spoken, bool(slots) and not key, declared)


def take_proof(headers: http.Headers) -> Proof | None:
    """Take `Proxy-Authorization` alone off a head; raises IdentityError as `read_proof` does."""
    shown = headers.get_all(_PROXY_AUTHORIZATION)
    headers.pop(_PROXY_AUTHORIZATION, None)
    return read_proof(shown)


def read_proof(shown: list[str]) -> Proof | None:
    """Read Proxy-Authorization, Basic (RFC 7617) or Bearer (RFC 6750); None without it.

    Raises IdentityError for anything that is not one well-formed value.
    """
    if not shown:
        return None
    scheme, _, encoded = shown[0].partition(" ")
    if len(shown) == 1 and scheme.lower() == "bearer" and is_statement(encoded.strip()):
        return None, encoded.strip()
    try:
        if len(shown) > 1 or scheme.lower() != "basic":
            raise ValueError("not one Basic value")
        name, colon, key = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError("no colon")
    except (ValueError, binascii.Error):
        raise IdentityError(_MALFORMED) from None
    return name, key


def _take_key(headers: http.Headers, slots: list[bytes], ours: Ours) -> str | None:
    """Take keys of ours off some slots; the first one, in the order of the slots."""
    told = index_of(headers)
    mine = [value for slot in slots for value in told[slot] if ours(_bare(value))]
    if not mine:
        return None
    headers.fields = tuple(
        [each for each in headers.fields if each[1] not in mine or each[0].lower() not in slots]
    )
    return _bare(mine[0])


def _take_spoken(headers: http.Headers, ours: Ours) -> str | None:
    """Take keys of ours off the subprotocols of a WebSocket (RFC 6455, 11.3.4); the first one."""
    values = headers.get_all(_SUBPROTOCOLS)
    words = [word.strip() for value in values for word in value.split(",")]
    keys = [key for word in words for key in _in_word(word) if ours(key)]
    if keys:
        kept = [word for word in words if not any(map(ours, _in_word(word)))]
        headers.set_all(_SUBPROTOCOLS, [", ".join(kept)] if kept else [])
    return keys[0] if keys else None


def _in_word(word: str) -> tuple[str, str, str]:
    """What may be a key in a subprotocol, where browsers have to put it: `a-name.KEY`."""
    return word, word.partition(".")[2], word.rpartition(".")[2]


def _bare(value: bytes) -> str:
    """The credential in a slot: behind the scheme, where there is one."""
    words = _text(value).split(maxsplit=1)
    return words[-1].strip() if words else ""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
