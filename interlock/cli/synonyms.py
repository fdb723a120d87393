"""Verbs that people try before they find ours, and what to type instead."""

import re

# A noun and a verb that it does not have: what comes closest.
_INSTEAD = {
    "agent new": "add",
    "agent register": "add",
    "agent delete": "rm",
    "delegation add": "grant",
    "delegation new": "grant",
    "delegation rm": "revoke",
    "goal new": "add",
    "goal rm": "cancel",
    "goal set": "extend",
    "identity bind": "add",
    "key generate": "new",
    "key rm": "revoke",
    "policy validate": "check",
    "secret add": "set",
    "secret new": "set",
    "server register": "add",
    "server set": "add",
    "session add": "start",
    "session new": "start",
    "session rm": "end",
    "session stop": "end",
    "token new": "add",
    "token revoke": "rm",
}
_UNKNOWN = re.compile(r"No such command '([^']+)'")


def instead_of(path: str, message: str) -> str:
    """What to type in place of a command that is not there, by the words of its refusal.

    `path` is the command so far, such as `interlock session`; empty when nothing comes close.
    """
    found = _UNKNOWN.match(message)
    noun = path.partition(" ")[2]
    verb = _INSTEAD.get(f"{noun} {found[1]}") if found else None
    return f"{path} {verb}" if verb else ""
