"""`github_app`: a GitHub App's key, exchanged for a token of one installation.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote

from broker.recipes.assertion import signed
from broker.recipes.exchanged import DEFAULT_LIFE_S, Ask, Exchanged, Minted, require_url, token_of
from broker.recipes.fields import fields_of
from broker.secret import Secret

API = "https://api.github.com"
# GitHub allows ten minutes, and advises to date a JWT a minute back because clocks differ.
BACK_S, LIFE_S = 60, 540


@dataclass(frozen=True, slots=True)
class GitHubApp(Exchanged):
    """Send `Authorization: Bearer` with an installation token of a GitHub App."""

    usage: ClassVar[str] = "github_app"
    holds: ClassVar[str] = "an installation; `api_url` may be added for GitHub Enterprise"
    fields: ClassVar[tuple[str, ...]] = ("app_id", "installation_id", "private_key")

    def ask(self, secret: Secret, now: float) -> Ask:
        fields = fields_of(self.text, secret, self.fields)
        base = require_url(self.text, fields.get("api_url", API)).rstrip("/")
        claims = {"iss": fields["app_id"], "iat": int(now) - BACK_S, "exp": int(now) + LIFE_S}
        headers = {
            "Authorization": f"Bearer {signed(self.text, claims, fields['private_key'])}",
            "Accept": "application/vnd.github+json",
            "User-Agent": "interlock",
        }
        installation = quote(fields["installation_id"], safe="")
        return Ask(f"{base}/app/installations/{installation}/access_tokens", headers)

    def read(self, answer: Mapping[str, Any], secret: Secret, now: float) -> Minted:
        return Minted(token_of(self.text, answer, "token"), _end(answer.get("expires_at"), now))


def _end(text: object, now: float) -> float:
    """The moment that GitHub names, a short while from now when it names none."""
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return now + DEFAULT_LIFE_S
