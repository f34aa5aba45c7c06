"""`mailboat suppression`: addresses that must not be mailed again."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from mailboat.cli import output
from mailboat.cli.connection import Api, Session
from mailboat.cli.noun import Noun
from mailboat.cli.options import connected
from mailboat.errors import MailboatError

COLUMNS = ("address", "reason", "source", "detail", "created_at", "expires_at")
REASONS = ("bounce", "complaint", "unsubscribe", "manual")
AT_ONCE = 5_000  # lines of an import per request
CSV, LINES = "text/csv", "application/x-ndjson"


def _scoped(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose the list: the client's own, or with --global everybody's. Passes `api` and `path` on."""

    def wrapped(session: Session, everybody: bool, **given: Any) -> Any:
        api = session.admin() if everybody else session.sender()
        return command(api=api, path="/admin/suppressions" if everybody else "/v1/suppressions", **given)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    token = click.option("--token", "admin_token", envvar="MAILBOAT_ADMIN_TOKEN", help="Admin token, for --global.")
    everybody = click.option("--global", "everybody", is_flag=True, help="The list that holds for every client.")
    return everybody(token(connected("sender")(wrapped)))


@click.group(cls=Noun)
def suppression() -> None:
    """Addresses that must not be mailed again, and why."""


@suppression.command("list")
@click.option("--reason", type=click.Choice(REASONS), help="Only for this reason.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="So many at most.")
@_scoped
def list_(api: Api, path: str, form: str, reason: str | None, limit: int) -> None:
    """Show the list, by address."""
    output.show(api.pages(path, "cursor", limit, reason=reason), form, COLUMNS)


@suppression.command("get")
@click.argument("address")
@_scoped
def get(api: Api, path: str, form: str, address: str) -> None:
    """Show whether an address is suppressed, and why."""
    output.show(api.get(_place(path, address)), form)


@suppression.command("add")
@click.argument("address")
@click.option("--reason", type=click.Choice(REASONS), default="manual", show_default=True, help="Why.")
@click.option("--detail", default="", help="More about it, for people.")
@click.option("--expires", "expires_at", metavar="TIME", help="Until then, such as 2026-12-01T09:00:00Z.")
@_scoped
def add(api: Api, path: str, form: str, **given: Any) -> None:
    """Suppress an address."""
    output.show(api.post(path, given), form)


@suppression.command("remove")
@click.argument("address")
@_scoped
def remove(api: Api, path: str, form: str, address: str) -> None:
    """Let mail go to an address again."""
    api.delete(_place(path, address))
    output.show({"address": address, "removed": True}, form)


@suppression.command("export")
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl"]), default="jsonl", show_default=True)
@click.option("--to", "target", type=click.File("wb", lazy=True), default="-", help="File.  [default: stdout]")
@_scoped
def export(api: Api, path: str, form: str, kind: str, target: IO[bytes]) -> None:
    """Write the whole list as CSV or JSON lines."""
    del form
    for chunk in api.stream(f"{path}/export", format=kind):
        target.write(chunk)


@suppression.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_scoped
def import_(api: Api, path: str, form: str, file: Path) -> None:
    """Suppress every address in a file: CSV with a header (.csv), else JSON lines.

    The exit code is 1 when lines were refused; all others are imported.
    """
    kind = CSV if file.suffix.lower() == ".csv" else LINES
    total: dict[str, Any] = {"imported": 0, "refused": 0, "faults": []}
    with output.progress(f"Importing {file.name}", file.stat().st_size) as advance:
        for before, header, lines in chunks(file.read_bytes(), kind):
            answer = api.upload(f"{path}/import", header + b"".join(lines), kind)
            # A chunk counts its own lines, its copy of the header included.
            shift = before - (1 if header else 0)
            total["imported"] += answer["imported"]
            total["refused"] += answer["refused"]
            total["faults"] += [{**fault, "line": fault["line"] + shift} for fault in answer["faults"]]
            advance(sum(map(len, lines)))
    output.show(total, form)
    if total["refused"]:
        raise MailboatError(f"{file}: {total['refused']} lines were refused.")


def chunks(body: bytes, kind: str) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """The lines of a file, so many at once: how many lines come before, a CSV's header, the lines."""
    lines = body.splitlines(keepends=True)
    header = lines[0] if kind == CSV and lines else b""
    start = 1 if header else 0
    for first in range(start, len(lines), AT_ONCE):
        yield first, header, lines[first : first + AT_ONCE]


def _place(path: str, address: str) -> str:
    return f"{path}/{urllib.parse.quote(address, safe='@')}"
