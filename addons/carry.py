"""Carries events to the streams and connections of one HTTP layer, and what these say on."""

from functools import cache
from typing import Any

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import (
    DropStream,
    GetHttpConnection,
    HttpLayer,
    RegisterHttpConnection,
    SendHttp,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import RequestHeaders


class Carrying(HttpLayer):
    """mitmproxy's HTTP layer, told what a command is by its type and not by nine questions."""

    def carry(self, child: layer.Layer, event: events.Event) -> layer.CommandGenerator[None]:
        """`HttpLayer.event_to_child`: what is asked for most comes first."""
        command: Any
        for command in child.handle_event(event):
            kind = type(command)
            if kind is commands.SendData:
                yield command
            elif kind is SendHttp:
                to = self.connections[command.connection]
                yield from self.event_to_child(to, command.event)
            elif kind is ReceiveHttp:
                said = command.event
                if isinstance(said, RequestHeaders):
                    yield from self.make_stream(said.stream_id)
                # Gone, where it ended before its peer had said all.
                if stream := self.streams.get(said.stream_id):
                    yield from self.event_to_child(stream, said)
            elif kind is DropStream:
                self.streams.pop(command.stream_id, None)
            else:
                yield from self._answered_later(child, command)

    def _answered_later(self, child: layer.Layer, command: Any) -> layer.CommandGenerator[None]:
        if command.blocking or isinstance(command, commands.RequestWakeup):
            self.command_sources[command] = child
        if isinstance(command, GetHttpConnection):
            yield from self.get_connection(command)
        elif isinstance(command, RegisterHttpConnection):
            yield from self.register_connection(command)
        else:
            if isinstance(command, commands.OpenConnection):
                self.connections[command.connection] = child
            yield command


@cache
def is_one_of(kind: Any, kinds: tuple[type, ...]) -> bool:
    """`isinstance`, of what there are few kinds of, asked once for each."""
    return issubclass(kind, kinds)
