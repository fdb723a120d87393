"""The short way through a tunnel: straight to what is in it, not through HTTP a second time."""

from typing import Any

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError

from addons.bounds import reader_of
from addons.established import open_tls


class Shortcut(HttpLayer):
    """An HTTP layer that leaves itself out where all it carries is an established CONNECT."""

    tunnel: HttpStream | None
    inside: layer.Layer | None

    def tunnelled(self, event: events.Event) -> HttpStream | None:
        """The stream of an established CONNECT, for what can go straight to what is in its tunnel.

        That is all but the end of the agent's side.
        """
        if self.tunnel is None:
            # Until something is said in it, whatever happens takes mitmproxy's way.
            if type(event) is not events.DataReceived:
                return None
            # The last one: a CONNECT that was refused before may still be there.
            stream = next(reversed(self.streams.values()), None)
            if not (stream and stream.child_layer and stream.flow.request.method == "CONNECT"):
                return None
            reader = reader_of(self, self.context.client)
            if not (reader and reader.state == reader.passthrough):
                return None
            self.tunnel = stream
        if isinstance(event, events.ConnectionEvent):
            from_agent = event.connection is self.context.client
            if from_agent and not isinstance(event, events.DataReceived):
                return None
            source = self.tunnel if from_agent else self.connections.get(event.connection)
        elif isinstance(event, events.CommandCompleted):
            source = self.command_sources.get(event.command)
        else:
            return None
        within = source is self.tunnel and self.tunnel.stream_id in self.streams
        return self.tunnel if within else None

    def _handle_event(self, event: events.Event) -> Any:
        """`HttpLayer._handle_event`: to whom it is for, where that is known."""
        if isinstance(event, events.CommandCompleted):
            return self.event_to_child(self.command_sources.pop(event.command), event)
        if type(event) is events.DataReceived and (to := self.connections.get(event.connection)):
            return self.event_to_child(to, event)
        return super()._handle_event(event)

    def through(self, stream: HttpStream, event: events.Event) -> layer.CommandGenerator[None]:
        """Hand an event to what is in a tunnel.

        mitmproxy has every byte of it pass this layer, a reader of HTTP/1 and the stream first, to
        the same end.
        """
        if isinstance(event, events.CommandCompleted):
            del self.command_sources[event.command]
        if self.inside is None:
            self.inside = open_tls(stream.child_layer)
        inside: Any = self.inside or stream.child_layer
        for command in inside.handle_event(event):
            if isinstance(command, commands.CloseConnection):
                if command.connection is self.context.client:
                    ended = ResponseProtocolError(
                        stream.stream_id, "EOF", ErrorCode.PASSTHROUGH_CLOSE
                    )
                    yield from self.event_to_child(self.connections[command.connection], ended)
                    continue
                if isinstance(command, commands.CloseTcpConnection):
                    command = commands.CloseConnection(command.connection)
            elif command.blocking or isinstance(command, commands.RequestWakeup):
                self.command_sources[command] = stream
                if isinstance(command, commands.OpenConnection):
                    self.connections[command.connection] = stream
            yield command
