"""A small secrets broker: an agent gets a token for one request, only the wire gets the secret."""

from broker.broker import Broker
from broker.capability import Grant, Wire
from broker.errors import (
    BrokerError,
    KeyFileError,
    RecipeError,
    SecretUnavailableError,
    StoreRefusalError,
    TokenError,
    TokenExpiredError,
    TokenForgedError,
    TokenMalformedError,
    TokenReplayedError,
    TokenScopeError,
)
from broker.exchange import Exchange
from broker.forms import forms_of
from broker.keyfolder import KeptKey, KeyFolder
from broker.keyring import Keyring, kid_of
from broker.recipes import Outgoing, Recipe, carrier, compact, parse_recipe, token_in
from broker.scrubber import Mask, Scrubber
from broker.secret import Secret
from broker.traces import Traces
from broker.vault import Pointer, Shelf, Vault, master_key

__all__ = [
    "Broker",
    "BrokerError",
    "Exchange",
    "Grant",
    "KeptKey",
    "KeyFileError",
    "KeyFolder",
    "Keyring",
    "Mask",
    "Outgoing",
    "Pointer",
    "Recipe",
    "RecipeError",
    "Scrubber",
    "Secret",
    "SecretUnavailableError",
    "Shelf",
    "StoreRefusalError",
    "TokenError",
    "TokenExpiredError",
    "TokenForgedError",
    "TokenMalformedError",
    "TokenReplayedError",
    "TokenScopeError",
    "Traces",
    "Vault",
    "Wire",
    "carrier",
    "compact",
    "forms_of",
    "kid_of",
    "master_key",
    "parse_recipe",
    "token_in",
]
