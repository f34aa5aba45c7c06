"""Rollback: a template's name stands for an earlier revision again, until its source says something new.

The source (a folder, a declared resource) still holds the revision that was rolled back from; `instead_of` names it,
and whoever publishes that one again changes nothing. Messages keep the revision they were accepted with.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from mailboat.errors import MailboatError

SHORTEST = 6
"""Digits by which a revision can be named."""

_HEAD = "select digest from template_heads where namespace = $1 and name = $2 for update"
_LISTED = """
select h.digest, h.origin, h.at,
    l.digest is not null and h.id = max(h.id) over (partition by h.digest) as live
from template_history h
left join template_heads l on l.namespace = h.namespace and l.name = h.name and l.digest = h.digest
where h.namespace = $1 and h.name = $2 order by h.id desc
"""
# The one before the live one: before it was live for the first time, since after that there may have been rollbacks.
_PREVIOUS = """
select digest from template_history where namespace = $1 and name = $2 and digest <> $3 and id < (
    select min(id) from template_history where namespace = $1 and name = $2 and digest = $3)
order by id desc limit 1
"""
_NAMED = """
select distinct h.digest from template_history h join template_sources s using (digest)
where h.namespace = $1 and h.name = $2 and starts_with(h.digest, $3)
"""
_ROLL = """
update template_heads set digest = $3, updated_at = now(), instead_of = case
    when $3 = instead_of then '' when instead_of = '' then digest else instead_of end
where namespace = $1 and name = $2
"""
_AUDIT = "insert into audit (actor, action, subject, detail) values ($1, 'template.rollback', $2, $3::jsonb)"


class Entry(NamedTuple):
    """A time at which a name began to stand for a revision."""

    digest: str
    origin: str
    at: datetime
    live: bool


async def of(pool: asyncpg.Pool, namespace: str, name: str) -> list[Entry]:
    """What the name has stood for, the newest first."""
    return [Entry(*row.values()) for row in await pool.fetch(_LISTED, namespace, name)]


async def roll_back(pool: asyncpg.Pool, namespace: str, name: str, revision: str | None, actor: str) -> tuple[str, str]:
    """The digests before and after. `revision`: its first digits, or None for the one before the live one.

    Raises MailboatError when there is no such template or revision.
    """
    async with pool.acquire() as connection, connection.transaction():
        live = await connection.fetchval(_HEAD, namespace, name)
        if live is None:
            raise MailboatError(f"There is no template {name!r} in namespace {namespace}.")
        target = await (
            _named(connection, namespace, name, revision) if revision else _previous(connection, namespace, name, live)
        )
        if target != live:
            await connection.execute(_ROLL, namespace, name, target)
            detail = f'{{"from": "{live}", "to": "{target}"}}'
            await connection.execute(_AUDIT, actor, f"{namespace}/{name}", detail)
    return live, target


async def _previous(connection: Any, namespace: str, name: str, live: str) -> str:
    found: str | None = await connection.fetchval(_PREVIOUS, namespace, name, live)
    if found is None:
        raise MailboatError(f"Template {name!r} has no revision before {live[:12]}.")
    return found


async def _named(connection: Any, namespace: str, name: str, digits: str) -> str:
    if len(digits) < SHORTEST:
        raise MailboatError(f"Name a revision by at least {SHORTEST} of its digits.")
    found = [row["digest"] for row in await connection.fetch(_NAMED, namespace, name, digits.lower())]
    if len(found) != 1:
        which = "several revisions begin" if found else "no revision begins"
        raise MailboatError(
            f"Of template {name!r}, {which} with {digits}: `mailboat template history {name}` lists them."
        )
    return str(found[0])
