"""Providers: those of the settings and those that were declared, how their latest attempts went, how each circuit
stands and stood, the switch, and a mail to try one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mailboat.dashboard import pages
from mailboat.dashboard.desk import Desk, Refused, Route, Unknown, form
from mailboat.declare import trial
from mailboat.delivery import circuits
from mailboat.delivery.providers import switch
from mailboat.domain import address, identifier, leg
from mailboat.domain.address import Address, InvalidAddress
from mailboat.errors import ConfigurationError
from mailboat.limits.breaker import State
from mailboat.providers import records, registry

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
_EVENTS = f"""
select provider, max(received_at) as latest from (
    select provider, received_at from events order by received_at desc limit {MOST}
) as newest group by 1
"""
_CLIENTS = """
select namespace, name, route, senders from clients where not suspended order by namespace, name limit 1000
"""
SUBJECT = "A test from Mailboat"
LONGEST_SUBJECT = 200
STRIP = 96.0  # the width of a day in the picture of a circuit
SLIVER = 0.5  # and what stays visible of a moment


class Providers:
    """`/ui/providers` and what is below it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            ("GET", "/ui/providers", self.index),
            ("POST", "/ui/providers/{key:path}/open", self.open),
            ("POST", "/ui/providers/{key:path}/close", self.close),
            ("POST", "/ui/providers/{key:path}/test", self.test),
        ]

    async def index(self) -> Response:
        fixed, fault = self._fixed()
        return self._desk.pages(
            "providers.html",
            providers=await self._providers(fixed),
            fault=fault,
            hours=HOURS,
            kinds=KINDS,
            subject=SUBJECT,
            longest=LONGEST_SUBJECT,
        )

    async def open(self, request: Request, key: str) -> Response:
        return await self._switched(request, key, "open")

    async def close(self, request: Request, key: str) -> Response:
        return await self._switched(request, key, "closed")

    async def test(self, request: Request, key: str) -> Response:
        """Send one mail through it, and say what it answered."""
        await self._known(key)
        given = await form(request)
        sender, to = _address(given.get("from", ""), "From"), _address(given.get("to", ""), "To")
        subject = given.get("subject", "").strip() or SUBJECT
        if len(subject) > LONGEST_SUBJECT or not subject.isprintable():
            raise Refused(f"A subject is one line of {LONGEST_SUBJECT} characters at most.")
        answer = await trial.send(self._desk.pool, self._desk.settings, key, sender, to, subject)
        await self._desk.note("provider.test", key, {"to": to.email, "accepted": answer.ok})
        return self._desk.pages("tried.html", answer=answer)

    async def _switched(self, request: Request, key: str, state: State) -> Response:
        await self._known(key)
        reason = (await form(request)).get("reason", "").strip()[:500]
        await switch(self._desk.pool, key, state, reason or "in the dashboard", self._desk.actor)
        return Response(status_code=204, headers={**pages.HEADERS, "HX-Trigger": "tick"})

    async def _known(self, key: str) -> None:
        """Raises Unknown."""
        declared = {f"{row['namespace']}/{row['name']}" for row in await self._desk.pool.fetch(_RECORDS)}
        if key not in declared | {name for name, _ in self._fixed()[0]}:
            raise Unknown

    def _fixed(self) -> tuple[list[tuple[str, str]], str]:
        """Name and kind of those of the settings, and why they cannot be read."""
        try:
            return registry.names(self._desk.settings), ""
        except ConfigurationError as error:
            return [], str(error)

    async def _providers(self, fixed: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        pool = self._desk.pool
        since = identifier.floor(datetime.now(UTC) - timedelta(hours=HOURS))
        attempts = {row["provider"]: row for row in await pool.fetch(_ATTEMPTS, since)}
        events = {row["provider"]: row["latest"] for row in await pool.fetch(_EVENTS)}
        statuses = {(row["namespace"], row["name"]): row["status"] for row in await pool.fetch(_STATUS)}
        clients = await pool.fetch(_CLIENTS)
        route = leg.names(self._desk.settings.default_route)
        found = []
        for namespace, name, kind, allowed in _everything(await pool.fetch(_RECORDS), fixed, route, attempts):
            users = [client for client in clients if name in (leg.names(client["route"]) or route)]
            found.append(
                {
                    "key": f"{namespace}/{name}" if namespace else name,
                    "namespace": namespace,
                    "name": name,
                    "kind": kind,
                    "allowed": allowed,
                    "attempts": attempts.get(name),
                    "event": events.get(records.reported(namespace, name) if namespace else name),
                    "conditions": _conditions(statuses.get((namespace, name))),
                    "clients": [client["name"] for client in users],
                    "sender": _sender(users),
                }
            )
        return await self._with_circuits(found)

    async def _with_circuits(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        keys, now = [one["key"] for one in found], datetime.now(UTC)
        states, history = await circuits.states(self._desk.pool, keys), await circuits.history(self._desk.pool, keys)
        for one in found:
            changes = history[one["key"]]
            one |= {"circuit": states[one["key"]][0], "held_open": states[one["key"]][1], "history": changes}
            one |= {"strip": strip(changes, now), "opened": _opened(changes, now)}
        return found


def strip(changes: Sequence[dict[str, Any]], now: datetime) -> list[tuple[str, float, float]]:
    """A circuit's last 24 hours as state, place and width of STRIP; `changes` come newest first."""
    began = now - timedelta(hours=HOURS)
    before = [change for change in changes if change["at"] <= began]
    within = reversed(changes[: len(changes) - len(before)])
    points = [
        (0.0, before[0]["state"] if before else "closed"),
        *(((change["at"] - began) / timedelta(hours=HOURS) * STRIP, change["state"]) for change in within),
    ]
    ends = [place for place, _ in points[1:]] + [STRIP]
    return [
        (state, round(place, 2), round(max(end - place, SLIVER), 2))
        for (place, state), end in zip(points, ends, strict=True)
    ]


def _opened(changes: Sequence[dict[str, Any]], now: datetime) -> list[datetime]:
    """When it opened in the last 24 hours, the oldest first."""
    began = now - timedelta(hours=HOURS)
    return [change["at"] for change in reversed(changes) if change["state"] == "open" and change["at"] > began]


def _everything(
    rows: Sequence[Any], fixed: Sequence[tuple[str, str]], route: Sequence[str], attempted: Any
) -> list[tuple[str, str, str, list[str]]]:
    """Namespace, name, kind and who else may use it: what was declared, then what the settings name or make, then
    what mail went through that is neither any more."""
    known = [(row["namespace"], row["name"], row["kind"], list(row["allowed"])) for row in rows]
    kinds = dict(fixed)
    names = {name for _, name, _, _ in known}
    others = dict.fromkeys([*route, *kinds, *sorted(attempted)])
    return known + [("", name, kinds.get(name, ""), []) for name in others if name in kinds or name not in names]


def _sender(clients: Sequence[Any]) -> str:
    """Whose name a test may go out under: the first address that one of these clients sends from."""
    senders = (sender for client in clients for sender in client["senders"] if "*" not in sender)
    return next(senders, "")


def _address(text: str, field: str) -> Address:
    try:
        return address.parse(text)
    except InvalidAddress as error:
        raise Refused(f"{field} is not a mail address: {error}.") from None


def _conditions(status: str | None) -> list[dict[str, Any]]:
    found = json.loads(status) if status else {}
    return [
        {"type": one.get("type", ""), "ok": one.get("status") == "True", "message": one.get("message", "")}
        for one in found.get("conditions", [])
    ]
