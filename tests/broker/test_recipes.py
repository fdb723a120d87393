"""The laws that hold for every recipe, and what each one writes."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import Recipe, RecipeError, Scrubber, Secret, forms_of, parse_recipe
from broker.recipes import KNOWN_RECIPES, Basic

TEXTS = ["bearer", "basic", "header:X-Api-Key", "header:Authorization"]
SECRET = Secret("robot:sk-live-0123456789abcdef")
every_recipe = pytest.mark.parametrize(
    "recipe", [pytest.param(parse_recipe(t), id=t) for t in TEXTS]
)


@every_recipe
def test_is_written_as_it_is_read(recipe: Recipe) -> None:
    """The text of a recipe gives the recipe back, and is one of the known forms."""
    assert parse_recipe(recipe.text) == recipe
    assert recipe.text in TEXTS
    assert recipe.text.partition(":")[0] in {known.partition(":")[0] for known in KNOWN_RECIPES}


@every_recipe
@given(token=st.text(min_size=1))
def test_token_mirrors_carry(recipe: Recipe, token: str) -> None:
    """What was put into the slot is found in it."""
    assert recipe.token(recipe.carry(token)) == token


@every_recipe
def test_owns_one_header(recipe: Recipe) -> None:
    """The slot is a header name in lower case."""
    assert recipe.slot == recipe.slot.lower()
    assert recipe.slot


@every_recipe
def test_hides_all_that_it_renders(recipe: Recipe) -> None:
    """An upstream that echoes the header, or any encoding of it, does not give the secret away."""
    forms = [form for raw in recipe.forms(SECRET) for form in forms_of(raw)]
    for echo in (recipe.render(SECRET), SECRET.reveal()):
        for spelled in (echo, echo.hex().encode(), base64.b64encode(b"?" + echo)):
            scrubber = Scrubber(forms)
            shown = scrubber.feed(spelled) + scrubber.flush()
            assert scrubber.count == 1
            assert shown.count(b"*") >= 0.7 * len(spelled) - 16  # the scheme may stay readable


@pytest.mark.parametrize(
    ("text", "value", "slot", "rendered"),
    [
        ("bearer", "sk-live", "authorization", b"Bearer sk-live"),
        ("header:X-Api-Key", "sk-live", "x-api-key", b"sk-live"),
        ("header:Authorization", "token ghp_1", "authorization", b"token ghp_1"),
        ("basic", "Aladdin:open sesame", "authorization", b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("basic", "sk_live_1:", "authorization", b"Basic c2tfbGl2ZV8xOg=="),
    ],
)
def test_renders_what_the_upstream_expects(
    text: str, value: str, slot: str, rendered: bytes
) -> None:
    """RFC 6750, a header as it is, and the example of RFC 7617."""
    recipe = parse_recipe(text)
    assert recipe.slot == slot
    assert recipe.render(Secret(value)) == rendered


def test_basic_needs_a_pair() -> None:
    """A secret without a colon is no user and password, and the refusal does not show it."""
    with pytest.raises(
        RecipeError, match=r"^recipe basic: the secret must have the form"
    ) as caught:
        Basic().render(Secret("sk-live-0123456789abcdef"))
    assert "sk-live" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value", "form"),
    [
        pytest.param("basic", "robot:0123456789", b"0123456789", id="the password of a pair"),
        pytest.param("basic", "sk_live_0123:", b"sk_live_0123", id="a key in the user's place"),
        pytest.param("header:Authorization", "token ghp_0123", b"ghp_0123", id="the last word"),
    ],
)
def test_a_credential_inside_the_secret_reveals_it(text: str, value: str, form: bytes) -> None:
    """The part that opens doors is hidden on its own too."""
    assert form in parse_recipe(text).forms(Secret(value))


@pytest.mark.parametrize(("text", "value"), [("basic", "robot:1234"), ("header:X-Key", "an a")])
def test_a_short_part_is_not_hidden_on_its_own(text: str, value: str) -> None:
    """Masking every `a` of an answer would help nobody."""
    assert min(map(len, parse_recipe(text).forms(Secret(value)))) == len(value)


@pytest.mark.parametrize("value", ["", "Basic abc", "bearer x", "Bearer"])
@pytest.mark.parametrize("text", ["bearer", "basic"])
def test_finds_no_token_where_none_was_put(text: str, value: str) -> None:
    """Another scheme carries no token."""
    assert parse_recipe(text).token(value) is None
    assert parse_recipe("header:X-Api-Key").token("") is None


@pytest.mark.parametrize(
    "text", ["", "Bearer", "bearer:", "basic:x", "header", "query:key", "bearer\n", "cookie:a"]
)
def test_refuses_an_unknown_recipe(text: str) -> None:
    """The message is one line that lists what is known."""
    with pytest.raises(ValueError, match=r"^unknown recipe .*: bearer, basic, header:NAME$"):
        parse_recipe(text)


@pytest.mark.parametrize(
    "name",
    [
        *("", "X Api Key", "X-Api-Key:", "X-Api-Key\r\nX-Evil", "Schlüssel", ":authority"),
        *("Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Trailer"),
        *("Upgrade", "Proxy-Authorization", "Cookie", "Interlock-Agent", "keep-alive"),
    ],
)
def test_refuses_a_header_that_must_not_carry_a_credential(name: str) -> None:
    """No framing, no header of one hop, none of ours, and nothing that is not a name."""
    with pytest.raises(ValueError, match=r"^recipe header: '.*' (is not|must not).*$"):
        parse_recipe(f"header:{name}")
