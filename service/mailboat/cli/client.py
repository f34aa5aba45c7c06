"""`mailboat client`: who may send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mailboat.cli import completion, output
from mailboat.cli.connection import Session
from mailboat.cli.noun import Noun
from mailboat.cli.options import Identity, connected, identity

COLUMNS = (
    "namespace",
    "name",
    "suspended",
    "lane",
    "rate_per_minute",
    "quota_monthly",
    "accepted_this_month",
    "senders",
    "templates",
)
WITHOUT_END = "none"
LISTS = {"sender": "senders", "template": "templates", "provider": "route"}


def _quota(text: str) -> int | str:
    if text == WITHOUT_END:
        return text
    if not text.isdecimal():
        raise click.BadParameter(f"{text!r} is neither a number nor {WITHOUT_END!r}.")
    return int(text)


def _fields(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options for everything about a client that can be changed."""
    for option in (
        click.option("--on-uncertain", type=click.Choice(["resend", "hold"]), help="When it may have been sent."),
        click.option("--quota", type=_quota, metavar="NUMBER|none", help="Mails a month."),
        click.option("--burst", type=click.IntRange(1), help="Mails at once, above the rate."),
        click.option("--per-minute", type=click.IntRange(1), help="Mails a minute."),
        click.option("--lane", type=click.Choice(["high", "normal", "bulk"]), help="Which mail goes first."),
        click.option("--provider", multiple=True, metavar="NAME[=WEIGHT]", help="Route, in order; may be repeated."),
        click.option("--template", multiple=True, metavar="PATTERN", help="May use; may be repeated. '': all."),
        click.option("--sender", multiple=True, metavar="ADDRESS", help="May send as; the first is the default From."),
    ):
        command = option(command)
    return command


def body(given: dict[str, Any]) -> dict[str, Any]:
    """The API's fields for the options that were given."""
    named: dict[str, Any] = {
        **{field: list(filter(None, given[option])) for option, field in LISTS.items() if given[option]},
        "lane": given["lane"],
        "rate_per_minute": given["per_minute"],
        "rate_burst": given["burst"],
        "on_uncertain": given["on_uncertain"],
    }
    found = {field: value for field, value in named.items() if value is not None}
    if given["quota"] is not None:
        found["quota_monthly"] = None if given["quota"] == WITHOUT_END else given["quota"]
    return found


@click.group(cls=Noun)
def client() -> None:
    """Create, read and change clients: who may send."""


@client.command("create")
@click.argument("place", type=identity, metavar="[NAMESPACE/]NAME")
@_fields
@connected("admin")
def create(place: Identity, session: Session, form: str, **given: Any) -> None:
    """Create a client. `mailboat key create` then makes its key."""
    made = session.admin().post("/admin/clients", {**place._asdict(), **body(given)})
    output.show(made, form)


@client.command("get")
@click.argument("place", type=identity, metavar="[NAMESPACE/]NAME", shell_complete=completion.clients)
@connected("admin")
def get(place: Identity, session: Session, form: str) -> None:
    """Show a client."""
    output.show(session.admin().get(place.path), form)


@client.command("list")
@connected("admin")
def list_(session: Session, form: str) -> None:
    """Show all clients."""
    output.show(session.admin().pages("/admin/clients", "after"), form, COLUMNS)


@client.command("update")
@click.argument("place", type=identity, metavar="[NAMESPACE/]NAME", shell_complete=completion.clients)
@_fields
@connected("admin")
def update(place: Identity, session: Session, form: str, **given: Any) -> None:
    """Change what is given and leave the rest."""
    changes = body(given)
    if not changes:
        raise click.UsageError("Nothing to change: give at least one option.")
    output.show(session.admin().patch(place.path, changes), form)


@client.command("suspend")
@click.argument("place", type=identity, metavar="[NAMESPACE/]NAME", shell_complete=completion.clients)
@connected("admin")
def suspend(place: Identity, session: Session, form: str) -> None:
    """Stop a client from sending, at once."""
    output.show(session.admin().post(f"{place.path}/suspend"), form)


@client.command("resume")
@click.argument("place", type=identity, metavar="[NAMESPACE/]NAME", shell_complete=completion.clients)
@connected("admin")
def resume(place: Identity, session: Session, form: str) -> None:
    """Let a suspended client send again."""
    output.show(session.admin().post(f"{place.path}/resume"), form)
