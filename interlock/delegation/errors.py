"""Every way in which a chain of delegation fails, as one tree.

DelegationError          `link` is the place in the chain, from 1; 0 means the chain as a whole
├── MalformedError       it is no chain, or a link says what no link can say
├── ForgedError          nobody signed the link as it stands, in this place of this chain
├── SignerError          its key is unknown, revoked, or not the key of whom it starts from
├── ExpiredError         it has ended, or has not begun
├── AttenuationError     it allows more than the link before it
├── DepthError           it is one link more than may follow
├── BrokenError          it does not start where it should, leads in a circle, or ends elsewhere
└── RevokedError         it was taken back
"""

from interlock.errors import InterlockError


class DelegationError(InterlockError):
    """Say which link of a chain fails, and why."""

    def __init__(self, link: int, why: str) -> None:
        super().__init__(link, why)
        self.link = link
        self.why = why

    def __str__(self) -> str:
        return f"delegation link {self.link}: {self.why}" if self.link else f"delegation {self.why}"


class MalformedError(DelegationError):
    """The text is not a chain of links, or too long for one."""


class ForgedError(DelegationError):
    """The signature fails: changed, moved, cut out of another chain, or another key."""


class SignerError(DelegationError):
    """The key that signed may not sign this link."""


class ExpiredError(DelegationError):
    """The present moment lies outside nbf and exp."""


class AttenuationError(DelegationError):
    """The link would allow what the one before it does not; `why` names the fields."""


class DepthError(DelegationError):
    """There are more links than the chain or the limit lets follow."""


class BrokenError(DelegationError):
    """The links do not lead from a user, agent by agent, to the one that calls."""


class RevokedError(DelegationError):
    """The link, or one before it, was revoked."""
