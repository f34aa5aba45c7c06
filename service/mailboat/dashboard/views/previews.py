"""Previews: all templates, and each with its data, its mail and its faults, as it is on disk now."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mailboat.dashboard import pages, previews
from mailboat.dashboard.desk import Route, Unknown, form
from mailboat.dashboard.pages import Pages
from mailboat.dashboard.previews import Preview, Previews
from mailboat.dashboard.saves import Saves
from mailboat.errors import TemplateFault

PAGE = 24


class PreviewPages:
    """`/ui/templates` and what is below it. `ns` in the address names the namespace of a declared template.

    `layout` is the page around them: alone, or with all the dashboard's.
    """

    layout = "alone.html"

    def __init__(self, page: Pages, previews: Previews, saves: Saves) -> None:
        self._page, self._previews, self._saves = page, previews, saves

    def routes(self) -> list[Route]:
        return [
            ("GET", "/ui/templates", self.index),
            ("GET", "/ui/templates/stream", self.stream),
            ("GET", "/ui/templates/{name}", self.template),
            ("GET", "/ui/templates/{name}/html", self.html),
            ("POST", "/ui/templates/{name}/preview", self.preview),
        ]

    async def index(self, q: str = "", after: int = 0) -> Response:
        places = await self._previews.places(q)
        items = await self._previews.items(places[after : after + PAGE])
        return self._page(
            "templates.html",
            q=q,
            items=items,
            total=len(places),
            broken=sum(item.preview.fault is not None for item in items),
            following=after + PAGE if after + PAGE < len(places) else None,
            folder=self._previews.folder,
            layout=self.layout,
        )

    async def stream(self) -> Response:
        headers = {**pages.HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._saves.events(), media_type="text/event-stream", headers=headers)

    async def template(self, name: str, ns: str = "default") -> Response:
        preview = await self._previews.example(ns, name)
        sources = preview.revision.sources if preview.revision else None
        text = previews.example_text(sources) if sources else "{}"
        return self._page("template.html", **await self._shown(ns, name, preview, text, ""))

    async def preview(self, request: Request, name: str, ns: str = "default") -> Response:
        """The preview again, with the data in the form; data that nobody touched follow the example."""
        given = await form(request)
        text, locale = given.get("data", ""), given.get("locale", "")
        touched = _mark(text) != given.get("untouched")
        try:
            revision = await self._previews.revision(ns, name)
        except TemplateFault as fault:
            preview = Preview(None, self._previews.describe(fault, None))
            return self._page("preview.html", **await self._shown(ns, name, preview, text, locale))
        if touched or locale:
            preview = await self._previews.render(revision, text if touched else None, locale)
        else:
            preview = await self._previews.example(ns, name)
        example = previews.example_text(revision.sources)
        renewed = not touched and example != text
        shown = await self._shown(ns, name, preview, example if renewed else text, locale, renewed=renewed)
        return self._page("preview.html", **shown)

    async def html(self, name: str, ns: str = "default", data: str = "", locale: str = "", at: str = "") -> Response:
        """The mail for its frame. `at` names the revision, so that the frame loads again when it changes."""
        preview = self._previews.shown(at, data, locale)
        if preview is None:
            preview = await self._again(ns, name, data, locale)
        if preview.rendered is None:
            raise Unknown
        return pages.mail(preview.rendered.html or "")

    async def _again(self, namespace: str, name: str, data: str, locale: str) -> Preview:
        """As it is on disk now. Raises Unknown."""
        try:
            if not (data or locale):
                return await self._previews.example(namespace, name)
            revision = await self._previews.revision(namespace, name)
        except TemplateFault:
            raise Unknown from None
        return await self._previews.render(revision, previews.unpack(data) if data else None, locale)

    async def _shown(
        self, namespace: str, name: str, preview: Preview, text: str, locale: str, *, renewed: bool = False
    ) -> dict[str, Any]:
        """What the page and the preview draw. `renewed`: the editor gets these data."""
        live = None if preview.revision else await self._previews.live(namespace, name)
        revision = preview.revision or live
        where = {"ns": namespace} if namespace != "default" else {}
        digest = revision.digest if revision else ""
        frame = urlencode({**where, "data": preview.link, "locale": locale, "at": digest})
        return {
            "namespace": namespace,
            "name": name,
            "layout": self.layout,
            "query": f"?{urlencode(where)}" if where else "",
            "preview": preview,
            "revision": revision,
            "live": live,
            "data": text,
            "untouched": _mark(text),
            "renewed": renewed,
            "locale": locale,
            "frame": f"/ui/templates/{name}/html?{frame}",
            "clip": previews.CLIP,
        }


def _mark(text: str) -> str:
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()[:16]
