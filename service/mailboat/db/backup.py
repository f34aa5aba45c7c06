"""Backup: every table as it was at one moment, in one file; and the way back.

The file is a zip: `manifest.json`, `tables/NAME.copy` in PostgreSQL's text form of COPY, and `templates/…` with the
folder of templates. It is of no version of PostgreSQL. Sealed secrets are in it as they are in the tables: without the
sealing key, which is not in it, nobody reads them.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import asyncpg
import msgspec
from sqlmodel import SQLModel

import mailboat
from mailboat.db import (
    migrate,
    partitions,
    tables,  # noqa: F401 - declares the tables
)
from mailboat.db.states import State
from mailboat.errors import MailboatError

FORMAT = 1
CHUNK = 2**18  # octets
MANIFEST, TABLES, TEMPLATES = "manifest.json", "tables", "templates"
# What an installation that was used has some of.
MARKS = ("clients", "messages", "declared", "providers", "suppressions")
SKIPPED = {"node_modules", "__pycache__"}

_THERE = "select relname from pg_class where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')"
_COLUMNS = """
select column_name from information_schema.columns where table_schema = current_schema() and table_name = $1
order by ordinal_position
"""
_SEQUENCES = """
select s.relname, c.relname, a.attname from pg_class s
join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.deptype in ('a', 'i')
join pg_class c on c.oid = d.refobjid join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
where s.relkind = 'S' and s.relnamespace = current_schema()::regnamespace order by 1
"""
_MONTHS = """
select distinct c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = $1::regclass
"""
_OTHERS = """
select distinct application_name from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name like 'mailboat-%' order by 1
"""
_FUNCTIONS = """
select proname from pg_proc where pronamespace = current_schema()::regnamespace and proname like 'mailboat\\_%'
"""
_HOLD = f"""
update queue set state = {State.HELD}, owner = null, updated_at = now(), error = $1
where state in ({State.QUEUED}, {State.SENDING}) or (state = {State.SCHEDULED} and run_at <= now())
"""


class Table(msgspec.Struct, frozen=True):
    """What there is of a table."""

    columns: list[str]
    rows: int


class Manifest(msgspec.Struct, frozen=True):
    """What is in a backup. `schema` is the revision of its tables, `sequences` the last number that each gave out,
    `months` those that messages have partitions of."""

    format: int
    mailboat: str
    postgres: str
    schema: str
    taken_at: datetime
    tables: dict[str, Table]
    sequences: dict[str, int]
    months: list[date]


class Restored(NamedTuple):
    """`held` messages wait for a person."""

    manifest: Manifest
    held: int


class NotEmpty(MailboatError):
    """There is something to lose."""


Told = Callable[[int], None]
"""Hears how many rows were written, or octets read."""


async def size(connection: asyncpg.Connection) -> int:
    """How many rows a backup would have."""
    return sum([int(await connection.fetchval(f"select count(*) from {name}")) for name in await _tables(connection)])


async def write(connection: asyncpg.Connection, place: Path, templates: Path | None, told: Told) -> Manifest:
    """The whole file under its name, or none: it is flushed to the disk and read back before it gets its name.

    Everybody may go on working meanwhile. Raises OSError, MailboatError, and what PostgreSQL raises.
    """
    part = place.with_name(f"{place.name}.part")
    try:
        manifest = await _write(connection, part, templates, told)
        with opened(part):
            part.replace(place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return manifest


async def _write(connection: asyncpg.Connection, part: Path, templates: Path | None, told: Told) -> Manifest:
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as packed:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                manifest = await _write_tables(connection, packed, told)
            for source, name in _template_files(templates):
                packed.write(source, f"{TEMPLATES}/{name}")
            packed.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        file.flush()
        os.fsync(file.fileno())
    return manifest


async def _write_tables(connection: asyncpg.Connection, packed: zipfile.ZipFile, told: Told) -> Manifest:
    schema = await connection.fetchval("select version_num from alembic_version")
    taken_at = await connection.fetchval("select clock_timestamp()")
    found: dict[str, Table] = {}
    for name in await _tables(connection):
        columns = [row[0] for row in await connection.fetch(_COLUMNS, name)]
        with packed.open(f"{TABLES}/{name}.copy", "w", force_zip64=True) as member:

            async def take(chunk: bytes, put: Callable[[bytes], int] = member.write) -> None:
                put(chunk)
                told(chunk.count(b"\n"))  # in this form a row is a line, and a line break in it is written as \n

            listed = ", ".join(map(_quoted, columns))
            done = await connection.copy_from_query(f"select {listed} from {name}", output=take, format="text")
        found[name] = Table(columns, int(done.split()[1]))
    sequences = {
        name: int(await connection.fetchval(f"select last_value - (not is_called)::int from {name}"))
        for name, _, _ in await connection.fetch(_SEQUENCES)
    }
    months = [partitions.month_of(row[0]) for row in await connection.fetch(_MONTHS, partitions.PARTITIONED[0])]
    version = await connection.fetchval("show server_version")
    return Manifest(FORMAT, mailboat.__version__, version, schema, taken_at, found, sequences, sorted(months))


def _template_files(root: Path | None) -> Iterator[tuple[Path, str]]:
    """Each file below, but what is hidden, with its name from there."""
    for folder, folders, files in os.walk(root) if root else ():
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        for name in sorted(files):
            path = Path(folder) / name
            if not name.startswith(".") and path.is_file():
                yield path, path.relative_to(root or folder).as_posix()


class Opened:
    """A backup that is whole."""

    def __init__(self, packed: zipfile.ZipFile, manifest: Manifest) -> None:
        self._packed, self.manifest = packed, manifest

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._packed.close()

    @property
    def octets(self) -> int:
        """What `restore` reads."""
        return sum(self._packed.getinfo(f"{TABLES}/{name}.copy").file_size for name in self.manifest.tables)

    async def rows(self, table: str, told: Told) -> AsyncIterator[bytes]:
        with self._packed.open(f"{TABLES}/{table}.copy") as member:
            while chunk := member.read(CHUNK):
                yield chunk
                told(len(chunk))

    def templates(self) -> Iterator[tuple[PurePosixPath, bytes]]:
        """The files of templates: names that stay below their folder, and contents."""
        for name in self._packed.namelist():
            path = PurePosixPath(name)
            if path.parts[0] == TEMPLATES and not name.endswith("/") and ".." not in path.parts:
                yield path.relative_to(TEMPLATES), self._packed.read(name)


def opened(place: Path) -> Opened:
    """Raises OSError, MailboatError unless every octet is what was written, by a Mailboat that this one understands."""
    try:
        packed = zipfile.ZipFile(place)
        broken = packed.testzip()
        if broken is not None:
            raise MailboatError(f"{place} is damaged ({broken}): use another backup.")
        if MANIFEST not in packed.namelist():
            raise MailboatError(f"{place} is no backup of Mailboat: it has no {MANIFEST}.")
        manifest = msgspec.json.decode(packed.read(MANIFEST), type=Manifest)
    except zipfile.BadZipFile as error:
        raise MailboatError(f"{place} is no whole backup ({error}): use another one.") from None
    except msgspec.DecodeError as error:
        raise MailboatError(f"{place} is no backup that this Mailboat reads: {error}.") from None
    if manifest.format != FORMAT or manifest.schema not in migrate.revisions():
        raise MailboatError(
            f"{place} was made by Mailboat {manifest.mailboat} (schema {manifest.schema}), this is "
            f"{mailboat.__version__} (schema {migrate.head()}): restore it with that version or a newer one."
        )
    return Opened(packed, manifest)


async def restore(
    connection: asyncpg.Connection, dsn: str, backup: Opened, told: Told, *, force: bool = False, hold: bool = False
) -> Restored:
    """The tables as they were, migrated to what this Mailboat needs; `connection` is to `dsn`.

    All rows come in one transaction: what is interrupted is begun again. With `hold`, mail that was due waits for a
    person. Raises NotEmpty without `force`, MailboatError while others are at work, and what PostgreSQL raises.
    """
    await _check_alone(connection)
    if not force and (there := [name for name in MARKS if await _has_rows(connection, name)]):
        raise NotEmpty(f"The database is not empty: it has {', '.join(there)}. --force replaces all that is there.")
    if await _schema(connection) != backup.manifest.schema:
        await _clear(connection)
        await migrate.bring(dsn, backup.manifest.schema)
    async with connection.transaction():
        await _load(connection, backup, told)
        reason = f"restored from a backup of {backup.manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC: it may have been sent"
        held = int((await connection.execute(_HOLD, reason)).split()[1]) if hold else 0
    await migrate.bring(dsn)
    await connection.execute("analyze")
    return Restored(backup.manifest, held)


async def _check_alone(connection: asyncpg.Connection) -> None:
    """Who works on what vanishes would send mail twice."""
    if others := [row[0] for row in await connection.fetch(_OTHERS)]:
        raise MailboatError(f"Others use this database: {', '.join(others)}. Stop every part of Mailboat first.")


async def _load(connection: asyncpg.Connection, backup: Opened, told: Told) -> None:
    names = [name for name in _known() if name in backup.manifest.tables]
    await connection.execute(f"truncate {', '.join(names)}")
    for name in names:  # history, notifications and the like were written down when it happened
        await connection.execute(f"alter table {name} disable trigger user")
    await partitions.make(connection, backup.manifest.months)
    for name in names:
        table = backup.manifest.tables[name]
        done = await connection.copy_to_table(
            name, source=backup.rows(name, told), columns=table.columns, format="text"
        )
        if done != f"COPY {table.rows}":
            raise MailboatError(f"{name} has {table.rows} rows in the backup, and {done.split()[1]} arrived.")
    for name in names:
        await connection.execute(f"alter table {name} enable trigger user")
    for name, last in backup.manifest.sequences.items():
        await connection.execute("select setval($1::regclass, $2, $3)", name, max(1, last), last > 0)


async def _clear(connection: asyncpg.Connection) -> None:
    """Make room for another schema."""
    async with connection.transaction():
        await connection.execute(f"drop table if exists {', '.join([*_known(), 'alembic_version'])} cascade")
        for (function,) in await connection.fetch(_FUNCTIONS):
            await connection.execute(f"drop function {function} cascade")


def _known() -> list[str]:
    """Every table of Mailboat, each after those that it refers to."""
    return [table.name for table in SQLModel.metadata.sorted_tables]


async def _tables(connection: asyncpg.Connection) -> list[str]:
    there = {row[0] for row in await connection.fetch(_THERE)}
    return [name for name in _known() if name in there]


async def _schema(connection: asyncpg.Connection) -> str | None:
    if await connection.fetchval("select to_regclass('alembic_version')") is None:
        return None
    found: str | None = await connection.fetchval("select version_num from alembic_version")
    return found


async def _has_rows(connection: asyncpg.Connection, table: str) -> bool:
    there = await connection.fetchval("select to_regclass($1)", table)
    return there is not None and bool(await connection.fetchval(f"select exists (select from {table})"))


def _quoted(name: str) -> str:
    return f'"{name}"'
