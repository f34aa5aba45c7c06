"""What apply, get, describe, delete, diff and export share: where the records are, and who wants what from them."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import click

from mailboat import settings
from mailboat.cli import folder, postgres
from mailboat.db import engine
from mailboat.declare.declarer import FIXED, Declarer
from mailboat.declare.seal import Sealer
from mailboat.errors import ConfigurationError, MailboatError
from mailboat.providers import registry
from mailboat.render.pools import Pools
from mailboat_crds.models import KINDS, Kind

ACTOR = "apply"


class Records:
    """The database, and the data folder with the credentials of clients."""

    def __init__(self, pool: asyncpg.Pool, data: Path, chosen: settings.Settings, url: str) -> None:
        self.pool, self._data = pool, data
        self._renderer = Pools(1)
        fixed = {*FIXED, *(name for name, _ in registry.names(chosen))}
        self.declarer = Declarer(pool, self._renderer, Sealer(chosen.sealing_key), url=url, actor=ACTOR, fixed=fixed)

    def secret_path(self, namespace: str, name: str) -> Path:
        return self._data / "secrets" / namespace / f"{name}.json"

    def held(self, namespace: str, name: str) -> dict[str, str] | None:
        """The credentials of a client as they were written, None when they are not there."""
        try:
            found = json.loads(self.secret_path(namespace, name).read_text())
        except (OSError, ValueError):
            return None
        return {key: text for key, text in found.items() if isinstance(text, str)} if isinstance(found, dict) else None

    def write_secret(self, namespace: str, name: str, content: Mapping[str, str]) -> Path:
        """Mode 0600, in folders of mode 0700."""
        path = self.secret_path(namespace, name)
        for place in (self._data, path.parent.parent, path.parent):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.write(path, json.dumps(dict(content), indent=2))
        return path

    async def close(self) -> None:
        await self._renderer.close()


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[Records]:
    """Raises MailboatError when there is no database, or none that is migrated."""
    chosen = settings.load({**os.environ, **of_folder(data)})
    url = str(folder.credentials(data).get("url") or chosen.url)
    pool = await engine.pool(chosen.database_url, name="mailboat-apply", size=4)
    try:
        await _probe(pool, data)
        records = Records(pool, data, chosen, url)
        try:
            yield records
        finally:
            await records.close()
    finally:
        await asyncio.wait_for(pool.close(), 5)


async def _probe(pool: asyncpg.Pool, data: Path) -> None:
    try:
        await pool.fetchval("select 1 from declared limit 1")
    except asyncpg.UndefinedTableError:
        raise MailboatError("The database is not migrated: run `mailboat migrate`.") from None
    except engine.AWAY as error:
        raise MailboatError(
            f"No database ({error or type(error).__name__}): start `mailboat up --data {data}`, name its folder with "
            "--data, or set DATABASE_URL."
        ) from None


def of_folder(data: Path) -> dict[str, str]:
    """What a running `mailboat up` on this folder knows; its database only where the environment names none."""
    given = click.get_current_context().get_parameter_source("data") == click.core.ParameterSource.COMMANDLINE
    found: dict[str, str] = {}
    sockets = data / "run"
    if (given or not os.environ.get("DATABASE_URL")) and list(sockets.glob(".s.PGSQL.*")):
        found["DATABASE_URL"] = postgres.dsn(sockets.resolve())
    if not os.environ.get("MAILBOAT_SEALING_KEY") and folder.has_sealing_key(data):
        found["MAILBOAT_SEALING_KEY"] = folder.sealing_key(data)
    return found


_DATA = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="data",
    show_default=True,
    help="Data folder of `mailboat up`; DATABASE_URL names a database elsewhere.",
)


def with_records(command: Callable[..., Coroutine[Any, Any, int | None]]) -> Callable[..., int]:
    """Adds --data, and hands `records` to an async command. Its answer is the exit code; None is 0."""

    @_DATA
    @functools.wraps(command)
    def wrapped(*args: Any, data: Path, **kwargs: Any) -> int:
        async def run() -> int:
            async with opened(data.expanduser().resolve()) as records:
                return await command(*args, records=records, **kwargs) or 0

        return asyncio.run(run())

    return wrapped


output_form = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people or programs.",
)
namespaced = click.option("-n", "--namespace", help="Only this namespace.  [default: all]")
files = click.option(
    "-f",
    "--filename",
    "paths",
    multiple=True,
    required=True,
    metavar="PATH",
    help="A file, a folder (with those below it), or - for stdin; may be repeated.",
)


def stdin_of(paths: tuple[str, ...]) -> str:
    return sys.stdin.read() if "-" in paths else ""


def kinds(text: str) -> list[Kind]:
    """emc, emailclient, emailclients or EmailClient; all. Raises BadParameter."""
    if text == "all":
        return list(KINDS.values())
    for kind in KINDS.values():
        if text.lower().removesuffix(".mailboat.dev") in (kind.short, kind.plural, kind.name.lower()):
            return [kind]
    names = ", ".join(f"{kind.short} ({kind.name})" for kind in KINDS.values())
    raise click.BadParameter(f"{text!r} is no kind: use {names} or all.")


def kind(text: str) -> Kind:
    found = kinds(text)
    if len(found) > 1:
        raise click.BadParameter("name one kind: emc, emt or emp.")
    return found[0]


def qualified(kind: str, name: str) -> str:
    """A resource as kubectl names it."""
    return f"{kind.lower()}.mailboat.dev/{name}"


def check_namespace(namespace: str | None) -> str:
    if namespace is not None and not namespace:
        raise ConfigurationError("--namespace is empty: name one, or leave it out.")
    return namespace or "default"
