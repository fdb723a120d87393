"""A request becomes a call: which service, which action, on which resource."""

import hashlib
from dataclasses import replace
from urllib.parse import unquote

from interlock.calls.body import Facts, plain_name
from interlock.calls.catalogue import Operation, Provider
from interlock.calls.path import path_doubt
from interlock.calls.shapes import facts_of
from interlock.model import Call, Entity, Request

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
GENERIC_ACTIONS = frozenset(_GENERIC.values()) | {OTHER_METHOD}


def describe(request: Request, provider: Provider | None) -> Call:
    """Say what a request is. `provider` is the API that its host speaks, None when unknown.

    Never raises: what cannot be read for sure comes back as a generic call with `doubt`.
    """
    # Decoded, because servers read `%3A` as `:`. What is decoded into a `/` is in doubt anyway.
    path = unquote(request.path.partition("?")[0])
    operation = provider.operation(request.method, path) if provider else None
    facts, doubt = _facts(request, provider, operation, path)
    action = operation.action if operation else _GENERIC.get(request.method, OTHER_METHOD)
    return Call(
        service=provider.service if provider else request.authority.short,
        action=action,
        resource=_resource(request, provider, operation, facts),
        request=request,
        body_sha256=hashlib.sha256(request.body).digest(),
        model=facts.model,
        stream=facts.stream,
        tools=facts.tools,
        max_tokens=facts.max_tokens,
        doubt=request.doubt or path_doubt(request.path) or doubt,
    )


def _facts(
    request: Request, provider: Provider | None, operation: Operation | None, path: str
) -> tuple[Facts, str]:
    if provider is None or operation is None or operation.resource != "model":
        return Facts(), ""
    try:
        facts = facts_of(request, provider.body)
        model = plain_name(operation.model(path) or facts.model)
    except ValueError as e:
        return Facts(), f"ambiguous_body: {e}"
    return replace(facts, model=model, stream=facts.stream or operation.stream), ""


def _resource(
    request: Request, provider: Provider | None, operation: Operation | None, facts: Facts
) -> Entity:
    if operation and operation.resource == "model":
        return Entity("Model", facts.model)
    if operation and provider and operation.resource == "service":
        return Entity("Service", provider.service)
    return Entity("Endpoint", request.authority.short)
