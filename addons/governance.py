"""Entry script: `mitmdump -s addons/governance.py`, or mitmweb, or mitmproxy."""

import sys
from pathlib import Path

# mitmproxy puts this folder, not the one above it, on the path.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _HERE]
if str(_HERE.parent) not in sys.path:
    sys.path.insert(0, str(_HERE.parent))

from addons.attestation import Attestation  # noqa: E402
from addons.cutoff import Cutoff  # noqa: E402
from addons.dial import Dial  # noqa: E402
from addons.dispatch import FastDispatch  # noqa: E402
from addons.door import Door  # noqa: E402
from addons.forgetting import Forget  # noqa: E402
from addons.gate import Gate  # noqa: E402
from addons.head import Head  # noqa: E402
from addons.honeytokens import Honeytokens  # noqa: E402
from addons.identity import Identity  # noqa: E402
from addons.local import Local  # noqa: E402
from addons.loopback import Loopback  # noqa: E402
from addons.mint import Mint  # noqa: E402
from addons.options import Options  # noqa: E402
from addons.outcome import Outcome  # noqa: E402
from addons.placer import Inject  # noqa: E402
from addons.proofs import Proofs  # noqa: E402
from addons.settlement import Settlement  # noqa: E402
from addons.stream import Stream  # noqa: E402
from addons.throttle import Throttle  # noqa: E402
from addons.webhooks import Webhooks  # noqa: E402

door = Door()

# In the order in which a call meets them; Options last, because it closes the store at the end.
addons = [
    FastDispatch(),
    Head(door),
    Honeytokens(door),
    Proofs(door),
    Identity(door),
    Throttle(door),
    Gate(door),
    Dial(door),
    Local(),
    Loopback(),
    Inject(door),
    Stream(door),
    Mint(door),
    Outcome(door),
    Cutoff(door),
    Attestation(door),
    Forget(door),
    Settlement(door),
    Webhooks(door),
    Options(door),
]
