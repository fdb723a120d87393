"""Who calls, as the organisation's own identity systems tell it: certificates, JWTs, SPIFFE."""

from interlock.federation.federation import Federation
from interlock.federation.identity import Identity, is_statement, parse_identity
from interlock.federation.issuer import FieldError, Issuer, parse_issuer

__all__ = [
    "Federation",
    "FieldError",
    "Identity",
    "Issuer",
    "is_statement",
    "parse_identity",
    "parse_issuer",
]
