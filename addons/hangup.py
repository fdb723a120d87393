"""SIGHUP asks for a look at the policies; it ends nobody who does not listen for it yet."""

import signal


def outlive() -> None:
    """Let SIGHUP pass until it has a handler; nothing is lost, for who starts looks anyway.

    By a handler that does nothing: what is ignored would be ignored by every child as well.
    """
    signal.signal(signal.SIGHUP, lambda *_: None)
