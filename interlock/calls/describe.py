"""A request becomes a call: which service, which action, on which resource."""

import hashlib
from dataclasses import replace
from functools import lru_cache
from urllib.parse import parse_qs, unquote

from interlock.calls.body import Facts, plain_name
from interlock.calls.catalogue import Operation, Provider
from interlock.calls.mcp import is_at_endpoint, read_messages
from interlock.calls.path import path_doubt
from interlock.calls.shapes import facts_of
from interlock.model import Call, Entity, Message, Request, Server

_GENERIC = {
    "GET": "http_get",
    "HEAD": "http_head",
    "OPTIONS": "http_options",
    "POST": "http_post",
    "PUT": "http_put",
    "PATCH": "http_patch",
    "DELETE": "http_delete",
}
OTHER_METHOD = "http_other"
# What a call is over a protocol of its own; the catalogue writes its name for the method.
_PROTOCOLS = {"websocket": "connect", "grpc": "call_method"}
# The same few are called again and again.
_entity = lru_cache(1024)(Entity)
GENERIC_ACTIONS = frozenset(_GENERIC.values()) | {OTHER_METHOD} | set(_PROTOCOLS.values())


def describe(request: Request, provider: Provider | None, server: Server | None = None) -> Call:
    """Say what a request is. `provider` is the API that its host speaks, None when unknown.

    `server` is the MCP server that it goes to if it is a message of MCP, None when unknown.
    Never raises: what cannot be read for sure comes back as a generic call with `doubt`.
    """
    # Decoded, because servers read `%3A` as `:`. What is decoded into a `/` is in doubt anyway.
    path = unquote(request.path.partition("?")[0])
    method = request.protocol.upper() or request.method
    operation = provider.operation(method, path) if provider else None
    facts, doubt = _facts(request, provider, operation, path)
    if request.protocol == "grpc" and (
        server or (provider and provider.operation(request.method, path))
    ):
        doubt = "ambiguous_body: what this operation reads is no gRPC"
    call = Call(
        service=provider.service if provider else request.authority.short,
        action=operation.action if operation else _generic(request),
        resource=_resource(request, provider, operation, facts),
        request=request,
        body_sha256=hashlib.sha256(request.body).digest(),
        model=facts.model,
        stream=facts.stream,
        tools=facts.tools,
        max_tokens=facts.max_tokens,
        doubt=request.doubt or path_doubt(request.path) or doubt,
    )
    return call if operation or request.protocol else _of_mcp(call, server)


def _generic(request: Request) -> str:
    """The action of a call that is none of a known API."""
    return _PROTOCOLS.get(request.protocol) or _GENERIC.get(request.method, OTHER_METHOD)


def _of_mcp(call: Call, server: Server | None) -> Call:
    """The call as a message of MCP, with the others of its batch, if it is one.

    Away from the endpoint of a known server it is what it is to anybody else as well: who answers
    there may be no MCP server, and read no more of the request than its method and path.
    """
    name = server.name if server else call.request.authority.short
    try:
        asked = read_messages(call.request, server)
    except ValueError as e:
        doubt = call.doubt or f"ambiguous_body: {e}"
        return replace(call, doubt=doubt, mcp=Message(name, call.request.method))
    service = server.name if server else call.service
    calls = [
        replace(
            call,
            service=service,
            action=one.action,
            resource=one.resource,
            server=server,
            mcp=one.message,
        )
        for one in asked
    ]
    if not calls or (server and not is_at_endpoint(call.request, server)):
        calls.append(call)
    return replace(calls[0], batch=tuple(calls[1:]))


def _facts(
    request: Request, provider: Provider | None, operation: Operation | None, path: str
) -> tuple[Facts, str]:
    if provider is None or operation is None or operation.resource != "model":
        return Facts(), ""
    try:
        facts = _asked(request) if request.protocol else facts_of(request, provider.body)
        model = plain_name(operation.model(path) or facts.model)
    except ValueError as e:
        return Facts(), f"ambiguous_body: {e}"
    stream = facts.stream or operation.stream
    if (model, stream) != (facts.model, facts.stream):
        facts = replace(facts, model=model, stream=stream)
    return facts, ""


def _asked(request: Request) -> Facts:
    """The model of a conversation, which only its query names; raises ValueError."""
    asked = parse_qs(request.path.partition("?")[2], keep_blank_values=True, errors="strict")
    models = [model for name, found in asked.items() for model in found if name.lower() == "model"]
    if len(models) > 1:
        raise ValueError("the query names more than one model")
    return Facts(model="".join(models), stream=True)


def _resource(
    request: Request, provider: Provider | None, operation: Operation | None, facts: Facts
) -> Entity:
    if operation and operation.resource == "model":
        return _entity("Model", facts.model)
    if operation and provider and operation.resource == "service":
        return _entity("Service", provider.service)
    return _entity("Endpoint", request.authority.short)
