"""Templates in a running service: their previews, the revisions they were, and the way back to one."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from mailboat.dashboard import differences, pages
from mailboat.dashboard.desk import Desk, Refused, Route, Unknown, form
from mailboat.dashboard.previews import Previews
from mailboat.dashboard.saves import Saves
from mailboat.dashboard.shelves import NAMESPACE, Published
from mailboat.dashboard.views.previews import PreviewPages
from mailboat.domain.revision import Revision
from mailboat.errors import MailboatError, TemplateFault
from mailboat.registry import history
from mailboat.registry.folder import NAME


class Templates(PreviewPages):
    """The previews, and `/ui/templates/{name}/revisions`."""

    layout = "base.html"

    def __init__(self, desk: Desk, saves: Saves) -> None:
        super().__init__(desk.pages, Previews(Published(desk), desk.renderer), saves)
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            *super().routes(),
            ("GET", "/ui/templates/{name}/revisions", self.revisions),
            ("POST", "/ui/templates/{name}/rollback", self.rollback),
        ]

    async def revisions(self, request: Request, name: str, ns: str = NAMESPACE, to: str = "") -> Response:
        """What the name has stood for; and what changed from one revision (`from`) to another (`to`)."""
        entries = await self._entries(ns, name)
        live = next((each.digest for each in entries if each.live), "")
        start = request.query_params.get("from", "")
        old, new = await self._chosen(entries, start), await self._chosen(entries, to or live if start else "")
        found = await asyncio.to_thread(differences.between, old.sources, new.sources) if old and new else None
        return self._desk.pages(
            "revisions.html",
            name=name,
            namespace=ns,
            query=_query(ns),
            entries=entries,
            digests=list(dict.fromkeys(each.digest for each in entries)),
            live=live,
            chosen=(old.digest if old else "", new.digest if new else ""),
            differences=found,
        )

    async def rollback(self, request: Request, name: str, ns: str = NAMESPACE) -> Response:
        """Let the name stand for an earlier revision again, as `mailboat template rollback` does."""
        if not NAME.fullmatch(name) or "\0" in ns:
            raise Unknown
        digest = (await form(request)).get("revision", "")
        try:
            await history.roll_back(self._desk.pool, ns, name, digest or None, self._desk.actor)
        except MailboatError as error:
            raise Refused(str(error)) from None
        self._desk.catalog.forget(f"{ns}/{name}")
        place = f"/ui/templates/{name}/revisions{_query(ns)}"
        return Response(status_code=204, headers={**pages.HEADERS, "HX-Redirect": place})

    async def _entries(self, namespace: str, name: str) -> list[history.Entry]:
        """The newest first; none for what was saved but is not live yet. Raises Unknown."""
        with contextlib.suppress(TemplateFault):
            await self._previews.revision(namespace, name)
        return await history.of(self._desk.pool, namespace, name)

    async def _chosen(self, entries: list[history.Entry], digest: str) -> Revision | None:
        """A revision of this name, or None: for none asked for, and for one whose sources are gone."""
        if not digest:
            return None
        if digest not in {each.digest for each in entries}:
            raise Unknown
        return await self._desk.catalog.load(digest)


def _query(namespace: str) -> str:
    return f"?{urlencode({'ns': namespace})}" if namespace != NAMESPACE else ""
