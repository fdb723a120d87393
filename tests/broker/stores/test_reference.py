"""References: what they look like, and what they must not."""

import subprocess
import sys

import pytest

from broker.stores import STORES, Reference, parse_reference


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("env:OPENAI_API_KEY", ("env", "OPENAI_API_KEY", "")),
        ("keyring:open ai/team/ada", ("keyring", "open ai/team", "ada")),
        ("openbao:secret/data/openai#api_key", ("openbao", "secret/data/openai", "api_key")),
        ("vault:kv/data/a#b", ("openbao", "kv/data/a", "b")),
        ("aws:prod/openai", ("aws", "prod/openai", "")),
        ("aws:arn:aws:x:y:1:secret:n-Ab#k", ("aws", "arn:aws:x:y:1:secret:n-Ab", "k")),
        ("command:pass show 'a b'#c", ("command", "pass show 'a b'#c", "")),
    ],
)
def test_reads_what_people_write(text: str, parts: tuple[str, str, str]) -> None:
    """Store, path, field."""
    assert parse_reference(text) == Reference(text, *parts)
    assert str(parse_reference(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "env",
        "env:",
        "env:A B",
        "env:INTERLOCK_MASTER_KEY",
        "file:/etc/passwd",
        "keyring:a",
        "keyring:/a",
        "openbao:secret/data/openai",
        "openbao:secret/../sys/raw#x",
        "openbao:../sys/raw#x",
        "openbao:secret/..#x",
        "openbao:secret//x#y",
        "openbao:/secret/x#y",
        "openbao:secret/x?list=true#y",
        "openbao:secret/%2e%2e/x#y",
        "aws:",
        "aws:a b",
        "command: x",
        "command:a\nb",
        "command:" + "x" * 1024,
    ],
)
def test_refuses_what_reads_otherwise(text: str) -> None:
    """With a line that shows how one is written."""
    with pytest.raises(ValueError, match=r"does not read|no secret store|one line"):
        parse_reference(text)


@pytest.mark.parametrize("text", ["openbao:a/b#c", "aws:a", "keyring:a/b"])
def test_a_missing_extra_says_what_to_install(text: str) -> None:
    """In a Python that has none of them."""
    code = (
        "import sys; sys.modules |= dict.fromkeys(['hvac.adapters', 'boto3', 'botocore',"
        "'botocore.exceptions', 'keyring'])\n"
        "from broker.stores import Stores, parse_reference\n"
        "from broker import StoreRefusalError\n"
        f"try: Stores({{}}).fetch(parse_reference({text!r}))\n"
        "except StoreRefusalError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    extra = {"openbao": "vault"}.get(text.partition(":")[0], text.partition(":")[0])
    assert done.stdout == f"run: pip install 'interlock[{extra}]'\n"


def test_no_library_of_a_store_is_loaded_before_it_is_needed() -> None:
    """They are extras, and slow."""
    code = "import sys, broker.stores; print({'hvac', 'boto3', 'keyring'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_every_store_says_what_it_is() -> None:
    """For the table in the documentation."""
    assert all(store.form.startswith(f"{store.name}:") for store in STORES)
    assert all(store.needs for store in STORES)
