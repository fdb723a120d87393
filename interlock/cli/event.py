"""An event of the ledger in the words of people: one line of a list, or the story of a decision."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from interlock.cli.printing import moment, say_styled

type Event = Mapping[str, Any]
type Field = tuple[str, Any]

STYLES = {"allow": "green", "deny": "red", "would_deny": "yellow", "needs_approval": "magenta"}


def say_event(event: Event) -> None:
    """Print one event on one line that opens with the id to ask for."""
    label = event["body"].get("label", "")
    say_styled(
        (event["decision_id"] or event["id"], "bold"),
        (f"  {moment(event['ts'])}  ", "dim"),
        (f"{event['kind']:<13} ", "bold red" if event["kind"] == "alert" else ""),
        (f"{label} " if label else "", STYLES.get(label, "")),
        (_SUMMARIES.get(event["kind"], _anything)(event), ""),
    )


def story(events: Sequence[Event]) -> Iterator[Field]:
    """Tell what belongs to one decision, as names and values in the order to read them."""
    for event in events:
        yield from _STORIES.get(event["kind"], _other)(event)
    for event in events:
        yield "ledger", f"{event['kind']} {event['id']}, node {event['node']} seq {event['seq']}"


def _decision(event: Event) -> Iterator[Field]:
    body = event["body"]
    yield "decision", f"{body.get('label')}  {event['decision_id']}"
    yield "when", moment(event["ts"])
    yield "who", f"{event['agent']} ({body.get('trust')}) from {body.get('source_ip') or '-'}"
    facts = body.get("facts") or {}
    if facts.get("owner") or facts.get("actors"):
        yield "on authority of", " > ".join(facts.get("actors") or [facts["owner"]])
    yield "what", f"{body.get('action')} {body.get('resource')}"
    if secret := facts.get("secret"):
        yield "and", f'access_secret Secret::"{secret}"'
    yield "request", f"{body.get('method')} {body.get('authority')}{body.get('path')}"
    yield "body", f"{body.get('body_bytes')} bytes, sha256 {body.get('body_sha256')}"
    for name, field in (("query", "query_fields"), ("fields", "body_fields")):
        if body.get(field):
            yield name, ", ".join(body[field])
    for name, value in body.get("arguments", {}).items():
        yield "argument", f"{name} = {json.dumps(value)}"
    for name, field in (("intent", "intent"), ("category", "intent_category"), ("goal", "goal")):
        yield name, body.get(field) or "-"
    if told := {name: value for name, value in facts.items() if name != "decided_at"}:
        yield "facts", ", ".join(f"{name} {_short(value)}".strip() for name, value in told.items())
    for policy_id, description in body.get("reasons") or [["", "no policy permits it"]]:
        yield "because", f"{policy_id}: {description}" if policy_id else description
    micros = f"in {body.get('micros')} µs, policy set {body.get('policy_set')}"
    yield "decided", f"at the {body.get('stage')} stage, {body.get('mode')} mode, {micros}"
    yield "claimed", ", ".join(_claims(body)) or "-"


def _claims(body: Mapping[str, Any]) -> Iterator[str]:
    for name, field in (("CONNECT", "connect"), ("SNI", "sni"), ("Host", "host")):
        if body.get(field):
            yield f"{name} {body[field]}"


def _secret_access(event: Event) -> Iterator[Field]:
    body = event["body"]
    yield "secret", f"{body.get('secret')} for {body.get('authority')}, token {body.get('token')}"


def _outcome(event: Event) -> Iterator[Field]:
    body = event["body"]
    yield "outcome", _result(event)
    used = "was put on the wire" if body.get("redeemed") else "was not used"
    forms = f" ({', '.join(body['scrubbed_forms'])})" if body.get("scrubbed_forms") else ""
    times = "once" if body.get("scrubbed") == 1 else f"{body.get('scrubbed') or 0} times"
    yield "", f"the secret {used}, and {times} removed from the answer{forms}"
    if steps := body.get("micros"):
        in_turn = sorted(steps.items(), key=itemgetter(1))
        yield "steps", ", ".join(f"{step} {micros / 1000:.1f}" for step, micros in in_turn) + " ms"
    yield "", f"dialled {body.get('dialled') or '-'} {body.get('tls') or 'without TLS'}"
    if "tokens_in" in body:
        yield "", f"used {_used(body)}"
    if certificate := body.get("certificate"):
        yield "", f"certificate {certificate}"


def _short(value: Any) -> str:
    """One fact: a list by its entries, what holds by its name alone."""
    if isinstance(value, list):
        return "+".join(map(str, value))
    return "" if value is True else str(value)


def _used(body: Mapping[str, Any]) -> str:
    cost = "" if body.get("cost_usd") is None else f", {body['cost_usd']:.6f} USD"
    mark = " (estimated)" if body.get("estimated") else ""
    return f"{body['tokens_in']} tokens in, {body.get('tokens_out')} out{cost}{mark}"


def _other(event: Event) -> Iterator[Field]:
    yield event["kind"], moment(event["ts"])
    for name, value in event["body"].items():
        yield name, value if isinstance(value, str) else json.dumps(value)


def _call(event: Event) -> str:
    body = event["body"]
    what = f"{body.get('action')} {body.get('resource')}"
    because = ", ".join(dict.fromkeys(str(policy_id) for policy_id, _ in body.get("reasons", ())))
    return f"{event['agent']} {what} at {body.get('authority')} [{because or 'no policy'}]"


def _access(event: Event) -> str:
    body = event["body"]
    return f"{event['agent']} {body.get('secret')} for {body.get('authority')}"


def _result(event: Event) -> str:
    body = event["body"]
    answer = body.get("status") or body.get("error") or "no answer"
    if ended := body.get("ended"):
        answer = f"{ended}, {answer}"
    if "bytes_up" not in body:
        return str(answer)
    traffic = f"{body.get('bytes_up')} bytes up, {body.get('bytes_down')} down"
    return f"{answer} in {body.get('millis')} ms, {traffic}"


def _alert(event: Event) -> str:
    body = event["body"]
    if changed := body.get("changed"):
        tools = f"{', '.join(map(str, changed))} of the MCP server {body.get('server')}"
        return f"{event['agent']} was shown tools that are not what they were: {tools}"
    where = f"in {body.get('where')} of a call to {body.get('authority')}"
    return f"{event['agent']} used honeytoken {body.get('honeytoken')} {where}"


def _ended(event: Event) -> str:
    return f"{event['agent']} {_result(event)}"


def _discovered(event: Event) -> str:
    """What one scan came to, what became of one thing that it saw, or the tools of a server."""
    body = event["body"]
    if tools := body.get("tools"):
        new = f"{body.get('shown')} new tools: {', '.join(map(str, tools))}"
        return f"{event['agent']} was shown by the MCP server {body.get('server')} {new}"
    sources = ", ".join(map(str, body.get("sources", ())))
    if "change" not in body:
        counts = (f"{body.get(name)} {name}" for name in ("new", "changed", "unchanged", "stale"))
        return f"looked at {sources}: {', '.join(counts)}"
    findings = [finding.get("id") for finding in body.get("findings", ())]
    told = dict.fromkeys(map(str, (*body.get("signals", ()), *findings)))
    what = " ".join(map(str, (body.get("change"), body.get("kind"), body.get("name"))))
    return f"{what}, seen by {sources} [{', '.join(told) or 'no risk'}]"


def _checkpoint(event: Event) -> str:
    """How far it reaches; its line is for programs."""
    body = event["body"]
    return "up to " + ", ".join(f"{n} seq {seq}" for n, seq in (body.get("heads") or {}).items())


def _anything(event: Event) -> str:
    return " ".join(f"{name}={json.dumps(value)}" for name, value in event["body"].items())


_SUMMARIES: Mapping[str, Callable[[Event], str]] = {
    "decision": _call,
    "secret_access": _access,
    "outcome": _ended,
    "discovery": _discovered,
    "alert": _alert,
    "checkpoint": _checkpoint,
}
_STORIES: Mapping[str, Callable[[Event], Iterator[Field]]] = {
    "decision": _decision,
    "secret_access": _secret_access,
    "outcome": _outcome,
}
