"""Clients: who may send, how much of its quota is used, and its keys."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from mailboat.dashboard import pages
from mailboat.dashboard.desk import Desk, Refused, Route, form
from mailboat.delivery import providers
from mailboat.delivery.administer import Administration
from mailboat.delivery.client_change import NULLABLE, ClientChange
from mailboat.errors import ConfigurationError
from mailboat.providers import registry

PAGE = 60
OVERLAP_HOURS = {"0": 0.0, "1": 1.0, "24": 24.0, "168": 168.0}
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LISTS = ("senders", "templates", "route")
FIGURES = ("rate_per_minute", "rate_burst", *NULLABLE)
CHOICES = ("lane", "on_uncertain")
# How the form calls them.
NAMES = {
    "senders": "Senders", "templates": "Templates", "route": "Route", "rate_per_minute": "Mails a minute",
    "rate_burst": "Burst", "quota_monthly": "Quota a month", "retry_attempts": "Attempts",
    "retry_base_seconds": "First pause", "retry_cap_seconds": "Longest pause", "lane": "Lane",
    "on_uncertain": "Uncertain mail",
}  # fmt: skip
_KEPT = "select exists (select from declared where kind = 'EmailClient' and namespace = $1 and name = $2)"


class Clients:
    """`/ui/clients` and what is below it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        one = "/ui/clients/{namespace}/{name}"
        return [
            ("GET", "/ui/clients", self.index),
            ("POST", "/ui/clients", self.create),
            ("GET", one, self.client),
            ("POST", one, self.change),
            ("POST", one + "/keys", self.create_key),
            ("POST", one + "/keys/rotate", self.rotate),
            ("POST", one + "/keys/{key}/revoke", self.revoke),
            ("POST", one + "/suspend", self.suspend),
            ("POST", one + "/resume", self.resume),
        ]

    @property
    def _administration(self) -> Administration:
        return Administration(self._desk.orm(), self._desk.actor)

    async def index(self, after: str = "") -> Response:
        found = await self._administration.list_clients(PAGE, after.replace("\0", "") or None)
        now = datetime.now(UTC)
        clients = [client | {"use": use(client, now)} for client in found["items"]]
        clients.sort(key=lambda client: -(client["use"]["share"] or 0))
        return self._desk.pages("clients.html", clients=clients, following=found["next"], month=f"{now:%B}")

    async def create(self, request: Request) -> Response:
        given = await form(request)
        name, sender = given.get("name", "").strip(), given.get("sender", "").strip()
        if not _LABEL.fullmatch(name):
            raise Refused("A client's name has small letters, digits and hyphens, 63 at most.")
        values = change_of({"senders": sender}).values()
        await self._administration.create_client("default", name, values)
        headers = {**pages.HEADERS, "HX-Redirect": f"/ui/clients/default/{name}"}
        return Response(status_code=204, headers=headers)

    async def client(self, namespace: str, name: str) -> Response:
        return self._desk.pages("client.html", **await self._shown(namespace, name), made=None)

    async def change(self, request: Request, namespace: str, name: str) -> Response:
        """Its senders, limits and rules, as the form has them."""
        if await self._desk.pool.fetchval(_KEPT, namespace.replace("\0", ""), name.replace("\0", "")):
            raise Refused(
                f"EmailClient {namespace}/{name} declares them: change it there, or the next sweep undoes it."
            )
        values = change_of(await form(request)).values()
        await self._administration.update_client(namespace, name, values, "client.update")
        return Response(status_code=204, headers={**pages.HEADERS, "HX-Refresh": "true"})

    async def create_key(self, namespace: str, name: str) -> Response:
        made = await self._administration.create_key(namespace, name)
        return self._desk.pages("client-keys.html", **await self._shown(namespace, name), made=made)

    async def rotate(self, request: Request, namespace: str, name: str) -> Response:
        hours = OVERLAP_HOURS.get((await form(request)).get("overlap", "24"), 24.0)
        made = await self._administration.rotate_keys(namespace, name, hours * 3600)
        return self._desk.pages("client-keys.html", **await self._shown(namespace, name), made=made)

    async def revoke(self, namespace: str, name: str, key: str) -> Response:
        await self._administration.revoke_key(namespace, name, key)
        return self._desk.pages("client-keys.html", **await self._shown(namespace, name), made=None)

    async def suspend(self, namespace: str, name: str) -> Response:
        return await self._switch(namespace, name, suspended=True)

    async def resume(self, namespace: str, name: str) -> Response:
        return await self._switch(namespace, name, suspended=False)

    async def _switch(self, namespace: str, name: str, *, suspended: bool) -> Response:
        action = "client.suspend" if suspended else "client.resume"
        await self._administration.update_client(namespace, name, {"suspended": suspended}, action)
        return Response(status_code=204, headers={**pages.HEADERS, "HX-Refresh": "true"})

    async def _shown(self, namespace: str, name: str) -> dict[str, Any]:
        client = await self._administration.get_client(namespace, name)
        now = datetime.now(UTC)
        return {
            "client": client | {"use": use(client, now)},
            "keys": await self._administration.list_keys(namespace, name),
            "declared": await self._desk.pool.fetchval(_KEPT, namespace, name),
            "route": client["route"] or self._desk.settings.default_route,
            "names": NAMES,
            "warning": await self._warning(client),
            "month": f"{now:%B}",
            "place": f"/ui/clients/{namespace}/{name}",
        }

    async def _warning(self, client: dict[str, Any]) -> str:
        """What its route names that is not there."""
        try:
            fixed = [name for name, _ in registry.names(self._desk.settings)]
        except ConfigurationError as error:
            return f"The providers of the settings cannot be read: {error}"
        missing = await providers.unknown(self._desk.pool, client["namespace"], client["route"], fixed)
        return providers.warning(client["namespace"], missing, client["route"]) if missing else ""


def change_of(given: dict[str, str]) -> ClientChange:
    """The fields of the form: of lists one a line, a figure that is left out null. Raises Refused naming the field."""
    wanted: dict[str, Any] = {}
    for name in LISTS:
        if name in given:
            wanted[name] = [line.strip() for line in given[name].splitlines() if line.strip()]
    for name in FIGURES:
        if name in given:
            wanted[name] = given[name].strip() or None
    wanted |= {name: given[name] for name in CHOICES if name in given}
    try:
        return ClientChange.model_validate(wanted)
    except ValidationError as error:
        fault = error.errors()[0]
        raise Refused(f"{NAMES[str(fault['loc'][0])]}: {fault['msg'].removeprefix('Value error, ')}.") from None


def use(client: dict[str, Any], now: datetime) -> dict[str, Any]:
    """This month's use: `share` of the quota in percent, and what is `expected` at its end at this pace."""
    used, quota = client["accepted_this_month"], client["quota_monthly"]
    days = calendar.monthrange(now.year, now.month)[1]
    passed = now.day - 1 + (now.hour * 60 + now.minute) / 1440
    expected = round(used / passed * days) if passed >= 1 else None
    if not quota:
        return {"share": None, "expected": expected, "state": "sent"}
    share = used / quota * 100
    state = "bad" if share >= 100 else "warn" if share >= 90 or (expected or 0) > quota else "sent"
    return {"share": share, "expected": expected, "state": state}
