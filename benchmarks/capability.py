"""What one token costs: issued and redeemed, beside one signature and its verification.

Ratios within one run, as in decision.py.
"""

import argparse
import hashlib
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from nacl.signing import SigningKey

from benchmarks.decision import Aim, Variant, report
from broker import Broker, Grant, Keyring, Secret, Wire

AIMS = [Aim("issue and redeem / sign and verify", "issue and redeem", "sign and verify", 1.6)]
AHEAD = 1000
WIRE = Wire("POST", "api.openai.com:443", "/v1/chat", hashlib.sha256(b"x" * 600).digest(), True)


def grants() -> Iterator[Grant]:
    """New grants without end, made many at a time: the governor makes them, not the broker."""
    numbers, assertion = itertools.count(), WIRE.assertion()
    while True:
        yield from [
            Grant(
                id=f"sct_{number}",
                agent="research-agent",
                action="chat",
                resource='Model::"gpt-4o"',
                secret="openai-api-key",  # noqa: S106 - the name of one
                authority=WIRE.authority,
                decision_id="dec_01a21390196182f0cb32424fddc76574",
                policy_set="5b9286f7eb5e0ea9",
                goal="sales-report",
                assertion=assertion,
            )
            for number in itertools.islice(numbers, AHEAD)
        ]


def variants() -> dict[str, Variant]:
    """The same key, and a message as long as what a token signs."""
    key = SigningKey.generate()
    broker, secret, more = Broker(Keyring([key])), Secret("sk-0123456789abcdef"), grants()
    length = len(broker.issue(next(more), secret, time.time())) * 3 // 4
    message, public = b"x" * length, key.verify_key

    def capability() -> None:
        now = time.time()
        broker.redeem(broker.issue(next(more), secret, now), WIRE, now)

    def signature() -> None:
        signed = key.sign(message)
        public.verify(signed.message, signed.signature)

    return {"issue and redeem": capability, "sign and verify": signature}


def main() -> int:
    """Measure, print, and write JSON; 0 when every aim is met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="how often both take turns")
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    chosen = parser.parse_args()
    return report("One token", variants(), chosen.rounds, AIMS, chosen.out)


if __name__ == "__main__":
    sys.exit(main())
