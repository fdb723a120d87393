"""How a call ended, in one word, read from what mitmproxy and the wire boundary say of it."""

from enum import StrEnum

from mitmproxy.flow import Error


class Ending(StrEnum):
    """The word in the outcome row; `unknown` is for the calls of a process that died.

    `cancelled`: the agent gave up this one call and kept its connection (HTTP/2). `cut_off`: we
    ended it, because its agent was cut off. `killed`: a person ended it, in mitmweb for example.
    """

    ANSWERED = "answered"
    REFUSED = "refused"
    AGENT_GONE = "agent_gone"
    CANCELLED = "cancelled"
    CUT_OFF = "cut_off"
    UPSTREAM_GONE = "upstream_gone"
    KILLED = "killed"
    STOPPED = "stopped"


# Our own words in an error; whatever else stands there may quote an upstream.
OURS = "Interlock: "
# What the boundary says of whatever an upstream does that is not an answer (`passage.broken`).
BROKE_OFF = "the upstream's answer broke off"

# What is said where an agent closed its connection, or we did; over HTTP/2 with why behind it.
GONE = "Client disconnected"

# By the first words of an error, the longer before the shorter.
_BEGINNINGS = (
    (OURS + BROKE_OFF, Ending.UPSTREAM_GONE),
    (OURS, Ending.REFUSED),
    ("Connection killed: interlock refused to dial", Ending.REFUSED),
    (Error.KILLED_MESSAGE, Ending.KILLED),
    (GONE, Ending.AGENT_GONE),
    ("HTTP/1 protocol error", Ending.AGENT_GONE),
    # Of the agent's side only: the boundary puts its own words in place of an upstream's.
    ("stream reset by client", Ending.CANCELLED),
)


def ending_of(error: str) -> Ending:
    """The ending that an error stands for; what is left is an upstream that cannot be reached."""
    for beginning, ending in _BEGINNINGS:
        if error.startswith(beginning):
            return ending
    return Ending.UPSTREAM_GONE
