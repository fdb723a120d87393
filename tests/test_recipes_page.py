"""docs/recipes.md names every recipe, in the words of the code, with an example that works.

`python tests/test_recipes_page.py` prints the table anew.
"""

import re
import shlex
import sys
from pathlib import Path

import pytest

from broker import Recipe, parse_recipe
from broker.recipes import KNOWN_RECIPES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipes.md"


def table() -> str:
    """One row a recipe: how it is written, what the upstream gets, what the secret is."""
    rows = ["| recipe | what the front door does | the secret |", "|---|---|---|"]
    for usage, kind in KNOWN_RECIPES.items():
        (what, *_) = (kind.__doc__ or "").split("; raises")
        what = " ".join(what.split()).removesuffix(".")
        rows.append(f"| `{usage}` | {what} | {secret(kind)} |")
    return "\n".join(rows) + "\n"


def secret(kind: type[Recipe]) -> str:
    """What the secret of a recipe is."""
    if not kind.fields:
        return kind.holds
    return f"JSON with {', '.join(f'`{name}`' for name in kind.fields)}: {kind.holds}"


def examples() -> list[str]:
    """The recipe of every command on the page."""
    commands = re.findall(r"^interlock secret set .*$", PAGE.read_text(), re.MULTILINE)
    words = [shlex.split(command.partition(" < ")[0]) for command in commands]
    return [line[line.index("--recipe") + 1] for line in words]


def test_the_table_is_up_to_date() -> None:
    """The page says of each recipe what the code says."""
    assert table() in PAGE.read_text(), "python tests/test_recipes_page.py prints the table"


@pytest.mark.parametrize("usage", KNOWN_RECIPES)
def test_every_recipe_has_an_example(usage: str) -> None:
    """And each example is a recipe that can be read."""
    assert KNOWN_RECIPES[usage] in {type(parse_recipe(text)) for text in examples()}


if __name__ == "__main__":
    sys.stdout.write(table())
