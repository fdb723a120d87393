"""How a credential is put on a request: one recipe a file, each with a name people can write."""

from broker.recipes.basic import Basic
from broker.recipes.bearer import Bearer
from broker.recipes.header import Header
from broker.recipes.recipe import Recipe

__all__ = ["KNOWN_RECIPES", "Basic", "Bearer", "Header", "Recipe", "parse_recipe"]

KNOWN_RECIPES = ("bearer", "basic", "header:NAME")


def parse_recipe(text: str) -> Recipe:
    """Read a recipe such as `bearer` or `header:X-Api-Key`; raises ValueError."""
    match text.partition(":"):
        case ("bearer", "", ""):
            return Bearer()
        case ("basic", "", ""):
            return Basic()
        case ("header", ":", name):
            return Header(name)
    raise ValueError(f"unknown recipe {text!r}, known are: {', '.join(KNOWN_RECIPES)}")
