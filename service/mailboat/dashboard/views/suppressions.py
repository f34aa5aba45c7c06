"""Suppressions: addresses that are not mailed again, by any client or by one."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from mailboat.dashboard.desk import Desk, Refused, Route, form
from mailboat.delivery import suppressions
from mailboat.delivery.suppressions import EVERYBODY, REASONS, Entry
from mailboat.domain import address
from mailboat.domain.address import InvalidAddress

PAGE = 100
NAMES = {"bounce": "hard bounce", "complaint": "complaint", "unsubscribe": "unsubscribed", "manual": "by hand"}

_PAGE = f"""
select s.address, s.client_id, s.reason, s.detail, s.source, s.created_at, s.expires_at, c.namespace, c.name as client
from suppressions s left join clients c on c.id = s.client_id
where (s.address, s.client_id) > ($1, $2) and (s.expires_at is null or s.expires_at > now())
and ($3 = '' or s.address like $3) and ($4 = '' or s.reason = $4) order by s.address, s.client_id limit {PAGE + 1}
"""
_REASONS = "select reason, count(*) from suppressions where expires_at is null or expires_at > now() group by 1"


class Suppressions:
    """`/ui/suppressions`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            ("GET", "/ui/suppressions", self.index),
            ("POST", "/ui/suppressions", self.add),
            ("POST", "/ui/suppressions/remove", self.remove),
        ]

    async def index(self, q: str = "", reason: str = "", after: str = "") -> Response:
        return self._desk.pages("suppressions.html", **await self._shown(q, reason, after))

    async def add(self, request: Request) -> Response:
        given = await form(request)
        try:
            key = address.parse(given.get("address", "")).key
        except InvalidAddress as error:
            raise Refused(f"That is not a mail address: {error}.") from None
        detail = given.get("why", "").strip()[:500].replace("\0", "")
        entry = Entry(client_id=EVERYBODY, address=key, source="dashboard", detail=detail)
        await suppressions.put(self._desk.pool, [entry])
        await self._desk.note("suppression.add", key, {"why": detail})
        return self._desk.pages("suppressions.html", **await self._shown("", "", ""))

    async def remove(self, request: Request) -> Response:
        given = await form(request)
        owner = int(given["client"]) if given.get("client", "").isdecimal() else EVERYBODY
        if not await suppressions.remove(self._desk.pool, owner, given.get("address", "")):
            raise Refused("This address is not suppressed any more.")
        await self._desk.note("suppression.remove", given["address"], {"client": owner})
        return self._desk.pages("gone.html", text=f"{given['address']} may be mailed again")

    async def _shown(self, query: str, reason: str, after: str) -> dict[str, Any]:
        last, owner = _place(after)
        query, reason = query.strip().replace("\0", ""), reason if reason in REASONS else ""
        rows = await self._desk.pool.fetch(_PAGE, last, owner, _pattern(query), reason)
        by_reason = {row["reason"]: row["count"] for row in await self._desk.pool.fetch(_REASONS)}
        shown, more = rows[:PAGE], len(rows) > PAGE
        kept = {name: value for name, value in (("q", query), ("reason", reason)) if value}
        return {
            "q": query,
            "reason": reason,
            "rows": shown,
            "names": NAMES,
            "by_reason": sorted(by_reason.items(), key=lambda one: -one[1]),
            "total": sum(by_reason.values()),
            "most": max(by_reason.values(), default=1),
            "following": urlencode({**kept, "after": _after(shown[-1])}) if more else None,
        }


def _pattern(query: str) -> str:
    for special in ("\\", "%", "_"):
        query = query.replace(special, f"\\{special}")
    return f"%{query.lower()}%" if query else ""


def _after(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row['client_id']} {row['address']}".encode()).decode()


def _place(after: str) -> tuple[str, int]:
    try:
        owner, _, last = base64.urlsafe_b64decode(after).decode().partition(" ")
        return last.replace("\0", ""), int(owner or -1)
    except ValueError:
        return "", -1
