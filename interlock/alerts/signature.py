"""Signs what is posted to a webhook, so that its receiver knows who sent it, and when."""

import hashlib
import hmac
import secrets

from broker import Secret

HEADER = "Interlock-Signature"


def new_signing_secret() -> Secret:
    """A new secret for one webhook, of 256 bits."""
    return Secret(f"whsec_{secrets.token_urlsafe(32)}")


def sign(secret: Secret, body: bytes, now: int) -> str:
    """The value of the header: the time in epoch seconds, and HMAC-SHA256 over `time.body`."""
    digest = hmac.new(secret.reveal(), b"%d.%b" % (now, body), hashlib.sha256)
    return f"t={now},v1={digest.hexdigest()}"
