"""What can go wrong in the core, each with one clear line for people.

InterlockError
├── SettingsError        a setting, its place, and what to do
├── StoreError           the database cannot be opened, read or migrated
│   └── LedgerUnavailableError   a decision could not be made durable in time
├── RegistryError        a registration that cannot be carried out
├── GoalError            a change to a goal that cannot be carried out
│   └── GoalClosedError  a goal that does not let an action through
├── ApprovalError        an approval that cannot be answered, or does not let a request through
├── AlertError           a honeytoken or webhook that cannot be set up, or is not there
├── IdentityError        a proof of identity that does not hold
├── BindingError         bindings between which a call could not choose
├── MintError            a route that is not sound, or a minted token that is not good here
├── CatalogueError       a provider file that does not say what it must
└── PolicyError          a policy set that cannot be loaded
"""


class InterlockError(Exception):
    """Base of everything that the core raises on purpose."""


class SettingsError(InterlockError):
    """A setting has no usable value; the message names the setting and its place."""


class StoreError(InterlockError):
    """The database cannot be used; the message names the file."""


class LedgerUnavailableError(StoreError):
    """A row could not be made durable within its deadline."""


class RegistryError(InterlockError):
    """A registration or a change to one was refused; the message says which rule it broke."""


class GoalError(InterlockError):
    """A goal or a change to one was refused; the message says which rule it broke."""


class GoalClosedError(GoalError):
    """A goal does not let an action through; `status` says how it stands (`store.goals.Status`)."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        return f"the goal does not let this through: it is {self.status}"


class ApprovalError(InterlockError):
    """An approval was not asked, answered or spent; the message says why."""


class AlertError(InterlockError):
    """A honeytoken or a webhook was refused, or is not there; the message says why."""


class IdentityError(InterlockError):
    """A proof of identity was offered and does not hold.

    The message never says which part was wrong: a stranger must not learn which agents exist.
    `cause` does, for the ledger, and `agent` names the one that was meant, where there is such.
    """

    def __init__(self, message: str, cause: str = "malformed", agent: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        self.agent = agent


class BindingError(InterlockError):
    """A binding is not sound, or two secrets fit the same call; the message names them."""


class MintError(InterlockError):
    """A route of minted tokens, or the use of such a token, is refused; the message says why."""


class CatalogueError(InterlockError):
    """A provider file is malformed; the message names file and field."""


class PolicyError(InterlockError):
    """A policy set cannot be loaded; the message names file and policy."""
