"""What can go wrong between a client and the API.

ClientError
├── UnreachableError    the API did not answer
└── ApiError            it answered with a refusal: `status`, and `code` for programs
"""

from interlock.errors import InterlockError


class ClientError(InterlockError):
    """The client could not do what it was asked to."""


class UnreachableError(ClientError):
    """The API did not answer, or with something that is not an answer of it."""


class ApiError(ClientError):
    """The API refused a request."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
