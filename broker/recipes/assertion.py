"""A signed statement of who asks: a JWT (RFC 7519) under a private key, written by joserfc."""

from typing import Any

from broker.errors import RecipeError
from broker.recipes.oauth2 import INSTALL

ALGORITHMS = ("RS256", "ES256")


def signed(
    recipe: str, claims: dict[str, Any], key: str, algorithm: str = "", kid: str = ""
) -> str:
    """Sign claims with a key in PEM; raises RecipeError that says nothing of the key."""
    try:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import ECKey, RSAKey
    except ImportError:
        raise RecipeError(recipe, f"joserfc {INSTALL}") from None
    algorithm = algorithm or ALGORITHMS[0]
    if algorithm not in ALGORITHMS:
        raise RecipeError(recipe, f"algorithm must be {' or '.join(ALGORITHMS)}")
    header = {"alg": algorithm} | ({"kid": kid} if kid else {})
    kind = RSAKey if algorithm == "RS256" else ECKey
    try:
        return jwt.encode(header, claims, kind.import_key(key), [algorithm])
    except (JoseError, ValueError, TypeError):
        raise RecipeError(recipe, f"private_key is no PEM key for {algorithm}") from None
