"""What only passes events on is left out once it does nothing else, and no sooner."""

from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.http import HttpClient
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.test import taddons, tflow

from addons.established import beneath, through_client


class Last(layer.Layer):
    """One that does something."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield commands.Log("heard")


@pytest.fixture
def context() -> Iterator[Context]:
    """A client, and mitmproxy's options."""
    with taddons.context() as known:
        yield Context(tflow.tclient_conn(), known.options)


def test_layers_are_left_out_once_the_next_is_decided_on(context: Context) -> None:
    """Until then one that waits keeps what comes."""
    top = layer.NextLayer(context, ask_on_start=True)
    asked: Any = next(iter(top.handle_event(events.Start())))
    assert beneath(top) is top
    proxy = top.layer = modes.HttpProxy(context)
    assert not list(top.handle_event(events.HookCompleted(asked)))
    inner = beneath(top)
    assert isinstance(inner, layer.NextLayer)
    assert inner is not top

    said = events.DataReceived(context.client, b"GET")
    asked = next(iter(beneath(top).handle_event(said)))
    assert beneath(top) is inner
    inner.layer = last = Last(context)
    assert len(list(beneath(top).handle_event(events.HookCompleted(asked)))) == 2
    assert beneath(top) is last
    assert len(list(beneath(top).handle_event(said))) == 1
    assert proxy._paused is None


def test_a_layer_that_waits_is_not_left_out(context: Context) -> None:
    """What comes meanwhile is for it to keep."""
    top, last = modes.HttpProxy(context), Last(context)
    top._handle_event = last.handle_event
    assert beneath(top) is last
    top._paused = layer.Paused(commands.Log(""), last.handle_event(events.Start()))
    assert beneath(top) is top


def test_a_connection_to_an_upstream_is_what_it_speaks_once_it_is_connected(
    context: Context,
) -> None:
    """No event is passed on to that any more, from the second on not even asked about."""
    context.server = tflow.tserver_conn()
    client: Any = HttpClient(context)
    speaks = Http1Client(context)
    client.child_layer = speaks
    said = events.DataReceived(context.server, b"HTTP/1.1 ")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Http1Client, "handle_event", lambda _, event: [event])
        for _ in range(2):
            assert through_client(client, said) == [said]
            assert client.handle_event(said) == [said]


def test_a_connection_to_an_upstream_that_waits_is_let_wait(context: Context) -> None:
    """What comes meanwhile is for it to keep."""
    client: Any = HttpClient(context)
    client.child_layer = Last(context)
    client._paused = layer.Paused(commands.Log(""), client.child_layer.handle_event(events.Start()))
    said = events.DataReceived(context.client, b"x")
    assert not list(through_client(client, said))
    assert list(client._paused_event_queue) == [said]
