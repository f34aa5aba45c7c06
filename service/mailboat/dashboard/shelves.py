"""Where previews find templates: in a folder alone, or also among what was declared and what mail is sent with."""

from __future__ import annotations

import asyncio
from typing import Protocol

from mailboat.dashboard.desk import Desk, Unknown
from mailboat.domain.revision import Revision
from mailboat.registry.folder import NAME, Folder

NAMESPACE = "default"  # of what stands in the folder

_HEADS = "select namespace, name from template_heads"
_DECLARED = """
select exists (select from template_heads where namespace = $1 and name = $2 and origin = 'resource')
"""
_LIVE = "select digest from template_heads where namespace = $1 and name = $2"


class Shelf(Protocol):
    @property
    def folder(self) -> Folder:
        """The folder that authors save in."""

    async def places(self) -> set[tuple[str, str]]:
        """Namespace and name of every template."""

    async def revision(self, namespace: str, name: str) -> Revision:
        """As it is now; of the folder, as it is on disk this moment. Raises Unknown, TemplateFault."""

    async def live(self, namespace: str, name: str) -> Revision | None:
        """The last revision that could be read, which mail is sent with."""


class Alone:
    """A folder, and nothing else: what `mailboat template preview` shows."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    async def places(self) -> set[tuple[str, str]]:
        return {(NAMESPACE, name) for name in await asyncio.to_thread(self.folder.names)}

    async def revision(self, namespace: str, name: str) -> Revision:
        loaded = await asyncio.to_thread(self.folder.load, name) if namespace == NAMESPACE else None
        if loaded is None:
            raise Unknown
        return loaded[0]

    async def live(self, namespace: str, name: str) -> Revision | None:
        """No mail is sent."""
        return None


class Published:
    """The folder of a running service, and what its database knows."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.folder = Folder(desk.settings.templates)

    async def places(self) -> set[tuple[str, str]]:
        heads = {(row["namespace"], row["name"]) for row in await self._desk.pool.fetch(_HEADS)}
        return heads | {(NAMESPACE, name) for name in await asyncio.to_thread(self.folder.names)}

    async def revision(self, namespace: str, name: str) -> Revision:
        if not NAME.fullmatch(name) or "\0" in namespace:
            raise Unknown
        if not await self._desk.pool.fetchval(_DECLARED, namespace, name):
            loaded = await asyncio.to_thread(self.folder.load, name)
            if loaded is not None:
                return loaded[0]
        revision = await self._desk.catalog.resolve(namespace, name)
        if revision is None:
            raise Unknown
        return revision

    async def live(self, namespace: str, name: str) -> Revision | None:
        digest = await self._desk.pool.fetchval(_LIVE, namespace, name)
        return await self._desk.catalog.load(digest) if digest else None
