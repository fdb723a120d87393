"""How a layer of mitmproxy's goes on, and waits for what it asked for, in one step."""

from typing import Any

from mitmproxy.proxy import events, layer


def take_over() -> None:
    """Have every layer do so."""
    plain: Any = layer.Layer
    plain.handle_event = handle_event


def handle_event(waiting: Any, event: events.Event) -> layer.CommandGenerator[None]:
    """`Layer.handle_event`: what comes while a layer waits is kept until it has gone on.

    mitmproxy goes on through two more generators, which every command then passes.
    """
    paused, kept = waiting._paused, waiting._paused_event_queue
    if paused is None:
        course, reply = waiting._handle_event(event), None
    elif isinstance(event, events.CommandCompleted) and event.command is paused.command:
        course, reply = paused.generator, event.reply
        waiting._paused = None
    else:
        kept.append(event)
        return
    while True:
        try:
            command = course.send(reply)
        except StopIteration:
            is_over = True
        else:
            is_over, reply = command.blocking is True, None
            if is_over:  # for now: whoever is above is not to wait for it as well
                command.blocking = waiting
                waiting._paused = layer.Paused(command, course)
            yield command
        if not is_over:
            continue
        if paused is None or waiting._paused or not kept:
            return
        course, reply = waiting._handle_event(kept.popleft()), None
