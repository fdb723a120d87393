"""One key, three things that are signed: what was signed as one never passes as another."""

import hashlib
import time
from collections.abc import Callable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey, VerifyKey

from broker import Broker, Grant, Keyring, Secret, TokenError, Wire, kid_of
from interlock.delegation.link import Link, sign_link, verify_link
from interlock.delegation.scope import Scope
from interlock.ledger.checkpoint import Checkpoint, Head, sign_checkpoint, verify_checkpoint
from interlock.ledger.keys import AttestationError
from interlock.model import Entity

NOW = time.time()
TEXT = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)
WIRES = st.builds(Wire, TEXT, TEXT, TEXT, st.binary(min_size=32, max_size=32), st.just(True))
KEYS = st.binary(min_size=32, max_size=32).map(SigningKey)

type Show = Callable[[str], object]


def shows(key: VerifyKey, broker: Broker, wire: Wire, parent: str) -> Mapping[str, Show]:
    """Every place where a signed text is shown, for one key that is known everywhere."""
    return {
        "sct": lambda text: broker.redeem(text, wire, NOW),
        "link": lambda text: verify_link(text, key, parent),
        "checkpoint": lambda text: verify_checkpoint(text, {kid_of(key): key}),
    }


def passes(show: Show, text: str) -> bool:
    """Say whether a text is taken for genuine."""
    try:
        show(text)
    except (TokenError, AttestationError, ValueError):
        return False
    return True


@settings(max_examples=60, deadline=None)
@given(KEYS, WIRES, TEXT, TEXT, st.booleans())
def test_each_signed_text_passes_for_what_it_is_alone(
    key: SigningKey, wire: Wire, name: str, word: str, rooted: bool
) -> None:
    """A token is no link and no checkpoint, a link no token, with the same key."""
    ring = Keyring([key])
    broker, public = Broker(ring), key.verify_key
    grant = Grant(
        f"sct_{word}", name, word, word, word, wire.authority, word, word, word, wire.assertion()
    )
    parent = "" if rooted else word
    scope = Scope((word,), (word,), (word,), (word,), NOW, NOW + 60)
    link = Link(
        f"dlg_{hashlib.sha256(word.encode()).hexdigest()[:20]}",
        Entity("User", name),
        Entity("Agent", word),
        scope,
        ring.kid,
    )
    signed = {
        "link": sign_link(link, key, parent),
        "checkpoint": sign_checkpoint(Checkpoint(NOW, {name: Head(1, word)}), ring),
        "sct": broker.issue(grant, Secret("sk-1"), NOW),
    }
    for kind, text in signed.items():
        for place, show in shows(public, broker, wire, parent).items():
            assert passes(show, text) == (kind == place), f"{kind} shown as {place}"
