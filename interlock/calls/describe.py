"""A request becomes a call: which service, which action, on which resource."""

import hashlib

from interlock.calls.body import Facts, read_facts
from interlock.calls.catalogue import Operation, Provider
from interlock.calls.path import path_doubt
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
    path = request.path.partition("?")[0]
    operation = provider.operation(request.method, path) if provider else None
    facts, doubt = _facts(request, operation)
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


def _facts(request: Request, operation: Operation | None) -> tuple[Facts, str]:
    if operation is None or operation.resource != "model":
        return Facts(), ""
    try:
        return read_facts(request), ""
    except ValueError as e:
        return Facts(), f"ambiguous_body: {e}"


def _resource(
    request: Request, provider: Provider | None, operation: Operation | None, facts: Facts
) -> Entity:
    if operation and operation.resource == "model":
        return Entity("Model", facts.model)
    if operation and provider and operation.resource == "service":
        return Entity("Service", provider.service)
    return Entity("Endpoint", request.authority.short)
