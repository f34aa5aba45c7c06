"""`mailboat provider`: the way out, and whether it is open."""

from __future__ import annotations

import click

from mailboat.cli import completion, output
from mailboat.cli.connection import Api, Session
from mailboat.cli.noun import Noun
from mailboat.cli.options import connected
from mailboat.errors import MailboatError

COLUMNS = ("name", "kind", "origin", "circuit", "held_open", "reason")
PATH = "/admin/providers"


@click.group(cls=Noun)
def provider() -> None:
    """The providers that mail goes through, and their circuit breakers."""


@provider.command("list")
@connected("admin")
def list_(session: Session, form: str) -> None:
    """Show every provider and the state of its circuit."""
    found = session.admin().get(PATH)
    for one in found:
        one["reason"] = one["history"][0]["reason"] if one["history"] else ""
    output.show(found, form, COLUMNS)


@provider.command("open")
@click.argument("name", shell_complete=completion.providers)
@click.option("--reason", default="", help="Why, for the history.")
@connected("admin")
def open_(session: Session, form: str, name: str, reason: str) -> None:
    """Keep a provider out, until `mailboat provider close`."""
    output.show(_switched(session.admin(), name, "open", reason), form)


@provider.command("close")
@click.argument("name", shell_complete=completion.providers)
@click.option("--reason", default="", help="Why, for the history.")
@connected("admin")
def close(session: Session, form: str, name: str, reason: str) -> None:
    """Let mail through again, whatever failed before."""
    output.show(_switched(session.admin(), name, "close", reason), form)


@provider.command("test")
@click.argument("name", shell_complete=completion.providers)
@connected("admin")
def test(session: Session, form: str, name: str) -> None:
    """Connect and authenticate; nothing is sent."""
    answer = session.admin().post(f"{PATH}/{name}/test")
    output.show(answer, form)
    if not answer["reachable"]:
        raise MailboatError(f"{name} cannot be used: {answer['detail']}")


def _switched(api: Api, name: str, act: str, reason: str) -> dict[str, object]:
    found: dict[str, object] = api.post(f"{PATH}/{name}/{act}", {"reason": reason})
    return {key: value for key, value in found.items() if key != "history"}
