"""`mailboat dlq`: mail that stopped: dead letters, failed mail, and held mail that waits for a person."""

from __future__ import annotations

import sys
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from mailboat.cli import output
from mailboat.cli.connection import Api, Refused, Session
from mailboat.cli.noun import Noun
from mailboat.cli.options import connected, seconds
from mailboat.errors import MailboatError

COLUMNS = ("id", "status", "client", "template", "to", "attempt_count", "provider", "error", "stopped_at")
PLACES = {"dead": "/admin/dead-letters", "failed": "/admin/dead-letters", "held": "/admin/held"}
PARTS = ("html", "text", "source")


def moment(text: str) -> str:
    """A time such as 2026-12-01T09:00:00Z, or how long ago: 90s, 30m, 24h, 7d."""
    if text[:1].isdigit() and text[-1:] in "smhd":
        return (datetime.now(UTC) - timedelta(seconds=seconds(text))).isoformat()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a time such as 2026-12-01T09:00:00Z nor 24h ago.") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def _narrowed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose some of them."""
    for option in (
        click.option("--until", type=moment, metavar="TIME", help="Stopped before."),
        click.option("--since", type=moment, metavar="TIME", help="Stopped then or later, or within 30m, 24h, 7d."),
        click.option("--reason", "error", metavar="TEXT", help="With this in the last error."),
        click.option("--provider", help="Stopped at this provider."),
        click.option("--template", help="Of this template."),
        click.option("--client", metavar="[NAMESPACE/]NAME", help="Of this client."),
    ):
        command = option(command)
    return command


def _status(*words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--status",
        type=click.Choice(words),
        default="dead",
        show_default=True,
        help="dead: out of attempts; failed: refused for good"
        + ("; held: may have been sent." if "held" in words else "."),
    )


def _chosen(command: Callable[..., Any]) -> Callable[..., Any]:
    """IDs, or options that choose some, or all."""
    everything = click.option("--all", "everything", is_flag=True, help="All of them.")
    return click.argument("ids", nargs=-1, metavar="[ID]...")(_narrowed(everything(command)))


@click.group(cls=Noun)
def dlq() -> None:
    """Dead letters, failed mail, and held mail that waits for a person."""


@dlq.command("list")
@_status("dead", "failed", "held")
@_narrowed
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="So many, the newest first.")
@connected("admin")
def list_(status: str, limit: int, session: Session, form: str, **filters: Any) -> None:
    """Show what stopped, the newest first."""
    found = session.admin().pages(PLACES[status], "cursor", limit, **_query(status, filters))
    output.show(found, form, COLUMNS)


@dlq.command("reasons")
@_status("dead", "failed")
@_narrowed
@connected("admin")
def reasons(status: str, session: Session, form: str, **filters: Any) -> None:
    """Show why they stopped, the commonest reason first."""
    found = session.admin().get("/admin/dead-letters/reasons", **_query(status, filters))
    output.show(found, form, ("messages", "latest", "error"))


@dlq.command("show")
@click.argument("identifier", metavar="ID")
@click.option("--part", type=click.Choice(PARTS), help="Only this part of the mail, as it is.")
@connected("admin")
def show(identifier: str, part: str | None, session: Session, form: str) -> None:
    """Show a message with every attempt, what the provider said, and its mail."""
    path = _path("/admin/dead-letters", identifier)
    if part == "source":
        for chunk in session.admin().stream(f"{path}/raw"):
            sys.stdout.buffer.write(chunk)
        return
    found = session.admin().get(path)
    mail = found["mail"]
    if part is not None:
        if mail[part] is None:
            raise MailboatError(mail["fault"] or f"The mail has no {part}.")
        click.echo(mail[part])
    elif form == "json":
        output.show(found, form)
    else:
        click.echo(output.listing({name: value for name, value in found.items() if name != "mail"}))
        click.echo("\n".join(["", "mail", *(f"  {line}" for line in _words(mail))]))


@dlq.command("replay")
@_chosen
@_status("dead", "failed")
@connected("admin")
def replay(status: str, session: Session, form: str, **given: Any) -> None:
    """Queue some again, with attempts that begin anew: by ID, by what they have in common, or --all."""
    _act(session.admin(), form, "replay", "replayed", status, **given)


@dlq.command("release")
@_chosen
@connected("admin")
def release(session: Session, form: str, **given: Any) -> None:
    """Send held mail again, though it may have arrived."""
    _act(session.admin(), form, "release", "released", "held", **given)


@dlq.command("fail")
@_chosen
@connected("admin")
def fail(session: Session, form: str, **given: Any) -> None:
    """Do not send held mail again."""
    _act(session.admin(), form, "fail", "failed", "held", **given)


def _act(
    api: Api, form: str, verb: str, done: str, status: str, ids: tuple[str, ...], everything: bool, **filters: Any
) -> None:
    """Raises click.UsageError unless it is plain which are meant; MailboatError when some were refused."""
    narrowing = {name: value for name, value in filters.items() if value is not None}
    if sum(map(bool, (ids, narrowing, everything))) != 1:
        raise click.UsageError("Say which: IDs, or options that choose some, or --all.")
    if ids:
        _act_on_each(api, form, verb, done, status, ids)
    else:
        output.show(_act_on_all(api, f"{PLACES[status]}/{verb}", done, _query(status, narrowing)), form)


def _act_on_each(api: Api, form: str, verb: str, done: str, status: str, ids: tuple[str, ...]) -> None:
    refused: list[dict[str, str]] = []
    with output.progress(verb.capitalize(), len(ids)) as told:
        for identifier in ids:
            try:
                api.post(f"{_path(PLACES[status], identifier)}/{verb}")
            except Refused as refusal:
                refused.append({"id": identifier, "detail": str(refusal)})
            told(1)
    output.show({done: len(ids) - len(refused), "refused": refused}, form)
    if refused:
        raise MailboatError(f"{len(refused)} of {len(ids)} were not {done}.")


def _act_on_all(api: Api, path: str, done: str, wanted: dict[str, Any]) -> dict[str, int]:
    """What one request leaves the next one does, until none remain of those that had stopped at the beginning."""
    answer = api.post(path, wanted)
    total: int = answer[done]
    label = path.rpartition("/")[2].capitalize()
    with output.progress(label, total + answer["remaining"]) as told:
        told(total)
        while answer["remaining"] and answer[done]:
            answer = api.post(path, {**wanted, "until": answer["until"]})
            total += answer[done]
            told(answer[done])
    return {done: total, "remaining": answer["remaining"]}


def _query(status: str, filters: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in filters.items() if value is not None}
    return given if status == "held" else {"status": status, **given}


def _words(mail: Mapping[str, Any]) -> list[str]:
    """Headers and text, for people."""
    if mail["fault"]:
        return [mail["fault"]]
    head = output.aligned([[name, output.text(value)] for name, value in mail["headers"].items()])
    return [*head, "", *(mail["text"] or mail["html"] or "").splitlines()]


def _path(place: str, identifier: str) -> str:
    return f"{place}/{urllib.parse.quote(identifier, safe='')}"
