"""`interlock policy link`, `unlink` and `links`: grants for one agent, kept as data."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.apdp.links import LINKS, Link, parse_links, write_links
from interlock.apdp.policies import load_policies, read_links, shipped
from interlock.cli.home import changing, settings_of
from interlock.cli.printing import Json, moment, say, say_json, say_table
from interlock.cli.words import parse_duration, parse_text, typed
from interlock.errors import PolicyError

type Links = tuple[Link, ...]

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the link.")]


def link(
    context: typer.Context,
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="The @id of a template.")],
    id_: Annotated[str, typer.Option("--id", metavar="ID", help="A name for this grant.")],
    principal: Annotated[
        str, typer.Option(metavar="ENTITY", help='For its ?principal: Agent::"name".')
    ] = "",
    resource: Annotated[
        str, typer.Option(metavar="ENTITY", help='For its ?resource: Model::"gpt-4o".')
    ] = "",
    description: Annotated[
        str,
        typer.Option(
            metavar="TEXT", parser=typed(parse_text), help="In place of the template's own."
        ),
    ] = "",
    expires: Annotated[
        float | None,
        typer.Option(
            metavar="DURATION", parser=typed(parse_duration), help="When it ends, such as 8h."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a policy of a template; every slot that it has must be filled.

    The new set is checked first. What does not load changes nothing.
    """
    until = None if expires is None else int(time.time() + expires)
    new = Link(id_, template, principal, resource, description, until)

    def added(links: Links) -> Links:
        if any(known.id == id_ for known in links):
            raise PolicyError(f"--id: there is a link {id_!r} already")
        return (*links, new)

    _change(context, "policy.link", id_, added)
    if as_json:
        say_json(asdict(new))
        return
    say(f"Link {id_} is in force within a second.")


def unlink(context: typer.Context, id_: Id, as_json: Json = False) -> None:
    """Take a link back, and with it what it granted."""

    def rest(links: Links) -> Links:
        kept = tuple(known for known in links if known.id != id_)
        if kept == links:
            raise PolicyError(f"there is no link {id_!r}")
        return kept

    _change(context, "policy.unlink", id_, rest)
    if as_json:
        say_json({"id": id_, "removed": True})
        return
    say(f"Link {id_} is gone, in force within a second.")


def links(context: typer.Context, as_json: Json = False) -> None:
    """List the links of the policies that are in force."""
    folder = settings_of(context).policies or shipped()
    found = _parsed(folder, read_links(folder))
    if as_json:
        for each in found:
            say_json(asdict(each))
        return
    columns = ("link", "template", "principal", "resource", "expires")
    say_table(columns, ((*_named(each), _end(each.expires)) for each in found))


def _change(context: typer.Context, action: str, id_: str, edit: Callable[[Links], Links]) -> None:
    """Edit the links of the folder in force: checked, then put in place whole, then recorded."""
    settings = settings_of(context)
    folder = settings.policies or shipped()
    if folder.resolve() == shipped().resolve():
        raise PolicyError(
            f"{folder}: these policies come with Interlock and are not edited: "
            "copy them to a folder of your own and name it with INTERLOCK_POLICIES"
        )
    with changing(settings) as home, _locked(folder):
        before = _parsed(folder, read_links(folder))
        after = edit(before)
        text = write_links(after)
        load_policies(folder, links=text)
        change = {"before": _body(before, id_), "after": _body(after, id_)}
        details = {"folder": str(folder), "link": id_, **change}

        def work(connection: Any) -> None:
            # Last, so that no change stands without its record.
            home.ledger.admin(connection, action, details)
            _put(folder / LINKS, text)

        home.database.write(work)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one command at a time edit a folder, or the last one would undo the others."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as e:
        raise PolicyError(f"{folder}: {e.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _put(path: Path, text: str) -> None:
    """Replace a file in one step; who reads it sees all of the old or all of the new."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _parsed(folder: Path, text: str) -> Links:
    try:
        return parse_links(text)
    except ValueError as e:
        raise PolicyError(f"{folder / LINKS}: {e}") from None


def _body(links: Links, id_: str) -> dict[str, Any] | None:
    return next((asdict(known) for known in links if known.id == id_), None)


def _named(link: Link) -> tuple[str, str, str, str]:
    return link.id, link.template, link.principal or "-", link.resource or "-"


def _end(expires: int | None) -> str:
    if expires is None:
        return "never"
    return f"{moment(expires)}{' (over)' if expires <= time.time() else ''}"
