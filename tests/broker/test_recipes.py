"""The laws that hold for every recipe, and what each one writes."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import (
    Outgoing,
    Recipe,
    RecipeError,
    Scrubber,
    Secret,
    carrier,
    forms_of,
    parse_recipe,
    token_in,
)
from broker.recipes import KNOWN_RECIPES

SECRET = Secret("robot:sk-live-0123456789abcdef")
PLACE = "PLACE-HOLDER"
# Each with a request that the agent meant to be signed in its own way.
BARE = Outgoing(
    "POST",
    "api.example.com",
    f"/botdummy/v1?a=1&key={PLACE}",
    ((b"x-keep", b"yes"), (b"authorization", b"Bearer theirs")),
    b'{"auth":{"token":"PLACE-HOLDER"}}',
)
TEXTS = [
    *("bearer", "basic", "header:X-Api-Key", "header:Authorization", "query:key"),
    *("path:/bot{secret}", "cookie:session", f"placeholder:{PLACE}@query=key"),
]
RECIPES = [pytest.param(parse_recipe(text), id=text) for text in TEXTS]
every_recipe = pytest.mark.parametrize("recipe", RECIPES)


def header(outgoing: Outgoing, name: str) -> bytes:
    """The one value of a header."""
    (value,) = outgoing.values(name)
    return value


def sent(text: str, value: str, **changed: object) -> Outgoing:
    """What a recipe makes of a request."""
    request = {"method": "GET", "host": "a.example", "path": "/", **changed}
    return parse_recipe(text).apply(Outgoing(**request), Secret(value), 0.0)  # type: ignore[arg-type]


@every_recipe
def test_is_written_as_it_is_read(recipe: Recipe) -> None:
    """The text of a recipe gives the recipe back, and is one of the known forms."""
    assert parse_recipe(recipe.text) == recipe
    assert recipe.text in TEXTS
    assert KNOWN_RECIPES[recipe.usage] is type(recipe)


@pytest.mark.parametrize("slot", ["authorization", "x-api-key"])
@given(token=st.text(min_size=1))
def test_token_in_mirrors_carrier(slot: str, token: str) -> None:
    """What was put into the slot is found in it."""
    assert token_in(slot, carrier(slot, token)) == token


@every_recipe
def test_owns_one_header(recipe: Recipe) -> None:
    """The slot is a header name in lower case."""
    assert recipe.slot == recipe.slot.lower()
    assert recipe.slot


@every_recipe
def test_changes_nothing_but_the_credential(recipe: Recipe) -> None:
    """What the agent sent besides goes on, and the request that was given stays as it was."""
    after = recipe.apply(BARE, SECRET, 0.0)
    assert (after.method, after.host) == (BARE.method, BARE.host)
    assert header(after, "x-keep") == b"yes"
    assert "a=1" in after.path
    assert SECRET.reveal() not in repr(after).encode()


@every_recipe
def test_hides_all_that_it_sends(recipe: Recipe) -> None:
    """An upstream that echoes what it got, or any encoding of it, does not give the secret away."""
    forms = [form for raw in recipe.forms(SECRET) for form in forms_of(raw)]
    after = recipe.apply(BARE, SECRET, 0.0)
    new = [value for field, value in after.headers if (field, value) not in BARE.headers]
    for echo in (*new, after.path.encode(), SECRET.reveal()):
        for spelled in (echo, echo.hex().encode(), base64.b64encode(b"?" + echo)):
            scrubber = Scrubber(forms)
            shown = scrubber.feed(spelled) + scrubber.flush()
            for form in forms:
                assert form not in shown


@pytest.mark.parametrize(
    ("text", "value", "slot", "rendered"),
    [
        ("bearer", "sk-live", "authorization", b"Bearer sk-live"),
        ("header:X-Api-Key", "sk-live", "x-api-key", b"sk-live"),
        ("header:Authorization", "token ghp_1", "authorization", b"token ghp_1"),
        ("basic", "Aladdin:open sesame", "authorization", b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("basic", "sk_live_1:", "authorization", b"Basic c2tfbGl2ZV8xOg=="),
        ("cookie:sid", "abc", "cookie", b"sid=abc"),
    ],
)
def test_sends_the_header_that_the_upstream_expects(
    text: str, value: str, slot: str, rendered: bytes
) -> None:
    """RFC 6750, a header as it is, the example of RFC 7617, and RFC 6265."""
    assert header(sent(text, value), slot) == rendered


@pytest.mark.parametrize("name", ["X-Api-Key", "x-api-key", "X_API_KEY", "x_Api-Key"])
def test_removes_every_spelling_of_the_header(name: str) -> None:
    """CGI and WSGI servers read `X_Api_Key` as `X-Api-Key`."""
    agents = ((name.encode(), b"theirs"), (b"X-API-KEY", b"theirs too"))
    after = sent("header:X-Api-Key", "ours", headers=agents)
    assert after.headers == ((b"x-api-key", b"ours"),)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("/m", "/m?key=a%2Fb%26c", id="no query"),
        pytest.param("/m?", "/m?key=a%2Fb%26c", id="an empty query"),
        pytest.param("/m?q=1&z", "/m?q=1&z&key=a%2Fb%26c", id="other parameters"),
        pytest.param("/m?key=x&q=1&key=y", "/m?q=1&key=a%2Fb%26c", id="two copies"),
        pytest.param("/m?%6bey=x&k%65y=y&KEY=z&key", "/m?key=a%2Fb%26c", id="other spellings"),
        pytest.param("/m?q=1;key=x&+key=y", "/m?q=1&key=a%2Fb%26c", id="other separators"),
        pytest.param("/m?key[]=x&key[0]=y&q=1", "/m?q=1&key=a%2Fb%26c", id="lists of PHP"),
        pytest.param("/m?q=key&keys=1", "/m?q=key&keys=1&key=a%2Fb%26c", id="what only looks so"),
    ],
)
def test_sets_one_query_parameter(before: str, after: str) -> None:
    """Ours comes last and alone, whatever spelling the agent chose for its own."""
    assert sent("query:key", "a/b&c", path=before).path == after


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("path:/bot{secret}", "/botX/send?q=1", "/bot1:a%2Fb/send?q=1"),
        ("path:/bot{secret}", "/bot0:%7B%7D", "/bot1:a%2Fb"),
        ("path:/services/{secret}", "/services/x/y", "/services/1:a%2Fb/y"),
        ("path:/k-{secret}-z", "/k-x-z/y", "/k-1:a%2Fb-z/y"),
    ],
)
def test_sets_one_segment_of_the_path(text: str, before: str, after: str) -> None:
    """The rest of the path stays, and the secret cannot add a segment."""
    assert sent(text, "1:a/b", path=before).path == after


@pytest.mark.parametrize("path", ["/", "/bot", "/bot/send", "/x/botX/send", "/%62otX", "/bo"])
def test_needs_the_path_of_its_template(path: str) -> None:
    """A secret is not put into a path of another shape."""
    with pytest.raises(RecipeError, match="does not begin as the template says"):
        sent("path:/bot{secret}", "1:ab", path=path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([], b"sid=abc", id="none"),
        pytest.param([b"a=1; sid=x; b=2"], b"a=1; b=2; sid=abc", id="one among others"),
        pytest.param([b"SID=x", b'"sid"=y; a=1'], b"a=1; sid=abc", id="two headers"),
        pytest.param([b"a=1,sid=x; b=2"], b"b=2; sid=abc", id="behind a comma"),
        pytest.param([b" sid = x ;; a=sid"], b"a=sid; sid=abc", id="blanks"),
    ],
)
def test_sets_one_cookie(before: list[bytes], after: bytes) -> None:
    """The agent's other cookies stay; whatever could pass for ours goes."""
    headers = tuple((b"Cookie", value) for value in before)
    assert header(sent("cookie:sid", "abc", headers=headers), "cookie") == after


@pytest.mark.parametrize("value", ["a b", "a;b=c", 'a"b', "a,b", "a\\b", "ä"])
def test_a_cookie_holds_no_border(value: str) -> None:
    """A secret that would end the cookie is refused when it is stored, and at the wire."""
    with pytest.raises(RecipeError, match="a cookie holds no"):
        sent("cookie:sid", value)
    with pytest.raises(RecipeError, match="a cookie holds no"):
        parse_recipe("cookie:sid").check(Secret(value))


class TestPlaceholder:
    """`placeholder:` writes the secret where it was declared to stand, and nowhere else."""

    VALUE = 'q"u\\ote/é'

    def fill(self, places: str, **changed: object) -> Outgoing:
        return sent(f"placeholder:{PLACE}@{places}", self.VALUE, **changed)

    def test_in_a_header(self) -> None:
        """The words around it stay."""
        after = self.fill("header=X-Auth", headers=((b"X-Auth", f"k={PLACE};v=1".encode()),))
        assert header(after, "x-auth") == f"k={self.VALUE};v=1".encode()

    def test_in_the_query(self) -> None:
        """It is found encoded, and encoded again."""
        after = self.fill("query=k", path=f"/?a=1&%6b={PLACE.replace('-', '%2D')}")
        assert after.path == f"/?a=1&k={quote(self.VALUE, safe='')}"

    def test_in_a_field_of_the_body(self) -> None:
        """Every other byte of the document stays as the agent wrote it."""
        body = b'{ "n": 1.50,  "auth": [{"token": "t:PLACE-HOLDER"}] }'
        after = self.fill("json=/auth/0/token", body=body)
        assert after.body == body.replace(b"PLACE-HOLDER", rb"q\"u\\ote/\u00e9")

    @pytest.mark.parametrize(
        ("places", "changed"),
        [
            pytest.param("header=X-Auth", {"headers": ((b"X-Other", b"PLACE-HOLDER"),)}, id="h"),
            pytest.param("query=k", {"path": "/?other=PLACE-HOLDER"}, id="another parameter"),
            pytest.param("json=/a", {"body": b'{"b":"PLACE-HOLDER"}'}, id="another field"),
            pytest.param("json=/a", {"body": b'{"a":"PLACE-HOLDER"'}, id="no JSON"),
            pytest.param("json=/a", {"body": b'{"a":"\\u0050LACE-HOLDER"}'}, id="escaped"),
            pytest.param(
                "json=/a",
                {"body": b'{"a":"\\u0050LACE-HOLDER","b":"PLACE-HOLDER"}'},
                id="escaped in its place, plain in another",
            ),
            pytest.param(
                "json=/a", {"body": b'{"a":"PLACE-HOLDER","b":"PLACE-HOLDER"}'}, id="two fields"
            ),
            pytest.param(
                "json=/a", {"body": b'{"a":"PLACE-HOLDER","a":"PLACE-HOLDE"}'}, id="a field twice"
            ),
            pytest.param(
                "header=X-Auth",
                {"headers": ((b"X-Auth", b"PLACE-HOLDER"), (b"x_auth", b"PLACE-HOLDER"))},
                id="two headers",
            ),
            pytest.param(
                "query=k", {"path": "/?k=PLACE-HOLDER&k=PLACE-HOLDER"}, id="two parameters"
            ),
        ],
    )
    def test_nowhere_else(self, places: str, changed: dict[str, object]) -> None:
        """A request without the placeholder in its place, once, is refused."""
        with pytest.raises(RecipeError, match="placeholder"):
            self.fill(places, **changed)

    @pytest.mark.parametrize(
        "spec",
        [
            *("", "short@query=k", PLACE, f"{PLACE}@", f"{PLACE}@body=x", f"{PLACE}@header=Host"),
            *(f"{PLACE}@header=Authorization", f"{PLACE}@header=x_api_key", f"{PLACE}@query=a b"),
            *(f"{PLACE}@json=auth", f"{PLACE}@json=/", f"{PLACE}@query=k,", "a b c d e f@query=k"),
        ],
    )
    def test_knows_its_places(self, spec: str) -> None:
        """A place that does not exist or must not hold a credential is told when it is written."""
        with pytest.raises(ValueError, match=r"^recipe placeholder: "):
            parse_recipe(f"placeholder:{spec}")


def test_basic_needs_a_pair() -> None:
    """A secret without a colon is no user and password, and the refusal does not show it."""
    said = r"^recipe basic: the secret must have the form"
    with pytest.raises(RecipeError, match=said) as caught:
        sent("basic", "sk-live-0123456789abcdef")
    assert "sk-live" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value", "form"),
    [
        pytest.param("basic", "robot:0123456789", b"0123456789", id="the password of a pair"),
        pytest.param("basic", "sk_live_0123:", b"sk_live_0123", id="a key in the user's place"),
        pytest.param("header:Authorization", "token ghp_0123", b"ghp_0123", id="the last word"),
        pytest.param("path:/{secret}", "1:a/b=c", b"1:a%2Fb=c", id="as the path spells it"),
    ],
)
def test_a_credential_inside_the_secret_reveals_it(text: str, value: str, form: bytes) -> None:
    """The part that opens doors is hidden on its own too."""
    assert form in parse_recipe(text).forms(Secret(value))


@pytest.mark.parametrize(("text", "value"), [("basic", "robot:1234"), ("header:X-Key", "an a")])
def test_a_short_part_is_not_hidden_on_its_own(text: str, value: str) -> None:
    """Masking every `a` of an answer would help nobody."""
    assert min(map(len, parse_recipe(text).forms(Secret(value)))) == len(value)


@pytest.mark.parametrize("value", ["", "Basic abc", "bearer x", "Bearer", "Bearer "])
def test_finds_no_token_where_none_was_put(value: str) -> None:
    """Another scheme carries no token."""
    assert token_in("authorization", value) is None
    assert token_in("x-api-key", "") is None


@pytest.mark.parametrize("text", ["", "Bearer", "bearer:", "basic:x", "header", "jwt", "bearer\n"])
def test_refuses_an_unknown_recipe(text: str) -> None:
    """The message is one line that lists what is known."""
    with pytest.raises(ValueError, match=r"^unknown recipe .*: bearer, basic, header:NAME, query"):
        parse_recipe(text)


@pytest.mark.parametrize(
    "name",
    [
        *("", "X Api Key", "X-Api-Key:", "X-Api-Key\r\nX-Evil", "Schlüssel", ":authority"),
        *("Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Trailer"),
        *("Upgrade", "Proxy-Authorization", "Cookie", "Interlock-Agent", "keep-alive"),
        *("Content_Length", "interlock_goal"),
    ],
)
def test_refuses_a_header_that_must_not_carry_a_credential(name: str) -> None:
    """No framing, no header of one hop, none of ours, and nothing that is not a name."""
    with pytest.raises(ValueError, match=r"^recipe header: '.*' (is not|must not).*$"):
        parse_recipe(f"header:{name}")


@pytest.mark.parametrize(
    "text",
    [
        *("query:", "query:a b", "query:a=b", "query:k%65y", "cookie:", "cookie:a=b", "cookie:a b"),
        *(
            "path:",
            "path:/bot",
            "path:bot{secret}",
            "path:/{secret}/{secret}",
            "path:/../{secret}?",
        ),
    ],
)
def test_refuses_a_name_that_would_bend_the_request(text: str) -> None:
    """Names and templates are plain."""
    with pytest.raises(ValueError, match=rf"^recipe {text.partition(':')[0]}: "):
        parse_recipe(text)
