"""`interlock webhook`."""

from tests.alerts.receiver import Receiver
from tests.cli.terminal import Terminal

DEAD = "http://127.0.0.1:9/hidden-path"


def test_from_adding_to_delivery(terminal: Terminal) -> None:
    """On an empty machine, without a front door: add, try, have something happen, send."""
    with Receiver() as receiver:
        words = ("webhook", "add", receiver.url, "--event", "quarantine", "--json")
        made = terminal.does(*words).object
        assert made["secret"].startswith("whsec_")
        assert terminal.does("webhook", "test", receiver.url, "--json").object["answer"] == "200"
        terminal.does("agent", "add", "one")
        terminal.does("agent", "quarantine", "one")
        assert terminal.does("webhook", "send", "--json").object["delivered"] == 1
        told, cut_off = receiver.news
    assert (told["type"], cut_off["type"], cut_off["agent"]) == ("test", "quarantine", "one")
    (delivery,) = terminal.does("webhook", "deliveries", "--json").objects
    assert (delivery["event"], delivery["state"]) == (cut_off["id"], "delivered")
    terminal.does("webhook", "rm", made["id"])
    assert terminal.does("webhook", "list", "--json").out == ""


def test_a_dead_receiver_is_an_answer_of_no(lived_in: Terminal) -> None:
    """Of `test` and `send`; what waits is to be seen, and no path of a URL."""
    lived_in.does("webhook", "add", DEAD)
    assert "ConnectError" in lived_in.fails(1, "webhook", "test", DEAD)
    lived_in.does("agent", "revoke", "intern-agent")
    assert lived_in.run("webhook", "send").code == 1
    shown = lived_in.does("webhook", "deliveries").out + lived_in.does("webhook", "list").out
    shown += lived_in.does("audit", "tail").out
    assert "waiting" in shown
    assert "hidden-path" not in shown


def test_refuses_a_url_in_the_clear(lived_in: Terminal) -> None:
    """One line that says what to do; nothing is written."""
    before = lived_in.events()
    assert "only https" in lived_in.fails(2, "webhook", "add", "http://hooks.example/x")
    assert "no webhook" in lived_in.fails(2, "webhook", "rm", "https://hooks.example/x")
    assert "--event" in lived_in.fails(2, "webhook", "add", DEAD, "--event", "everything")
    assert lived_in.events() == before
