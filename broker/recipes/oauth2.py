"""What the OAuth 2.0 grants share: the form that a token endpoint takes (RFC 6749)."""

from collections.abc import Mapping

from broker.errors import RecipeError
from broker.recipes.exchanged import Ask, require_url

INSTALL = "is missing; install it with: pip install 'interlock[oauth]'"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_CLIENT_AUTH = ("client_secret_basic", "client_secret_post")


def grant(recipe: str, fields: Mapping[str, str], grant_type: str, **more: str) -> Ask:
    """The request of a confidential client; authlib writes it. Raises RecipeError.

    `auth_method` may say `client_secret_post` for a server that does not take HTTP Basic.
    """
    try:
        from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
        from authlib.oauth2.rfc6749 import parameters  # type: ignore[import-untyped]
    except ImportError:
        raise RecipeError(recipe, f"authlib {INSTALL}") from None
    method = fields.get("auth_method", _CLIENT_AUTH[0])
    if method not in _CLIENT_AUTH:
        raise RecipeError(recipe, f"auth_method must be {' or '.join(_CLIENT_AUTH)}")
    if optional := {name: fields[name] for name in ("scope", "audience") if fields.get(name)}:
        more = optional | more
    url = require_url(recipe, fields["token_url"])
    form = parameters.prepare_token_request(grant_type, **more)
    client = ClientAuth(fields["client_id"], fields.get("client_secret", ""), method)
    try:
        url, headers, body = client.prepare("POST", url, dict(FORM), form)
    except UnicodeError:
        raise RecipeError(recipe, "client_id or client_secret is not Latin-1") from None
    return Ask(url, headers, body.encode())
