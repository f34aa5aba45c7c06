"""Providers: those of the settings and those that were declared, and how their latest attempts went."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from mailboat.dashboard.desk import Desk, Route
from mailboat.domain import identifier, leg

HOURS = 24
KINDS = {"smtp": "SMTP", "ses": "Amazon SES", "sendgrid": "SendGrid", "mailgun": "Mailgun", "postmark": "Postmark",
         "inbox": "Inbox"}  # fmt: skip
MOST = 20_000  # of the newest attempts that are counted

_RECORDS = "select namespace, name, kind, allowed, updated_at from providers order by namespace, name"
_STATUS = "select namespace, name, status from declared where kind = 'EmailProvider'"
_ATTEMPTS = f"""
with newest as (select provider, outcome, detail, started_at, seconds from attempts where message_id >= $1
                order by message_id desc limit {MOST})
select provider, count(*) as attempts, count(*) filter (where outcome = 'sent') as sent,
    count(*) filter (where outcome = 'retryable') as retryable,
    count(*) filter (where outcome = 'uncertain') as uncertain, count(*) filter (where outcome = 'failed') as failed,
    percentile_cont(0.95) within group (order by seconds) as p95, max(started_at) as latest,
    (array_agg(detail order by started_at desc) filter (where outcome <> 'sent'))[1] as fault,
    max(started_at) filter (where outcome <> 'sent') as fault_at
from newest where provider is not null group by 1
"""
_EVENTS = """
select provider, max(received_at) as latest from events where received_at > now() - interval '7 days' group by 1
"""
_CLIENTS = "select namespace, name, route from clients where not suspended order by namespace, name limit 1000"


class Providers:
    """`/ui/providers`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [("GET", "/ui/providers", self.index)]

    async def index(self) -> Response:
        return self._desk.pages("providers.html", providers=await self._providers(), hours=HOURS, kinds=KINDS)

    async def _providers(self) -> list[dict[str, Any]]:
        pool = self._desk.pool
        since = identifier.floor(datetime.now(UTC) - timedelta(hours=HOURS))
        attempts = {row["provider"]: row for row in await pool.fetch(_ATTEMPTS, since)}
        events = {row["provider"]: row["latest"] for row in await pool.fetch(_EVENTS)}
        statuses = {(row["namespace"], row["name"]): row["status"] for row in await pool.fetch(_STATUS)}
        clients = await pool.fetch(_CLIENTS)
        known = [(row["namespace"], row["name"], row["kind"], row["allowed"]) for row in await pool.fetch(_RECORDS)]
        names = {name for _, name, _, _ in known}
        route = leg.names(self._desk.settings.default_route)
        known += [("", name, name if name in KINDS else "", []) for name in route if name not in names]
        names |= set(route)
        known += [("", name, "", []) for name in sorted(set(attempts) - names)]
        return [
            {
                "namespace": namespace,
                "name": name,
                "kind": kind,
                "allowed": allowed,
                "attempts": attempts.get(name),
                "event": events.get(name),
                "conditions": _conditions(statuses.get((namespace, name))),
                "clients": [c["name"] for c in clients if name in (leg.names(c["route"]) or route)],
            }
            for namespace, name, kind, allowed in known
        ]


def _conditions(status: str | None) -> list[dict[str, Any]]:
    found = json.loads(status) if status else {}
    return [
        {"type": one.get("type", ""), "ok": one.get("status") == "True", "message": one.get("message", "")}
        for one in found.get("conditions", [])
    ]
