"""`mailboat webhook`: the endpoints of a client; and without a server, what a provider's webhook means."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mailboat.cli import endpoint
from mailboat.cli.noun import Noun
from mailboat.errors import MailboatError
from mailboat.webhooks import registry

SHOWN = ("event", "recipient", "provider_message_id", "event_id", "at", "bounce", "reason", "tags", "metadata")


@click.group(cls=Noun)
def webhook() -> None:
    """Where clients want to be told of events, and reading the webhooks that providers send."""


for command in endpoint.COMMANDS:
    webhook.add_command(command)


@webhook.command("explain")
@click.argument("provider", metavar=f"[{'|'.join(registry.KINDS)}]")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--headers", type=click.Path(path_type=Path), help="File with the request's headers, NAME: VALUE a line.")
def explain(provider: str, file: Path, headers: Path | None) -> None:
    """Print the events in a webhook's body as JSON, without verifying it. FILE may be - for stdin."""
    import msgspec

    from mailboat.webhooks.base import Malformed

    if provider not in registry.KINDS:
        raise MailboatError(f"{provider!r} sends no webhooks; use {', '.join(registry.KINDS)}.")
    if headers is not None:
        check_headers(_read(headers), headers)
    try:
        found = registry.of(provider).parse(_read(file))
    except Malformed as error:
        raise MailboatError(f"{file}: {error}.") from None
    shown = [{name: getattr(event, name) for name in SHOWN} for event in found]
    click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2))


def check_headers(raw: bytes, place: Path) -> dict[str, str]:
    """Headers by their lower-case name. Raises MailboatError naming the line."""
    found: dict[str, str] = {}
    for number, line in enumerate(raw.decode("latin-1").splitlines(), 1):
        if line.strip() and not line.upper().startswith(("POST ", "HTTP/")):
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise MailboatError(f"{place}: line {number} is not NAME: VALUE.")
            found[name.strip().lower()] = value.strip()
    return found


def _read(place: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(place) == "-" else place.read_bytes()
    except OSError as error:
        raise MailboatError(f"{place} cannot be read: {error.strerror}.") from None
