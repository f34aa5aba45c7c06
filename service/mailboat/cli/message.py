"""`mailboat message`: what became of the mail."""

from __future__ import annotations

import urllib.parse
from typing import Any

import click

from mailboat.cli import output
from mailboat.cli.connection import Session
from mailboat.cli.noun import Noun
from mailboat.cli.options import connected, pair

COLUMNS = ("id", "status", "template", "to", "created_at")


@click.group(cls=Noun)
def message() -> None:
    """Find messages, read what became of them, cancel those that wait."""


@message.command("list")
@click.option("--status", help="Only these: queued, sent, failed, …")
@click.option("--template", help="Only of this template.")
@click.option("--to", "recipient", metavar="ADDRESS", help="Only to this address.")
@click.option("--lane", type=click.Choice(["high", "normal", "bulk"]), help="Only of this lane.")
@click.option("--tag", type=pair, multiple=True, metavar="NAME=VALUE", help="Only with this tag; may be repeated.")
@click.option("--since", metavar="TIME", help="Only accepted then or later, such as 2026-12-01T09:00:00Z.")
@click.option("--until", metavar="TIME", help="Only accepted before.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many, the newest first.")
@connected("sender")
def list_(tag: tuple[tuple[str, str], ...], limit: int, session: Session, form: str, **filters: Any) -> None:
    """Show the newest messages of the client."""
    tags = [f"{name}:{value}" for name, value in tag]
    found = session.sender().pages("/v1/messages", "cursor", limit, tag=tags, **filters)
    output.show(found, form, COLUMNS)


@message.command("get")
@click.argument("identifier", metavar="ID")
@connected("sender")
def get(identifier: str, session: Session, form: str) -> None:
    """Show a message with its recipients, attempts and events."""
    output.show(session.sender().get(path(identifier)), form)


@message.command("cancel")
@click.argument("identifier", metavar="ID")
@connected("sender")
def cancel(identifier: str, session: Session, form: str) -> None:
    """Stop a message that waits for its time."""
    output.show(session.sender().post(f"{path(identifier)}/cancel"), form)


def path(identifier: str) -> str:
    return f"/v1/messages/{urllib.parse.quote(identifier, safe='')}"
