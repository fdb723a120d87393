"""What the answer of an MCP server may show an agent: no tool that it may not call.

A tool that is not what it was pinned as is told to the ledger. What a server asks of the agent in
the middle of an answer (sampling, elicitation, roots) is judged like what the agent asks of it.
Where denials bind, what two clients may read differently is not passed on.
"""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from interlock.calls import rpc
from interlock.calls.body import plain_name
from interlock.calls.mcp import METHODS, UNKNOWN, require_exact
from interlock.calls.sniff import key_pattern
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.ledger.ledger import new_id
from interlock.model import Call, Decision, Effect, Entity, Message, Mode, Pin
from interlock.registry.pins import see, written
from interlock.verdict import Verdict, decision_event

log = logging.getLogger(__name__)

_TOOLS = key_pattern("tools")
_METHOD = key_pattern("method")
_MESSAGE = frozenset({"id", "method", "result", "error"})
_RESULT = frozenset({"tools"})
_TOOL = frozenset({"name"})

type Json = dict[str, Any]
type Judge = Callable[[Call], Decision]


class Offers:
    """Reads and rewrites the messages in the answer to one call."""

    def __init__(self, verdict: Verdict, installation: Installation, judge: Judge) -> None:
        """`judge` decides as the policies now in force would for the agent of `verdict`."""
        self._verdict = verdict
        self._installation = installation
        self._judge = judge
        message = verdict.call.mcp
        self._name = message.server if message else ""
        self.binds = verdict.decision.mode is Mode.ENFORCE

    def rewritten(self, text: bytes) -> bytes | None:
        """What the agent gets in place of a message or a batch; None for itself.

        Raises ValueError for what may hold tools and cannot be read.
        """
        in_utf8 = json.detect_encoding(text) in ("utf-8", "utf-8-sig")
        if in_utf8 and not (_TOOLS.search(text) or _METHOD.search(text)):
            return None
        try:
            data = _strict.decode(text.decode("utf-8-sig"))
            messages = data if isinstance(data, list) else [data]
            for one in messages:
                _require_one_reading(one)
        except (ValueError, RecursionError) as e:
            if self.binds:
                raise ValueError("an answer of an MCP server cannot be read") from e
            return None
        shown = [self._shown(one) for one in messages]
        if all(new is None for new in shown):
            return None
        if not isinstance(data, list):
            return _text(shown[0]) if shown[0] else b""
        return _text([old if new is None else new for old, new in zip(data, shown, strict=True)])

    def _shown(self, message: Any) -> Json | None:
        """A message as the agent gets it; None for as it is."""
        if not isinstance(message, dict):
            return None
        if isinstance(message.get("method"), str):
            return self._asked(message["method"]) if "id" in message else None
        result = message.get("result")
        if isinstance(result, dict) and isinstance(result.get("tools"), list):
            tools = self._allowed(result["tools"])
            return message | {"result": result | {"tools": tools}} if self.binds else None
        return None

    def _allowed(self, tools: list[Any]) -> list[Any]:
        """The tools that the agent may call; what they are is compared with what was pinned."""
        server = self._verdict.call.server
        named: defaultdict[str, list[Json]] = defaultdict(list)
        for one in tools:
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                named[one["name"]].append(one)
        pins = self._noticed(server.name, named) if server else {}
        # Of two by one name nobody knows which one a client takes.
        clear = [(name, same[0]) for name, same in named.items() if len(same) == 1]
        return [tool for name, tool in clear if self._may_call(name, pins)]

    def _may_call(self, tool: str, pins: Mapping[str, Pin]) -> bool:
        if not self.binds:
            return True
        try:
            plain_name(tool)
        except ValueError:
            return False
        pin = pins.get(tool, Pin.UNSEEN)
        message = Message(self._name, "tools/call", tool=tool, pin=pin)
        asked = self._call("call_tool", Entity("Tool", f"{self._name}/{tool}"), message)
        return self._judge(asked).effect is not Effect.DENY

    def _noticed(self, server: str, tools: Mapping[str, list[Json]]) -> dict[str, Pin]:
        """Compare with what was pinned, and keep what is new, without waiting for the disk."""
        pins = self._installation.pins
        shown = {name: written(*same) for name, same in tools.items()}
        news = pins.notice(server, shown)
        found = {name: pins.of(server, name) for name in shown}
        if news:
            changed = sorted(name for name in news if found[name] is Pin.CHANGED)
            body: Json = {"server": server, "tools": sorted(news)[:64], "shown": len(news)}
            if changed:
                log.warning("tools of the MCP server %s changed: %s", server, ascii(changed[:8]))
                body |= {"alert": "tool_changed", "changed": changed[:64]}
            agent, decision = self._verdict.agent.name, self._verdict.decision.id
            kind = "alert" if changed else "discovery"
            event = Event(new_id("evt"), time.time(), kind, agent, decision, body)
            self._installation.ledger.note(event, partial(see, server=server, shown=news))
        return found

    def _asked(self, method: str) -> Json | None:
        """Judge and record what the server asks of the agent.

        What is denied does not reach it. The agent's own call, if it waits for one, ends with an
        error in its place, because nobody will answer the server.
        """
        action, _ = METHODS.get(method, UNKNOWN)
        message = Message(self._name, method[:256])
        call = self._call(action, Entity("McpServer", self._name), message)
        decision, verdict, now = self._judge(call), self._verdict, time.time()
        part = replace(
            verdict,
            decision=decision,
            call=call,
            goal="",
            shadow=(),
            approval="",
            beside=(),
            part_of=verdict.decision.id,
        )
        self._installation.ledger.note(decision_event(part, verdict.declared, now))
        if not decision.refused:
            return None
        waiting = verdict.call.mcp
        if waiting is None or waiting.id is None:
            return {}
        text = f"Interlock: the server may not {action}: {decision.why} (decision {decision.id})"
        return rpc.error(waiting, text, {"decision": decision.label, "decision_id": decision.id})

    def _call(self, action: str, resource: Entity, message: Message) -> Call:
        return replace(self._verdict.call, action=action, resource=resource, mcp=message, batch=())


def _require_one_reading(message: Any) -> None:
    """Raise ValueError for a message that another client may take for something else."""
    if not isinstance(message, dict):
        return
    require_exact(message, _MESSAGE)
    if "method" in message and ("result" in message or "error" in message):
        raise ValueError("a message is a request and an answer at once")
    result = message.get("result")
    if isinstance(result, dict):
        require_exact(result, _RESULT)
        tools = result.get("tools")
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict):
                require_exact(tool, _TOOL)


def _once(pairs: list[tuple[str, Any]]) -> Json:
    """Refuse a key that stands twice: some clients take the first, others the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


_strict = json.JSONDecoder(object_pairs_hook=_once)


def _text(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
