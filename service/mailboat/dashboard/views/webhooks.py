"""Webhook endpoints: whom clients want told, what they were told, and telling it again."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from mailboat.dashboard import pages
from mailboat.dashboard.desk import Desk, Refused, Route, Unknown, fields, form, identifier
from mailboat.declare.seal import Sealer
from mailboat.delivery import endpoints, outbound
from mailboat.delivery.endpoints import Endpoints
from mailboat.errors import ConfigurationError

PAGE = 50
LONGEST_URL = 2048
OVERLAP_SECONDS = {"0": 0.0, "1": 3600.0, "24": 86400.0, "168": 604800.0}
# How a delivery looks, in the words of the pills.
PILLS = {"waiting": "queued", "paused": "held", "sending": "sending", "delivered": "delivered", "failed": "failed"}

_CLIENTS = "select namespace || '/' || name from clients order by 1 limit 500"
_CLIENT = "select id from clients where namespace || '/' || name = $1"


class Webhooks:
    """`/ui/webhooks` and what is below it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        one = "/ui/webhooks/{endpoint}"
        return [
            ("GET", "/ui/webhooks", self.index),
            ("POST", "/ui/webhooks", self.create),
            ("GET", one, self.endpoint),
            ("POST", one, self.change),
            ("DELETE", one, self.remove),
            ("POST", one + "/pause", self.pause),
            ("POST", one + "/resume", self.resume),
            ("POST", one + "/rotate", self.rotate),
            ("POST", one + "/test", self.test),
            ("POST", one + "/replay", self.replay),
            ("POST", one + "/deliveries/{delivery}/replay", self.replay_one),
        ]

    # ── All ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def index(self, q: str = "", skip: str = "") -> Response:
        words, passed = q.strip().replace("\0", ""), int(skip) if skip.isdecimal() and len(skip) < 9 else 0
        found = await endpoints.everybodys(self._desk.pool, words, skip=passed, limit=PAGE + 1)
        kept = {"q": words} if words else {}
        return self._desk.pages(
            "webhooks.html",
            q=words,
            found=found[:PAGE],
            latest=endpoints.LATEST,
            following=urlencode({**kept, "skip": passed + PAGE}) if len(found) > PAGE else None,
            clients=[row[0] for row in await self._desk.pool.fetch(_CLIENTS)],
            events=outbound.EVENTS,
            here=f"/ui/webhooks?{urlencode({**kept, 'skip': passed})}",
        )

    async def create(self, request: Request) -> Response:
        given = await fields(request)
        single = dict(given)
        client = await self._desk.pool.fetchval(_CLIENT, single.get("client", ""))
        if client is None:
            raise Refused("Choose the client whose mail is told of.")
        made = await self._of(client).add(_url(single), _events(given))
        await self._desk.note("webhook.create", single["client"], {"endpoint": str(made["id"]), "url": made["url"]})
        headers = {"HX-Trigger": "tick"}
        return self._desk.pages("webhook-made.html", 200, headers, made=made, new=True)

    # ── One ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def endpoint(self, endpoint: str, state: str = "", cursor: str = "") -> Response:
        number, mine, client = await self._found(endpoint)
        state = state if state in PILLS else ""
        shown = await mine.get(number)
        log = await mine.log(number, state=state or None, limit=PAGE, cursor=identifier(cursor) if cursor else None)
        kept = {"state": state} if state else {}
        place = f"/ui/webhooks/{number}"
        return self._desk.pages(
            "webhook.html",
            one=shown,
            client=client,
            place=place,
            state=state,
            states=list(PILLS),
            pills_of=PILLS,
            log=[_told(delivery) for delivery in log["items"]],
            older=urlencode({**kept, "cursor": log["next"]}) if log["next"] else None,
            first=urlencode(kept) if cursor else None,
            here=f"{place}?{urlencode({**kept, 'cursor': cursor})}",
            events=outbound.EVENTS,
        )

    async def change(self, request: Request, endpoint: str) -> Response:
        number, mine, client = await self._found(endpoint)
        await _undeclared(mine, number)
        given = await fields(request)
        url, events = _url(dict(given)), _events(given)
        await mine.change(number, url, events)
        return await self._done("webhook.change", client, number, {"url": url, "events": events}, refresh=True)

    async def remove(self, endpoint: str) -> Response:
        number, mine, client = await self._found(endpoint)
        await _undeclared(mine, number)
        await mine.remove(number)
        await self._desk.note("webhook.remove", client, {"endpoint": str(number)})
        return Response(status_code=204, headers={**pages.HEADERS, "HX-Redirect": "/ui/webhooks"})

    async def pause(self, endpoint: str) -> Response:
        number, mine, client = await self._found(endpoint)
        await mine.pause(number)
        return await self._done("webhook.pause", client, number, {}, refresh=True)

    async def resume(self, endpoint: str) -> Response:
        number, mine, client = await self._found(endpoint)
        await mine.resume(number)
        return await self._done("webhook.resume", client, number, {}, refresh=True)

    async def rotate(self, request: Request, endpoint: str) -> Response:
        number, mine, client = await self._found(endpoint)
        await _undeclared(mine, number)
        hours = (await form(request)).get("overlap", "24")
        made = await mine.rotate(number, OVERLAP_SECONDS.get(hours, OVERLAP_SECONDS["24"]))
        await self._desk.note("webhook.rotate", client, {"endpoint": str(number), "overlap_hours": hours})
        return self._desk.pages("webhook-made.html", made=made, new=False)

    async def test(self, endpoint: str) -> Response:
        number, mine, client = await self._found(endpoint)
        delivery = await mine.test(number)
        return await self._done("webhook.test", client, number, {"delivery": str(delivery)})

    async def replay(self, endpoint: str) -> Response:
        number, mine, client = await self._found(endpoint)
        replayed = await mine.replay(number, None)
        if not replayed:
            raise Refused("Nothing has failed here that could be told again.")
        return await self._done("webhook.replay", client, number, {"deliveries": replayed})

    async def replay_one(self, endpoint: str, delivery: str) -> Response:
        number, mine, client = await self._found(endpoint)
        if not await mine.replay(number, identifier(delivery)):
            raise Refused("Only what was delivered or has failed can be told again.")
        return await self._done("webhook.replay", client, number, {"delivery": delivery})

    async def _found(self, endpoint: str) -> tuple[UUID, Endpoints, str]:
        """Its id, the endpoints of its client, and that client's name."""
        number = identifier(endpoint)
        client, namespace, name = await endpoints.owner(self._desk.pool, number)
        return number, self._of(client), f"{namespace}/{name}"

    def _of(self, client: int) -> Endpoints:
        """The endpoints of a client; without a key to seal with they can be read and not changed."""
        try:
            sealer = Sealer(self._desk.settings.sealing_key)
        except ConfigurationError as error:
            raise Refused(f"This server cannot keep secrets: {error}") from None

        def seal(secrets: endpoints.Secrets, place: str) -> bytes | None:
            try:
                return sealer.seal(secrets, place)
            except ConfigurationError as error:
                raise Refused(str(error)) from None

        def unseal(sealed: bytes | None, place: str) -> endpoints.Secrets:
            try:
                return sealer.open(sealed, place)
            except ConfigurationError as error:
                raise Refused(str(error)) from None

        return Endpoints(self._desk.pool, client, seal, unseal)

    async def _done(
        self, action: str, client: str, number: UUID, detail: dict[str, Any], *, refresh: bool = False
    ) -> Response:
        """Noted, and the page brings itself up to date."""
        await self._desk.note(action, client, {"endpoint": str(number), **detail})
        told = {"HX-Refresh": "true"} if refresh else {"HX-Trigger": "tick"}
        return Response(status_code=204, headers={**pages.HEADERS, **told})


async def _undeclared(mine: Endpoints, endpoint: UUID) -> None:
    if (await mine.get(endpoint))["origin"] == "resource":
        raise Refused("An EmailClient declares this endpoint: change it there, or the next sweep undoes the change.")


def _url(given: dict[str, str]) -> str:
    url = given.get("url", "").strip()
    if not 10 <= len(url) <= LONGEST_URL:
        raise Refused(f"The address is a URL of at most {LONGEST_URL:,} characters.")
    return url


def _events(given: list[tuple[str, str]]) -> list[str]:
    """Those that were ticked; all of them is none, which means all that there will ever be."""
    ticked = {value for name, value in given if name == "events"}
    if ticked - set(outbound.EVENTS):
        raise Unknown
    return [event for event in outbound.EVENTS if event in ticked] if ticked != set(outbound.EVENTS) else []


def _told(delivery: dict[str, Any]) -> dict[str, Any]:
    """A delivery with what a row shows of it: whom its event is about, and the last answer."""
    data = delivery["body"].get("data") or {}
    last = delivery["tries"][-1] if delivery["tries"] else None
    return {**delivery, "recipient": data.get("recipient"), "message_id": data.get("message_id"), "last": last}
