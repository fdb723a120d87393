"""How a credential is put on a request: one recipe a file, each with a name people can write."""

from functools import lru_cache

from broker.recipes.basic import Basic
from broker.recipes.bearer import Bearer
from broker.recipes.client_certificate import ClientCertificate
from broker.recipes.client_credentials import ClientCredentials
from broker.recipes.cookie import Cookie
from broker.recipes.fields import compact
from broker.recipes.github_app import GitHubApp
from broker.recipes.header import Header
from broker.recipes.jwt_bearer import JwtBearer
from broker.recipes.outgoing import Outgoing
from broker.recipes.placeholder import Placeholder
from broker.recipes.query import Query
from broker.recipes.recipe import Recipe, carrier, token_in
from broker.recipes.refresh_token import RefreshToken
from broker.recipes.segment import Segment
from broker.recipes.signature import Signature
from broker.recipes.sigv4 import SigV4

__all__ = ["KNOWN_RECIPES", "Outgoing", "Recipe", "carrier", "compact", "parse_recipe", "token_in"]

_KINDS: tuple[type[Recipe], ...] = (
    *(Bearer, Basic, Header, Query, Segment, Cookie, Placeholder, SigV4, Signature),
    *(ClientCredentials, RefreshToken, JwtBearer, GitHubApp),
    ClientCertificate,
)
KNOWN_RECIPES = {kind.usage: kind for kind in _KINDS}


@lru_cache(1024)
def parse_recipe(text: str) -> Recipe:
    """Read a recipe such as `bearer` or `header:X-Api-Key`, kept; raises ValueError."""
    match text.partition(":"):
        case ("bearer", "", ""):
            return Bearer()
        case ("basic", "", ""):
            return Basic()
        case ("header", ":", name):
            return Header(name)
        case ("query", ":", name):
            return Query(name)
        case ("path", ":", template):
            return Segment(template)
        case ("cookie", ":", name):
            return Cookie(name)
        case ("placeholder", ":", spec):
            return Placeholder(spec)
        case ("sigv4", ":", scope):
            return SigV4(scope)
        case ("hmac", ":", form):
            return Signature(form)
        case ("oauth2", ":", "client_credentials"):
            return ClientCredentials()
        case ("oauth2", ":", "refresh_token"):
            return RefreshToken()
        case ("jwt_bearer", colon, scope) if bool(colon) == bool(scope):
            return JwtBearer(scope)
        case ("github_app", "", ""):
            return GitHubApp()
        case ("client_certificate", "", ""):
            return ClientCertificate()
        case ("client_certificate", ":", beside):
            return ClientCertificate(parse_recipe(beside))
    raise ValueError(f"unknown recipe {text!r}, known are: {', '.join(KNOWN_RECIPES)}")
