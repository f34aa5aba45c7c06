"""The audit: who changed what."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from mailboat.dashboard.desk import Desk, Route

PAGE = 100

_ROWS = f"""
select id, at, actor, action, subject, detail from audit
where id < $1 and ($2 = '' or position($2 in lower(concat_ws(' ', actor, action, subject, detail::text))) > 0)
order by id desc limit {PAGE + 1}
"""
NEWEST = 2**62


class Audit:
    """`/ui/audit`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [("GET", "/ui/audit", self.index)]

    async def index(self, q: str = "", before: str = "") -> Response:
        query = q.strip().replace("\0", "")
        last = min(int(before), NEWEST) if before.isdecimal() else NEWEST
        rows = await self._desk.pool.fetch(_ROWS, last, query.lower())
        kept = {"q": query} if query else {}
        return self._desk.pages(
            "audit.html",
            q=query,
            acts=[_act(row) for row in rows[:PAGE]],
            older=urlencode({**kept, "before": rows[PAGE - 1]["id"]}) if len(rows) > PAGE else None,
            first=urlencode(kept) if before else None,
        )


def _act(row: Any) -> dict[str, Any]:
    detail = json.loads(row["detail"]) or {}
    words = ", ".join(f"{name}: {value}" for name, value in detail.items()) if isinstance(detail, dict) else str(detail)
    return {**dict(row), "words": words}
