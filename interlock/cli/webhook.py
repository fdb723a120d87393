"""`interlock webhook`: have what happens posted to a URL, signed, until it is taken."""

import asyncio
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from interlock.alerts.outbox import newest, news, trial
from interlock.alerts.sender import Sender, new_client, post
from interlock.alerts.webhooks import USUAL, Address, Subject, Webhook, listed
from interlock.cli.exits import NoError
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, moment, say, say_json, say_table
from interlock.installation import Installation

app = typer.Typer(help="Webhooks: what happens is posted to these URLs, signed.")

Reference = Annotated[str, typer.Argument(metavar="URL|ID", help="Which webhook.")]


@app.command()
def add(
    context: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="https, or http to this machine itself.")
    ],
    event: Annotated[
        list[Subject] | None,
        typer.Option(
            metavar="EVENT",
            help="secret_access, denial, quarantine, mode_change, alert or checkpoint; "
            "repeatable. Default: all but checkpoint.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a webhook and print the secret that signs for it, this once."""
    subjects = tuple(dict.fromkeys(event or USUAL))
    with changing(settings_of(context), create=True) as home:
        webhook, key = home.webhooks.add(url, subjects)
    shown = key.reveal().decode()
    if as_json:
        say_json(_public(webhook) | {"secret": shown})
        return
    say(f"Webhook {webhook.id} posts to {webhook.origin}: {', '.join(subjects)}.")
    say("Its receiver checks the signature with this secret, which is shown this once:")
    say()
    say(f"  {shown}", style="bold")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the webhooks; of their URLs, which may hold a key, only the origin."""
    with reading(settings_of(context)) as records:
        found = listed(records.database)
    if as_json:
        for webhook in found:
            say_json(_public(webhook))
        return
    rows = ((w.id, w.origin, ", ".join(w.subjects), moment(w.created_at)) for w in found)
    say_table(("id", "origin", "events", "added"), rows)


@app.command()
def rm(context: typer.Context, reference: Reference, as_json: Json = False) -> None:
    """Remove a webhook and what waits for it."""
    with changing(settings_of(context)) as home:
        webhook_id = home.webhooks.find(reference)
        home.webhooks.remove(webhook_id)
    if as_json:
        say_json({"id": webhook_id, "removed": True})
        return
    say(f"Webhook {webhook_id} is removed.")


@app.command("test")
def try_(context: typer.Context, reference: Reference, as_json: Json = False) -> None:
    """Post a test event now and show the answer; exit 1 when it is not taken."""
    with changing(settings_of(context)) as home:
        webhook_id = home.webhooks.find(reference)
        address = home.webhooks.address(webhook_id)
    answer = asyncio.run(_try(address))
    taken = answer.startswith("2")
    if as_json:
        say_json({"id": webhook_id, "answer": answer, "delivered": taken})
        raise typer.Exit(0 if taken else 1)
    if not taken:
        raise NoError(f"webhook {webhook_id} did not take the test event: {answer}")
    say(f"Webhook {webhook_id} took the test event: {answer}.")


@app.command()
def send(context: typer.Context, as_json: Json = False) -> None:
    """Post once what is due, where no front door runs; exit 1 when something waits on.

    A running front door does this by itself.
    """
    with changing(settings_of(context)) as home:
        delivered, waiting = asyncio.run(_drain(home))
    if as_json:
        say_json({"delivered": delivered, "webhooks_waiting": waiting})
        raise typer.Exit(1 if waiting else 0)
    say(f"{delivered} delivered.")
    if waiting:
        raise NoError(f"something waits on for {waiting} webhooks: `interlock webhook deliveries`")


@app.command()
def deliveries(
    context: typer.Context,
    number: Annotated[
        int, typer.Option("--number", "-n", metavar="N", min=1, max=100_000, help="How many.")
    ] = 50,
    as_json: Json = False,
) -> None:
    """Show the newest of what was posted, waits or was given up, oldest first."""
    with reading(settings_of(context)) as records:
        found = newest(records.database, number)
    if as_json:
        for delivery in found:
            say_json({k: v for k, v in asdict(delivery).items() if k != "body"})
        return
    rows = (
        (d.event, d.webhook, d.subject, d.state, d.attempts, d.answer or "-", moment(d.due_at))
        for d in found
    )
    say_table(("event", "webhook", "what", "state", "attempts", "answer", "due"), rows)


async def _try(address: Address) -> str:
    """Post an event that happened nowhere, outside the outbox."""
    body = news("test", trial(time.time())).encode()
    async with new_client() as client:
        return await post(client, address, body)


async def _drain(home: Installation) -> tuple[int, int]:
    return await Sender(home).drain()


def _public(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "origin": webhook.origin,
        "events": list(webhook.subjects),
        "created_at": webhook.created_at,
    }
