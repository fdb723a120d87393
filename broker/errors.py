"""Everything the broker refuses, as one tree; no message ever contains a secret.

BrokerError
├── TokenError                  a token was not exchanged for its secret
│   ├── TokenMalformedError     it is not an SCT at all
│   ├── TokenForgedError        nobody here signed it, or not for this purpose and this request
│   ├── TokenExpiredError       it is too late, or too early
│   ├── TokenReplayedError      no right to redeem it is left in this process
│   └── TokenScopeError         it is genuine, and was shown at the wrong place
├── SecretUnavailableError      a secret is missing or cannot be opened
├── StoreRefusalError           a secret store outside did not give a value
├── KeyFileError                a key file is not safe to use
└── RecipeError                 a secret does not fit its recipe
"""

from pathlib import Path


class BrokerError(Exception):
    """Base of everything that this library raises, bad arguments (ValueError) aside."""


class TokenError(BrokerError):
    """Say why a token was refused; `token_id` is its jti, once the signature has proved it."""

    def __init__(self, why: str, token_id: str | None = None) -> None:
        super().__init__(why, token_id)
        self.why = why
        self.token_id = token_id

    def __str__(self) -> str:
        return self.why if self.token_id is None else f"token {self.token_id!r}: {self.why}"


class TokenMalformedError(TokenError):
    """The text is not a v4.public token, or does not carry the claims of an SCT."""


class TokenForgedError(TokenError):
    """The signature fails: another key, another purpose, another request, or changed text."""


class TokenExpiredError(TokenError):
    """The present moment lies outside nbf and exp, clock skew allowed for."""


class TokenReplayedError(TokenError):
    """The token was used before, or issued by another process or before a restart."""


class TokenScopeError(TokenError):
    """The token is genuine, but not for this authority, connection or grant; it is spent now."""


class SecretUnavailableError(BrokerError):
    """The secret called `name` cannot be had, because of `why`."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name = name
        self.why = why

    def __str__(self) -> str:
        return f"secret {self.name!r} is unavailable: {self.why}"


class StoreRefusalError(BrokerError):
    """A store did not give a value, because of `why`.

    `denied`: because of who asked. `final`: asking the same again will not help.
    """

    def __init__(self, why: str, *, denied: bool = False, final: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.denied = denied
        self.final = final


class KeyFileError(BrokerError):
    """The key file or key directory at `path` is refused, because of `why`."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return f"{str(self.path)!r} {self.why}"


class RecipeError(BrokerError):
    """A secret cannot be rendered by `recipe`, because of `why`."""

    def __init__(self, recipe: str, why: str) -> None:
        super().__init__(recipe, why)
        self.recipe = recipe
        self.why = why

    def __str__(self) -> str:
        return f"recipe {self.recipe}: {self.why}"
