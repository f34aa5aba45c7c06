"""Messages: all that was accepted, and what became of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from starlette.responses import Response

from mailboat.dashboard import inbox, mime, pages
from mailboat.dashboard.desk import Desk, Refused, Route, Unknown, identifier
from mailboat.delivery import query, remake, search, stopped
from mailboat.domain.message import Content, Rendered
from mailboat.domain.status import RANK

PAGE = 50
STATUSES = (
    "scheduled", "queued", "sending", "sent", "delivered", "deferred", "bounced", "complained", "rejected", "failed",
    "dead", "held", "cancelled",
)  # fmt: skip
TIMES = {"1h": ("Last hour", 1), "24h": ("Last 24 hours", 24), "7d": ("Last 7 days", 168), "30d": ("Last 30 days", 720)}
REPLAYABLE = ("dead", "failed")

_CLIENTS = "select id, namespace, name from clients order by namespace, name limit 500"
_TEMPLATES = "select distinct name from template_heads order by name limit 500"
_MORE = """
select m.data, m.content, m.template, m.revision, m.locale, m.headers, c.namespace, c.name as client, c.route
from messages m join clients c on c.id = m.client_id where m.id = $1
"""


class Messages:
    """`/ui/messages` and what is below it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            ("GET", "/ui/messages", self.index),
            ("GET", "/ui/messages/{message_id}", self.message),
            ("GET", "/ui/messages/{message_id}/timeline", self.timeline),
            ("GET", "/ui/messages/{message_id}/mail", self.mail),
            ("GET", "/ui/messages/{message_id}/html", self.html),
            ("POST", "/ui/messages/{message_id}/cancel", self.cancel),
            ("POST", "/ui/messages/{message_id}/resend", self.resend),
        ]

    # ── The list ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def index(
        self, q: str = "", status: str = "", client: str = "", template: str = "", time: str = "", before: str = ""
    ) -> Response:
        clients = {f"{row['namespace']}/{row['name']}": row["id"] for row in await self._desk.pool.fetch(_CLIENTS)}
        since = datetime.now(UTC) - timedelta(hours=TIMES[time][1]) if time in TIMES else None
        wanted = search.Wanted(
            words=q,
            status=status if status in STATUSES else None,
            client_id=clients.get(client, 0) if client else None,
            template=template or None,
            since=since,
        )
        found = await search.find(self._desk.pool, wanted, limit=PAGE, cursor=before or None)
        asked = {"q": q, "status": status, "client": client, "template": template, "time": time}
        kept = {name: value for name, value in asked.items() if value}
        return self._desk.pages(
            "messages.html",
            asked=asked,
            found=found,
            older=urlencode({**kept, "before": found.next}) if found.next else None,
            first=urlencode(kept) if before else None,
            narrowed=bool(kept),
            statuses=STATUSES,
            times=TIMES,
            clients=list(clients),
            templates=[row["name"] for row in await self._desk.pool.fetch(_TEMPLATES)],
        )

    # ── One ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def message(self, message_id: str) -> Response:
        found, more = await self._found(identifier(message_id))
        return self._desk.pages("message.html", **self._shown(found), **more)

    async def timeline(self, message_id: str) -> Response:
        """What has happened so far, asked for as long as somebody looks."""
        found, more = await self._found(identifier(message_id))
        return self._desk.pages("timeline.html", **self._shown(found), **more)

    async def mail(self, message_id: str) -> Response:
        """The mail as it was, or would be, sent."""
        number = identifier(message_id)
        kept = await inbox.get(self._desk.pool, number)
        rendered = await self._rendered(number)
        return self._desk.pages(
            "mail.html",
            id=number,
            rendered=rendered if isinstance(rendered, Rendered) else None,
            fault=None if isinstance(rendered, Rendered) else rendered,
            kept=mime.opened(kept.raw) if kept else None,
        )

    async def html(self, message_id: str) -> Response:
        rendered = await self._rendered(identifier(message_id))
        if not isinstance(rendered, Rendered):
            raise Unknown
        return pages.mail(rendered.html or "")

    async def cancel(self, message_id: str) -> Response:
        number = identifier(message_id)
        row = await self._desk.pool.fetchrow("select client_id from queue where id = $1", number)
        if row is None:
            raise Unknown
        if not await query.cancel(self._desk.pool, row["client_id"], number):
            raise Refused("Only mail that waits for its time can be cancelled, and this one does not any more.")
        await self._desk.note("message.cancel", str(number), {})
        return self._again(number)

    async def resend(self, message_id: str) -> Response:
        """A dead, failed or held message goes into the queue again."""
        number = identifier(message_id)
        pool, doorbell = self._desk.pool, self._desk.doorbell
        done = await stopped.replay_one(pool, doorbell, number, self._desk.actor)
        done = done or await stopped.release(pool, doorbell, number, self._desk.actor)
        if not done:
            raise Refused("Only dead, failed or held mail can be sent again, and this one is none of them any more.")
        return self._again(number)

    def _again(self, number: UUID) -> Response:
        return Response(status_code=204, headers={**pages.HEADERS, "HX-Refresh": "true"})

    async def _found(self, number: UUID) -> tuple[dict[str, Any], dict[str, Any]]:
        found = await query.message(self._desk.pool, None, number)
        row = await self._desk.pool.fetchrow(_MORE, number)
        if found is None or row is None:
            raise Unknown
        content = msgspec.json.decode(row["content"], type=Content) if row["content"] else None
        return found, {
            "client": f"{row['namespace']}/{row['client']}",
            "route": list(row["route"]) or self._desk.settings.default_route,
            "sent_data": msgspec.json.decode(row["data"]) if row["data"] else None,
            "locale": row["locale"],
            "title": content.subject if content else row["template"],
        }

    def _shown(self, found: dict[str, Any]) -> dict[str, Any]:
        steps = sorted(_steps(found), key=lambda step: (step["at"], step["rank"]))
        return {
            "m": found,
            "steps": steps,
            "counts": _counts(found["recipients"]),
            "may_resend": found["status"] in (*REPLAYABLE, "held"),
            "may_cancel": found["status"] == "scheduled" and not found["attempt_count"],
        }

    async def _rendered(self, number: UUID) -> Rendered | str:
        """The mail again from the stored data and revision, or why that does not work."""
        found = await remake.find(self._desk.pool, number)
        if found is None:
            raise Unknown
        return await remake.rendered(self._desk.catalog, self._desk.renderer(), found[0])


def _steps(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The timeline: accepted, each attempt, each event; `word` is the status whose icon and colour it has."""
    steps = [_step("queued", found["created_at"], 0, "Accepted", found["lane"] + " lane", "")]
    for attempt in found["attempts"]:
        word = {"sent": "sent", "retryable": "deferred", "uncertain": "held"}.get(attempt["outcome"], "failed")
        title = f"Attempt {attempt['number']}: " + {
            "sent": f"sent by {attempt['provider']}",
            "deferred": f"{attempt['provider'] or 'no provider'} did not take it, tried again",
            "held": f"{attempt['provider']} may or may not have taken it",
        }.get(word, "failed")
        at = attempt["started_at"] + timedelta(seconds=attempt["seconds"])
        steps.append(_step(word, at, 1, title, f"took {pages.lasted(attempt['seconds'])}", attempt["detail"]))
    for event in found["events"]:
        title = f"{event['event'].capitalize()}: {event['recipient'] or 'every recipient'}"
        word = event["event"] if event["event"] in STATUSES else "idle"
        steps.append(_step(word, event["at"], 1 + RANK[event["event"]], title, event["provider"], event["reason"]))
    if found["send_at"]:
        steps.append(_step("scheduled", found["send_at"], 99, "Goes out", "if nobody cancels it", found["error"] or ""))
    return steps


def _step(word: str, at: datetime, rank: int, title: str, about: str, quote: str) -> dict[str, Any]:
    return {"word": word, "at": at, "rank": rank, "title": title, "about": about, "quote": quote}


def _counts(recipients: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """How many recipients have each status, the worst first."""
    words = [one["status"] for one in recipients]
    return sorted(((word, words.count(word)) for word in set(words)), key=lambda one: -RANK[one[0]])
