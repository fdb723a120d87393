"""docs/secrets.md names every store, as the code does.

`python tests/broker/stores/test_page.py` writes the table anew.
"""

from pathlib import Path

from broker.stores import STORES
from broker.stores.openbao_session import _PREFIXES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "secrets.md"
EMBEDDED = ("embedded (default)", "no reference: the value itself, sealed", "nothing")
BEGIN, END = "from broker/stores -->\n", "<!-- end -->"


def table() -> str:
    """The table of stores."""
    rows = [("store", "reference", "what it needs"), ("---",) * 3, EMBEDDED]
    for store in STORES:
        forms = " or ".join(f"`{form}`" for form in store.form.split(" or "))
        rows.append((f"`{store.name}`", forms, store.needs))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_table(page: str) -> str:
    """The page with the table as it should be."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def test_the_table_of_stores_is_up_to_date() -> None:
    """What can be written as a reference stands in the documentation."""
    page = PAGE.read_text()
    assert with_table(page) == page, "python tests/broker/stores/test_page.py"


def test_every_variable_of_openbao_is_documented() -> None:
    """By the name that comes first."""
    code = (PAGE.parents[1] / "broker" / "stores" / "openbao_session.py").read_text()
    names = {part.partition('"')[0] for part in code.split('_given("')[1:]}
    assert len(names) == 7
    assert [name for name in names if f"`{_PREFIXES[0]}{name}`" not in PAGE.read_text()] == []


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
