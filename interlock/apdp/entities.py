"""What Cedar is told about one call: the entities, as plain JSON values.

What an agent sent is in them as a string only, as in the context (`told`).
"""

from typing import Any

from interlock.model import Agent, Authority, Call, Entity, Server


def uid(entity: Entity) -> dict[str, str]:
    """The id of an entity in the form that needs no quoting."""
    return {"type": entity.type, "id": entity.id}


def entities_of(
    agent: Agent,
    resource: Entity,
    at: str,
    authority: Authority,
    secret: str,
    server: Server | None = None,
) -> list[dict[str, Any]]:
    """The agent with its groups, the resource with its service, and the secret if there is one."""
    service = Entity("Service", at)
    groups = _groups(agent)
    within = _server_of(resource, server)
    found = [
        _entity(Entity("Agent", agent.name), {"owner": agent.owner, "trust": agent.trust}, groups),
        *map(_entity, dict.fromkeys((*groups, *_groups(server)))),
        _entity(service),
    ]
    host = {"host": authority.short}
    if resource.type == "McpServer":
        found.append(_server(resource, server, service))
    elif resource != service:
        attributes = {"Model": {"service": at}, "Endpoint": host}.get(resource.type)
        found.append(_entity(resource, attributes, [service, *within]))
        found += [_server(itself, server, service) for itself in within]
    if secret:
        found.append(_entity(Entity("Secret", secret), host, [service]))
    return found


def line_of(resource: Entity, at: str, server: Server | None) -> tuple[Entity, ...]:
    """A resource, followed by everything that it is in; a policy may name any of it."""
    itself = (resource.type, resource.id) == ("McpServer", server.name) if server else False
    within = _server_of(resource, server)
    groups = _groups(server) if itself or within else []
    return tuple(dict.fromkeys((resource, *within, Entity("Service", at), *groups)))


def entities_of_call(agent: Agent, call: Call, secret: str) -> list[dict[str, Any]]:
    """The same, of a whole call."""
    at, server = call.request.authority, call.server
    return entities_of(agent, call.resource, call.service, at, secret, server)


def _server(resource: Entity, server: Server | None, service: Entity) -> dict[str, Any]:
    """A server with what the registry says of it; of one that is not there, that nothing is."""
    known = server if server and server.name == resource.id else Server(resource.id)
    attributes = {name: str(getattr(known, name)) for name in ("owner", "trust", "health", "url")}
    return _entity(resource, attributes, [service, *_groups(known)])


def _server_of(resource: Entity, server: Server | None) -> list[Entity]:
    """The server that a tool or a document is in; none for what nobody registered."""
    offered = server is not None and resource.type in ("Tool", "Document")
    return [Entity("McpServer", server.name)] if server and offered else []


def _groups(holder: Agent | Server | None) -> list[Entity]:
    return [Entity("Group", name) for name in holder.groups] if holder else []


def _entity(
    entity: Entity, attributes: dict[str, str] | None = None, parents: list[Entity] | None = None
) -> dict[str, Any]:
    return {
        "uid": uid(entity),
        "attrs": attributes or {},
        "parents": [uid(parent) for parent in parents or ()],
    }
