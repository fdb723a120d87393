"""OpenBao, the real one."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from broker import Secret, StoreRefusalError
from broker.stores import Reference, Stores, openbao_session, parse_reference
from tests.broker.stores.contract import VALUE, FieldContract, StoreContract
from tests.broker.stores.servers import Bao, Elsewhere, Mute, Users

KEY = parse_reference("openbao:secret/data/openai#api_key")
DYNAMIC = parse_reference("openbao:rabbitmq/creds/app#password")
USER = parse_reference("openbao:rabbitmq/creds/app#username")


type Open = Callable[[Mapping[str, str]], Stores]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens stores that give back what they were lent when the test is over, however it went."""
    with ExitStack() as stack:
        yield lambda environ: stack.enter_context(closing(Stores(environ)))


class TestOpenBao(FieldContract, StoreContract):
    missing = "vault:secret/data/nothing#api_key"
    wrong_field = "openbao:secret/data/openai#nope"

    @pytest.fixture
    def filled(self, bao: Bao) -> Stores:
        self.bao = bao
        return Stores(bao.environ)

    def put(self, value: str) -> Reference:
        self.bao.keep("openai", api_key=value, number=7)
        return KEY

    def test_only_text_is_a_secret(self) -> None:
        """A number is not."""
        self.put(VALUE)
        assert "not text" in self.refused(parse_reference("openbao:secret/data/openai#number"))

    def test_a_deleted_version_is_missing(self) -> None:
        """As if it had never been."""
        self.put(VALUE)
        self.bao.call("DELETE", "secret/data/openai")
        assert self.refused(KEY) == "there is nothing at this path"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        pytest.param({"BAO_ADDR": ""}, "set BAO_ADDR", id="no address"),
        pytest.param({"BAO_TOKEN": ""}, "set BAO_TOKEN, or BAO_ROLE_ID", id="no token"),
        pytest.param({"BAO_TOKEN": "x"}, "permission denied", id="a wrong token"),
        pytest.param({"BAO_ADDR": "http://127.0.0.1:9"}, "cannot be reached", id="nobody there"),
        pytest.param({"BAO_ADDR": "http://192.0.2.1:8200"}, "use https", id="in the clear"),
        pytest.param({"BAO_ADDR": "http://localhost@192.0.2.1"}, "not a URL", id="dressed up"),
        pytest.param({"BAO_ADDR": "unix:///x"}, "not a URL", id="another scheme"),
        pytest.param({"BAO_TOKEN": "", "BAO_TOKEN_FILE": "/none"}, "_FILE", id="no such file"),
        pytest.param({"BAO_ROLE_ID": "x"}, "AppRole login is refused", id="a wrong role"),
    ],
)
def test_what_is_wrong_is_said(bao: Bao, more: dict[str, str], why: str) -> None:
    """One line that tells an operator what to do."""
    stores = Stores(bao.environ | more)
    with pytest.raises(StoreRefusalError, match=why):
        stores.fetch(KEY)
    stores.close()


def test_a_server_that_does_not_answer_hits_the_limit(
    mute: Mute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five seconds, which is shorter here."""
    assert openbao_session.TIME_LIMIT_S == 5
    monkeypatch.setattr(openbao_session, "TIME_LIMIT_S", 1.0)
    began = time.monotonic()
    with pytest.raises(StoreRefusalError, match="no answer within 1 seconds"):
        Stores({"BAO_ADDR": mute.address, "BAO_TOKEN": "x"}).fetch(KEY)
    assert 0.9 < time.monotonic() - began < 20


def test_a_redirect_is_not_followed(bao: Bao) -> None:
    """It would carry the token to a host that nobody named."""
    bao.keep("openai", api_key=VALUE)
    with Elsewhere(bao.address) as server:
        stores = Stores({"BAO_ADDR": server.address, "BAO_TOKEN": bao.token})
        with pytest.raises(StoreRefusalError, match="HTTP status 307"):
            stores.fetch(KEY)


def test_a_token_may_come_from_a_file(bao: Bao, tmp_path: Path) -> None:
    """And when the file has another token, that one is taken."""
    bao.keep("openai", api_key=VALUE)
    file = tmp_path / "token"
    ends = bao.call("POST", "auth/token/create", ttl="1h")["auth"]["client_token"]
    file.write_text(ends + "\n")
    stores = Stores({"BAO_ADDR": bao.address, "VAULT_TOKEN_FILE": str(file)})
    assert stores.fetch(KEY).secret == Secret(VALUE)
    bao.call("POST", "auth/token/revoke", token=ends)
    with pytest.raises(StoreRefusalError, match="permission denied"):
        stores.fetch(KEY)
    file.write_text(bao.token)
    assert stores.fetch(KEY).secret == Secret(VALUE)


def test_a_login_is_kept_alive_and_given_back(bao: Bao, opened: Open) -> None:
    """The token of a role outlives its time to live, and ends with us."""
    bao.keep("openai", api_key=VALUE)
    stores = opened(bao.allow_role("4s"))
    assert stores.fetch(KEY).secret == Secret(VALUE)
    (token,) = logins(bao)
    time.sleep(6)
    assert stores.fetch(KEY).secret == Secret(VALUE)
    assert logins(bao) == [token]
    stores.close()
    assert logins(bao) == []


def test_a_login_that_ends_is_made_anew(bao: Bao, opened: Open) -> None:
    """A token that cannot live longer, or was revoked, is replaced."""
    bao.keep("openai", api_key=VALUE)
    stores = opened(bao.allow_role("1s", longest="2s"))
    for _ in range(4):
        assert stores.fetch(KEY).secret == Secret(VALUE)
        time.sleep(0.9)
    for accessor in logins(bao):
        bao.call("POST", "auth/token/revoke-accessor", accessor=accessor)
    assert stores.fetch(KEY).secret == Secret(VALUE)
    stores.close()


def test_a_role_that_may_not_read_does_not_log_in_again_and_again(bao: Bao, opened: Open) -> None:
    """A denial of the path is no reason for another token."""
    environ = bao.allow_role("1h")
    bao.call("PUT", "sys/policies/acl/reader", policy='path "none" { capabilities = ["read"] }')
    stores = opened(environ)
    for _ in range(3):
        with pytest.raises(StoreRefusalError, match="permission denied"):
            stores.fetch(KEY)
    assert len(logins(bao)) == 1
    stores.close()


def test_a_lease_is_shared_renewed_and_given_back(bao: Bao, users: Users, opened: Open) -> None:
    """User and password are of one lease, which outlives its time to live and ends with us."""
    bao.call("POST", "rabbitmq/config/lease", ttl=4, max_ttl=3600)
    stores = opened(bao.environ)
    fetched, user = stores.fetch(DYNAMIC), stores.fetch(USER)
    assert 0 < fetched.seconds <= 4
    assert len(users.names) == 1
    time.sleep(6)
    assert stores.fetch(DYNAMIC).secret == fetched.secret
    assert users.names == {user.secret.reveal().decode()}
    stores.close()
    eventually_none(users)


def test_a_lease_that_cannot_be_renewed_is_replaced_in_time(
    bao: Bao, users: Users, opened: Open
) -> None:
    """While the old one still works, the next fetch brings a new one."""
    bao.call("POST", "rabbitmq/config/lease", ttl=6, max_ttl=6)
    stores = opened(bao.environ)
    first = stores.fetch(DYNAMIC)
    time.sleep(4.5)
    assert len(users.names) == 1
    assert stores.fetch(DYNAMIC).secret != first.secret
    assert len(users.names) == 2
    stores.close()
    eventually_none(users)


def test_a_forgotten_lease_is_not_used_again(bao: Bao, users: Users, opened: Open) -> None:
    """After a rotation the next fetch brings a new credential."""
    bao.call("POST", "rabbitmq/config/lease", ttl=60, max_ttl=60)
    stores = opened(bao.environ)
    first = stores.fetch(DYNAMIC)
    assert stores.fetch(DYNAMIC).secret == first.secret
    stores.forget(DYNAMIC)
    assert stores.fetch(DYNAMIC).secret != first.secret
    stores.close()


def logins(bao: Bao) -> list[str]:
    """The accessors of tokens that a role has logged in for."""
    found = []
    for accessor in bao.call("LIST", "auth/token/accessors")["data"]["keys"]:
        about = bao.call("POST", "auth/token/lookup-accessor", accessor=accessor)["data"]
        if about["path"] == "auth/approle/login":
            found.append(accessor)
    return found


def eventually_none(users: Users) -> None:
    """OpenBao takes its users back a moment later."""
    deadline = time.monotonic() + 30
    while users.names and time.monotonic() < deadline:
        time.sleep(0.1)
    assert users.names == set()
