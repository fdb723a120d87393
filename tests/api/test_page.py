"""docs/api.md names every route, who may use it, and what it is for.

`python -m tests.api.test_page` writes its table of routes anew.
"""

import re
from pathlib import Path

from fastapi.routing import APIRoute

from interlock.api.app import ROUTERS
from tests.api.test_access import AGENT, OPEN, allowed

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
HEAD = "| route | who | |\n|---|---|---|\n"


def table() -> str:
    """Every route in the order of its router."""
    found = [route for router in ROUTERS for route in router.routes]
    return HEAD + "".join(_row(route) for route in found if isinstance(route, APIRoute))


def _row(route: APIRoute) -> str:
    (method,) = route.methods
    words = (route.description or "").split("\n\n")[0].replace("\n", " ")
    if asked := ", ".join(f"`{one.alias}`" for one in route.dependant.query_params):
        words += f" Query: {asked}."
    return f"| `{method} {route.path}` | {_who((method, route.path))} | {words} |\n"


def _who(route: tuple[str, str]) -> str:
    if route in OPEN:
        return "anyone"
    who = allowed(route)
    least = next(role for role in ("viewer", "operator", "admin") if role in who)
    others = [role for role in ("scanner", "service") if role in who]
    return ", ".join([least, *others, *(["an agent for itself"] if AGENT in who else [])])


def test_the_page_names_every_route() -> None:
    """As it is served now."""
    assert table() in PAGE.read_text(), "python -m tests.api.test_page"


def test_what_the_page_shows_is_asked_of_routes_that_exist() -> None:
    """Every path in an example is one of the table."""
    page = PAGE.read_text()
    asked = set(re.findall(r"127\.0\.0\.1:9080(/[\w/-]+)", page))
    assert asked
    assert [path for path in asked if f" {path}`" not in table()] == []


if __name__ == "__main__":
    written = PAGE.read_text()
    start = written.index(HEAD)
    end = written.index("\n\n", start)
    PAGE.write_text(written[:start] + table().rstrip("\n") + written[end:])
