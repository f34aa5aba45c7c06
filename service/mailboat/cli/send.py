"""`mailboat send`: one mail, and with --watch what becomes of it."""

from __future__ import annotations

import time
from typing import Any

import click

from mailboat.cli import completion, message, output
from mailboat.cli.connection import Api, Session
from mailboat.cli.options import attachment, connected, content, mapping, pair
from mailboat.errors import MailboatError

UNDER_WAY = {"scheduled", "queued", "sending"}
BAD = {"failed", "dead", "cancelled", "held", "bounced", "rejected", "complained"}
LOOK_SECONDS = 0.2


@click.command()
@click.argument("template", required=False, shell_complete=completion.templates)
@click.option("--to", multiple=True, required=True, metavar="ADDRESS", help="Recipient; may be repeated.")
@click.option("--cc", multiple=True, metavar="ADDRESS", help="May be repeated.")
@click.option("--bcc", multiple=True, metavar="ADDRESS", help="May be repeated.")
@click.option("--from", "sender", metavar="ADDRESS", help="Sender.  [default: the client's first]")
@click.option("--reply-to", multiple=True, metavar="ADDRESS", help="May be repeated.")
@click.option("--data", type=mapping, metavar="JSON|@FILE", help="Data of the template.")
@click.option("--subject", help="With --html or --text, or in place of the template's.")
@click.option("--html", type=content, metavar="TEXT|@FILE", help="HTML part.")
@click.option("--text", type=content, metavar="TEXT|@FILE", help="Text part.")
@click.option(
    "--attach",
    "attachments",
    type=attachment,
    multiple=True,
    metavar="FILE|URL",
    help="A file here, or one that the server fetches; may be repeated.",
)
@click.option("--locale", help="Language of the template, such as de.")
@click.option("--lane", type=click.Choice(["high", "normal", "bulk"]), help="Which mail goes first.")
@click.option("--send-at", metavar="TIME", help="Not before this time, such as 2026-12-01T09:00:00Z.")
@click.option("--tag", "tags", type=pair, metavar="NAME=VALUE", multiple=True, help="May be repeated.")
@click.option("--idempotency-key", metavar="KEY", help="The same key never sends twice.")
@click.option("--watch", is_flag=True, help="Wait until the mail is sent or has failed.")
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to wait at most.")
@connected("sender")
def send(idempotency_key: str | None, watch: bool, timeout: float, session: Session, form: str, **given: Any) -> None:
    """Send a mail: a TEMPLATE with --data, or --subject with --html or --text.

    With --watch the exit code is 0 once a provider took the mail and 1 when none did.
    """
    body, api = request(given), session.sender()
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    answer = api.post("/v1/send", body, headers)
    if watch:
        answer = final(api, answer["id"], timeout)
    output.show(answer, form)
    if watch and answer["status"] in BAD:
        raise MailboatError(f"The mail is {answer['status']}.")


def request(given: dict[str, Any]) -> dict[str, Any]:
    """The body of POST /v1/send for the options that were given. Raises click.UsageError."""
    has_words = given["html"] is not None or given["text"] is not None
    if bool(given["template"]) == has_words:
        raise click.UsageError("Give either a TEMPLATE, or --subject with --html or --text.")
    body = {("from" if name == "sender" else name): value for name, value in given.items()}
    body["tags"] = dict(given["tags"])
    return {name: list(value) if isinstance(value, tuple) else value for name, value in body.items() if value}


def final(api: Api, identifier: str, timeout: float) -> dict[str, Any]:
    """The message once it is no longer under way; tells each change on stderr. Raises MailboatError after `timeout`."""
    deadline, told = time.monotonic() + timeout, ""
    while True:
        found: dict[str, Any] = api.get(message.path(identifier))
        if found["status"] != told:
            told = found["status"]
            click.echo(f"{identifier}: {told}", err=True)
        if told not in UNDER_WAY:
            return found
        if time.monotonic() >= deadline:
            raise MailboatError(f"{identifier} is still {told}: `mailboat message get {identifier}` shows why.")
        time.sleep(LOOK_SECONDS)
