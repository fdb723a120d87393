"""Who plays: ada and four agents, each with a key that the registry knows."""

from dataclasses import replace

from nacl.signing import SigningKey

from interlock.delegation import PublicKey, Scope, attenuate, grant, kid_of
from interlock.model import Entity

NOW = 1_800_000_000.0
ADA = Entity("User", "ada")
A, B, C, D = (Entity("Agent", name) for name in ("a", "b", "c", "d"))
KEY = {
    who: SigningKey(who.id.encode() * 32 if who != ADA else b"u" * 32) for who in (ADA, A, B, C, D)
}
KEYS = {kid_of(key.verify_key): PublicKey(who, key.verify_key) for who, key in KEY.items()}
FOREIGN = SigningKey(b"f" * 32)

ROOT = Scope(
    actions=("execute", "read"),
    resources=('Model::"gpt-*"', 'Endpoint::"a.example"'),
    intents=("Research", "DataAnalysis"),
    goals=("*",),
    not_before=NOW,
    expires=NOW + 3600,
    depth=8,
)


def narrower(scope: Scope, **changed: object) -> Scope:
    """The same scope one link further, and whatever else is to change."""
    return replace(scope, depth=scope.depth - 1, **changed)  # type: ignore[arg-type]


GRANTED = grant(KEY[ADA], ADA, A, ROOT, NOW)
HANDED_ON = attenuate(GRANTED, KEY[A], B, narrower(ROOT), NOW)
CHAIN = attenuate(HANDED_ON, KEY[B], C, narrower(narrower(ROOT)), NOW)
