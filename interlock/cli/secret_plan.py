"""Where a secret will be bound, from what was typed and what is there already."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from broker import parse_recipe
from interlock.calls import Catalogue
from interlock.cli.secret_value import SecretInputError
from interlock.cli.words import parse_host
from interlock.model import Authority, Binding


def plan(
    name: str,
    hosts: Sequence[Authority],
    recipe: str | None,
    provider: str | None,
    said: Mapping[str, frozenset[str]],
    before: Sequence[Binding] | None,
) -> list[Binding]:
    """Say where a secret will be bound; raises SecretInputError.

    A secret of the catalogue knows its hosts and recipe. Bound to another host, it says that
    this host speaks the provider's API. `said` are the conditions, `before` the bindings of a
    secret that is there already, whose parts stay unless they are said anew.
    """
    if before is not None:
        return _replan(name, hosts, recipe, provider, said, before)
    catalogue = Catalogue.shipped()
    preset = catalogue.named(provider) if provider else catalogue.of_secret(name)
    if provider and not preset:
        raise SecretInputError(
            f"--provider: {provider[:64]!r} is none of `interlock secret providers`"
        )
    if preset and not hosts:
        hosts = [parse_host(host) for host in preset.hosts]
    if not hosts:
        raise SecretInputError(
            f"say where {name!r} may go: --host HOST[:PORT], or --provider and a name of "
            "`interlock secret providers`"
        )
    lives_there = preset or catalogue.at(hosts[0].host)
    how = _recipe(recipe or (lives_there.recipe if lives_there else "bearer"))
    service = preset.service if preset else ""
    plain = [Binding(name, host, how, service=service) for host in dict.fromkeys(hosts)]
    conditions: dict[str, Any] = dict(said)
    return [replace(binding, **conditions) for binding in plain]


def _replan(
    name: str,
    hosts: Sequence[Authority],
    recipe: str | None,
    provider: str | None,
    said: Mapping[str, frozenset[str]],
    before: Sequence[Binding],
) -> list[Binding]:
    """Change what was said of the bindings that a secret has, and nothing else."""
    anew = f"`interlock secret rm {name}` first, to begin anew"
    if provider:
        raise SecretInputError(f"--provider: {name} is there already; {anew}")
    if not before:
        raise SecretInputError(f"{name} is there, and bound to nothing any more; {anew}")
    changes: dict[str, Any] = {field: value for field, value in said.items() if value}
    if recipe:
        changes["recipe"] = _recipe(recipe)
    changed = [replace(binding, **changes) for binding in before]
    if not hosts:
        return changed
    templates = {replace(binding, authority=hosts[0]) for binding in changed}
    if len(templates) > 1:
        raise SecretInputError(f"--host: the bindings of {name} are not alike; {anew}")
    return [replace(changed[0], authority=host) for host in dict.fromkeys(hosts)]


def _recipe(text: str) -> str:
    try:
        return parse_recipe(text).text
    except ValueError as e:
        raise SecretInputError(f"--recipe: {e}") from None
