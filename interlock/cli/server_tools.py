"""`interlock server pin|diff`: whether the tools of an MCP server are still what they were."""

import difflib
import json
from typing import Annotated, Any

import typer

from interlock.cli.exits import NoError
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, say, say_json
from interlock.model import Pin
from interlock.registry.pins import Tool, digest

Name = Annotated[str, typer.Argument(metavar="NAME", help="The server's name.")]
Which = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TOOL]...", help="Which tools; default: all of them."),
]


def pin(context: typer.Context, name: Name, tool: Which = None, as_json: Json = False) -> None:
    """Take the tools as they are now for good, after a look at `interlock server diff`."""
    with changing(settings_of(context)) as home:
        changed = home.pins.pin(home.servers.get(name).name, tool or ())
    if as_json:
        say_json({"name": name, "tools": changed})
        return
    say(f"Server {name}: {', '.join(changed) or 'nothing had changed, nothing'} pinned anew.")


def diff(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show what changed in the tools since they were pinned; exit 1 when something did."""
    with reading(settings_of(context)) as records:
        server = records.servers.get(name)
        changed = [t for t in records.pins.tools(server.name) if t.pin is Pin.CHANGED]
    for tool in changed:
        if as_json:
            say_json(_summary(tool) | {"before": _read(tool.pinned), "after": _read(tool.seen)})
        else:
            for line in _difference(tool):
                say(line)
    if changed:
        raise NoError(f"{len(changed)} of the tools of {name} changed")


def _summary(tool: Tool) -> dict[str, Any]:
    return {
        "tool": tool.name,
        "pin": str(tool.pin),
        "first_seen": tool.first_seen,
        "changed_at": tool.changed_at,
        "pinned_sha256": digest(tool.pinned),
        "seen_sha256": digest(tool.seen),
    }


def _difference(tool: Tool) -> list[str]:
    before, after = (_lines(text) for text in (tool.pinned, tool.seen))
    return list(
        difflib.unified_diff(
            before, after, f"{tool.name} pinned", f"{tool.name} now", "", "", 2, ""
        )
    )


def _lines(text: str) -> list[str]:
    return json.dumps(_read(text), indent=2, sort_keys=True).splitlines()


def _read(text: str) -> Any:
    """A definition as JSON; of a very long one there is the digest only."""
    return text if text.startswith("sha256:") else json.loads(text)
