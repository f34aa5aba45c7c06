"""`mailboat webhook list`, `create` and so on: the URLs that a client wants told of what happens to its mail."""

from __future__ import annotations

import urllib.parse
from typing import Any

import click

from mailboat.cli import completion, output
from mailboat.cli.connection import Session
from mailboat.cli.options import connected, overlapping

PATH = "/v1/webhook-endpoints"
COLUMNS = ("id", "url", "events", "state", "failures", "failing_since", "paused_reason")
LOG = ("id", "event", "state", "attempts", "next_try_at", "created_at", "answer")
STATES = ("waiting", "paused", "sending", "delivered", "failed")

_ID = click.argument("identifier", metavar="ID", shell_complete=completion.endpoints)
_EVENTS = click.option(
    "--event", "events", multiple=True, metavar="NAME", help="Only of these events; may be repeated."
)


@click.command("list")
@connected("sender")
def list_(session: Session, form: str) -> None:
    """Show the client's endpoints, and whether they fail."""
    output.show(session.sender().get(PATH), form, COLUMNS)


@click.command("get")
@_ID
@connected("sender")
def get(identifier: str, session: Session, form: str) -> None:
    """Show an endpoint."""
    output.show(session.sender().get(path(identifier)), form)


@click.command("create")
@click.argument("place", metavar="URL")
@_EVENTS
@connected("sender")
def create(place: str, events: tuple[str, ...], session: Session, form: str) -> None:
    """Have a URL told of events. Its secret is shown now and never again."""
    output.show(session.sender().post(PATH, {"url": place, "events": list(events)}), form)


@click.command("update")
@_ID
@click.option("--to", "place", metavar="URL", help="Another address.")
@_EVENTS
@connected("sender")
def update(identifier: str, place: str | None, events: tuple[str, ...], session: Session, form: str) -> None:
    """Change an endpoint's address or events and leave the rest."""
    changes = {name: value for name, value in (("url", place), ("events", list(events))) if value}
    if not changes:
        raise click.UsageError("Nothing to change: give --to or --event.")
    output.show(session.sender().patch(path(identifier), changes), form)


@click.command("delete")
@_ID
@connected("sender")
def delete(identifier: str, session: Session, form: str) -> None:
    """Tell an endpoint nothing more; its log goes too."""
    session.sender().delete(path(identifier))
    output.show({"deleted": identifier}, form)


@click.command("pause")
@_ID
@connected("sender")
def pause(identifier: str, session: Session, form: str) -> None:
    """Tell an endpoint nothing for now; what happens is kept for it."""
    output.show(session.sender().post(path(identifier, "pause")), form)


@click.command("resume")
@_ID
@connected("sender")
def resume(identifier: str, session: Session, form: str) -> None:
    """Tell an endpoint again, beginning with what was kept."""
    output.show(session.sender().post(path(identifier, "resume")), form)


@click.command("rotate")
@_ID
@overlapping("How long the old secret signs too.")
@connected("sender")
def rotate(identifier: str, overlap: int, session: Session, form: str) -> None:
    """Make a new secret. It is shown now and never again."""
    output.show(session.sender().post(path(identifier, "rotate"), {"overlap_seconds": overlap}), form)


@click.command("test")
@_ID
@connected("sender")
def test(identifier: str, session: Session, form: str) -> None:
    """Send an event of type `test`; `mailboat webhook log` shows the answer."""
    output.show(session.sender().post(path(identifier, "test")), form)


@click.command("log")
@_ID
@click.option("--state", type=click.Choice(STATES), help="Only these.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="So many, the newest first.")
@connected("sender")
def log(identifier: str, state: str | None, limit: int, session: Session, form: str) -> None:
    """Show what an endpoint was told, and its last answer."""
    found = session.sender().pages(path(identifier, "deliveries"), "cursor", limit, state=state)
    output.show(found if form == "json" else [{**one, "answer": answer(one)} for one in found], form, LOG)


@click.command("replay")
@_ID
@click.argument("delivery", required=False)
@connected("sender")
def replay(identifier: str, delivery: str | None, session: Session, form: str) -> None:
    """Tell everything again that failed for good, or one DELIVERY."""
    api, place = session.sender(), path(identifier, *(("deliveries", delivery) if delivery else ()), "replay")
    done: int = api.post(place)["replayed"]
    total = done
    while done and not delivery:  # so many at a time as one request does
        done = api.post(place)["replayed"]
        total += done
    output.show({"replayed": total}, form)


COMMANDS = (list_, get, create, update, delete, pause, resume, rotate, test, log, replay)


def answer(delivery: dict[str, Any]) -> str:
    """What came of the last try: a status, or why there is none."""
    if not delivery["tries"]:
        return ""
    last = delivery["tries"][-1]
    return " ".join(str(part) for part in (last["status"], last["detail"]) if part)


def path(*parts: str) -> str:
    return "/".join([PATH, *(urllib.parse.quote(part, safe="") for part in parts)])
