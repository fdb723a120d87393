"""Agents whose calls come over one connection, as behind a gateway, are kept apart behind us."""

import socket
import time

from interlock.model import Mode
from tests.attacks.case import hang_up, open_at, read_answer, secured
from tests.attacks.field import VICTIM, Field

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
CALL = b"GET /v1/models HTTP/1.1\r\nHost: {victim}\r\nAuthorization: Bearer %s\r\n\r\n"


def test_a_late_second_answer_is_not_that_to_another_agent(field: Field) -> None:
    """They share no connection of HTTP/1 to the upstream, which may say too much at any time."""

    def says(one: socket.socket) -> None:
        if len(hostile.heads) > 1:
            one.sendall(ANSWER % (9, b"another's"))
            return
        one.sendall(ANSWER % (4, b"mine"))
        time.sleep(0.3)
        one.sendall(ANSWER % (8, b"too much"))

    with field.of_the_hostile() as hostile:
        hostile.speaks("http/1.1")
        hostile.says, hostile.stays = says, True
        port, heard = field.doors[Mode.OBSERVE].ports[field.base], []
        with open_at(port) as plain, secured(plain, VICTIM) as one:
            for key in (b"{key}", b"{other key}"):
                one.sendall(field.fill(CALL % key))
                heard.append(read_answer(one).rpartition(b"\r\n\r\n")[2])
            hang_up(one)
    assert heard == [b"mine", b"another's"]
