"""The catalogue: from a template's name to its live revision, from a digest to its sources.

A template that was declared in the client's namespace comes first, then the source volume, then what other namespaces
share. The heads in Postgres say all of that, also on machines without the volume.
Whatever a message is accepted with is kept in `template_sources` before the message is: it can be rendered later,
however the folder has changed.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from pathlib import Path

import asyncpg

from mailboat.db import engine
from mailboat.domain import revision
from mailboat.domain.revision import Revision
from mailboat.registry.folder import Folder
from mailboat.registry.mount import Mount

LOOK_AGAIN_SECONDS = 0.2  # how long a folder's answer is taken for true
HEAD_SECONDS = 1.0  # how long a head is taken for true, should the notification of its change be lost
KEPT = 512  # revisions in memory
KEPT_HEADS = 4096
RESOURCE, FOLDER = "resource", "folder"
FOLDER_NAMESPACE = "default"  # where the heads of the source volume stand

# A folder may change again before its watcher has looked: what was sent with can be rolled back to all the same.
_KEEP = """
with kept as (
    insert into template_sources (digest, name, body) values ($1, $2, $3::json) on conflict (digest) do nothing
)
insert into template_history (namespace, name, digest, origin) select $4, $2, $1, $5 where not exists (
    select from template_history where namespace = $4 and name = $2 and digest = $1)
"""
_HEAD = """
select digest, namespace = $1 and origin = 'resource' as own, instead_of from template_heads
where name = $2 and (namespace = $1 or shared or origin = 'folder')
order by own desc, origin = 'folder' desc, namespace = 'default' desc, namespace limit 1
"""
_NAMES = "select distinct name from template_heads where namespace = $1 or shared or origin = 'folder'"
_SOURCES = "select name, body from template_sources where digest = $1"
_POINT = """
insert into template_heads (namespace, name, digest, origin, shared) values ($1, $2, $3, $4, $5)
on conflict (namespace, name) do update
set digest = excluded.digest, origin = excluded.origin, shared = excluded.shared, instead_of = '', updated_at = now()
where (template_heads.digest, template_heads.origin, template_heads.shared)
    <> (excluded.digest, excluded.origin, excluded.shared)
and (template_heads.origin <> 'resource' or excluded.origin = 'resource')
and template_heads.instead_of <> excluded.digest
"""
# Both at once: thousands of templates are published when an operator comes into a cluster that is full of them.
_PUBLISH = f"""
with kept as (
    insert into template_sources (digest, name, body) values ($3, $2, $6::json) on conflict (digest) do nothing
)
{_POINT}
"""
_WITHDRAW_ONE = "delete from template_heads where namespace = $1 and name = $2 and origin = 'resource'"
_WITHDRAW = "delete from template_heads where origin = 'folder' and name <> all($1::text[])"

Stamp = tuple[tuple[Path, int, int], ...]


class _Seen:
    """What the folder said about a name, and when."""

    def __init__(self, found: Revision | None, stamp: Stamp) -> None:
        self.revision, self.stamp, self.at = found, stamp, time.monotonic()


class _Head:
    """What the heads said about a name, and when. `own`: declared in the client's own namespace.

    `instead_of`: the digest that the source has still, and that was rolled back from.
    """

    def __init__(self, digest: str | None, own: bool, instead_of: str) -> None:
        self.digest, self.own, self.instead_of, self.at = digest, own, instead_of, time.monotonic()


class Catalog:
    """One per process."""

    def __init__(self, folder: Folder, pool: asyncpg.Pool, mount: Mount | None = None) -> None:
        self._folder, self._pool, self._mount = folder, pool, mount or Mount("")
        self._seen: dict[str, _Seen] = {}
        self._absent: dict[str, float] = {}  # names that the folder did not have, and when
        self._heads: OrderedDict[tuple[str, str], _Head] = OrderedDict()
        self._revisions: OrderedDict[str, Revision] = OrderedDict()
        self._kept: set[str] = set()

    async def resolve(self, namespace: str, name: str) -> Revision | None:
        """The live revision of a template, or None. Raises TemplateFault; what `engine.AWAY` names."""
        try:
            head = await self._head(namespace, name)
        except engine.AWAY:
            if (mounted := self._without_postgres(namespace, name)) is None:
                raise
            return mounted
        found = None if head.own else self._from_folder(name)
        if found is None or found.digest == head.instead_of:
            return await self.load(head.digest) if head.digest else None
        if found.digest not in self._kept:
            await self.keep(found)
        return found

    async def names(self, namespace: str) -> list[str]:
        """Every template that resolves in this namespace, sorted. Raises what `engine.AWAY` names."""
        heads = await self._pool.fetch(_NAMES, namespace)
        return sorted({*self._folder.names(), *(row["name"] for row in heads)})

    async def load(self, digest: str) -> Revision | None:
        """The revision with this digest. Raises what `engine.AWAY` names."""
        found = self._revisions.get(digest) or self._mount.load(digest)
        if found is None:
            row = await self._pool.fetchrow(_SOURCES, digest)
            if row is None:
                return None
            found = Revision(row["name"], digest, revision.decode(row["body"].encode()))
        self._remember(found)
        return found

    async def keep(self, found: Revision) -> None:
        """Store the sources of a revision of the folder, once, and name it in the history if nobody has."""
        body = revision.encode(found.sources).decode()
        await self._pool.execute(_KEEP, found.digest, found.name, body, FOLDER_NAMESPACE, FOLDER)
        self._kept.add(found.digest)

    async def publish(self, namespace: str, found: Revision, origin: str, *, shared: bool = False) -> bool:
        """Make a revision the live one of its name. True when something changed; the folder never replaces what was
        declared, and nothing brings back what was rolled back from (`history`)."""
        body = revision.encode(found.sources).decode()
        done: str = await self._pool.execute(_PUBLISH, namespace, found.name, found.digest, origin, shared, body)
        self._kept.add(found.digest)
        return done != "INSERT 0 0"

    async def withdraw(self, namespace: str, name: str) -> bool:
        """Forget the head of a template that was declared. True when there was one."""
        return bool(await self._pool.execute(_WITHDRAW_ONE, namespace, name) != "DELETE 0")

    async def withdraw_all_but(self, names: list[str]) -> None:
        """Forget the heads of templates that are no longer in the folder."""
        await self._pool.execute(_WITHDRAW, names)

    def forget(self, place: str | None = None) -> None:
        """A head has changed (`namespace/name`), or any may have (None)."""
        if place is None:
            self._heads.clear()
        else:
            name = place.rpartition("/")[2]
            for key in [key for key in self._heads if key[1] == name]:  # what is shared is seen from elsewhere
                del self._heads[key]

    def _without_postgres(self, namespace: str, name: str) -> Revision | None:
        """From the mount, in the order of `_HEAD`. What the folder has counts if Postgres is known to keep it too, for
        those who render it."""
        if (own := self._mount.own(namespace, name)) is not None:
            return own
        found = self._from_folder(name)
        if found is not None:
            return found if found.digest in self._kept else None
        return self._mount.shared(name)

    def _from_folder(self, name: str) -> Revision | None:
        seen, absent = self._seen.get(name), self._absent.get(name)
        now = time.monotonic()
        if absent is not None and now - absent < LOOK_AGAIN_SECONDS:
            return None
        if seen is not None and now - seen.at < LOOK_AGAIN_SECONDS:
            return seen.revision
        if seen is not None and seen.stamp and _stamp([place for place, _, _ in seen.stamp]) == seen.stamp:
            seen.at = now
            return seen.revision
        loaded = self._folder.load(name)
        if loaded is None:
            self._seen.pop(name, None)
            if len(self._absent) >= KEPT:  # any name can be asked for
                self._absent.clear()
            self._absent[name] = now
            return None
        found, paths = loaded
        self._seen[name] = _Seen(found, _stamp(paths))
        self._remember(found)
        return found

    async def _head(self, namespace: str, name: str) -> _Head:
        head = self._heads.get((namespace, name))
        if head is not None and time.monotonic() - head.at <= HEAD_SECONDS:
            return head
        try:
            row = await self._pool.fetchrow(_HEAD, namespace, name) if "\0" not in name else None
        except TimeoutError:
            if head is None:
                raise
            head.at = time.monotonic()  # no news is good news: a change would have been notified
            return head
        head = self._heads[namespace, name] = _Head(*row.values()) if row else _Head(None, False, "")
        if len(self._heads) > KEPT_HEADS:
            self._heads.popitem(last=False)
        return head

    def _remember(self, found: Revision) -> None:
        self._revisions[found.digest] = found
        self._revisions.move_to_end(found.digest)
        if len(self._revisions) > KEPT:
            self._revisions.popitem(last=False)


def _stamp(paths: list[Path]) -> Stamp:
    """What changes when a file changes; empty when one is gone."""
    try:
        states = [(path, path.stat()) for path in paths]
    except OSError:
        return ()
    return tuple((path, state.st_mtime_ns, state.st_size) for path, state in states)
