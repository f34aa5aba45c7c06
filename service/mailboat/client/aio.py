"""`AsyncMailboat`: the client for asyncio; see `sync`, whose methods it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack
from uuid import UUID

import httpx

from mailboat.client import calls, session, types
from mailboat.client.calls import Call
from mailboat.client.retry import Policy
from mailboat.client.types import Addresses, BatchMessage, Fields, Filters

Answer = TypeVar("Answer")


class AsyncMailboat:
    """As `Mailboat`, for one event loop: `async with`, `await mail.send(…)`, `async for message in mail.list()`."""

    def __init__(
        self,
        url: str,
        key: str,
        secret: str,
        *,
        timeout: float = 10.0,
        retry: Policy = Policy(),  # noqa: B008 - frozen
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retry = retry
        self._http = httpx.AsyncClient(**session.options(url, key, secret, timeout), transport=transport)
        self.suppressions = Suppressions(self)

    async def send(self, to: Addresses, **fields: Unpack[Fields]) -> types.Sent:
        """Send one mail: `template` and `data`, maybe with its own `subject`, or `subject` with `html` or `text`."""
        return await self.call(calls.send(to, fields))

    async def batch(
        self, messages: Sequence[BatchMessage], *, mode: Literal["all", "each"] = "all"
    ) -> types.BatchOutcome:
        """Send up to 1,000 mails: all of them or none, or each that is valid."""
        return await self.call(calls.batch(messages, mode))

    async def get(self, identifier: UUID | str) -> types.Message:
        """A message with its recipients, attempts and events."""
        return await self.call(calls.get(identifier))

    async def list(self, **filters: Unpack[Filters]) -> AsyncIterator[types.ListedMessage]:
        """Messages, newest first; pages are fetched as they are needed."""
        cursor = None
        while True:
            page = await self.call(calls.messages(filters, cursor))
            for item in page.items:
                yield item
            if (cursor := page.next) is None:
                return

    async def cancel(self, identifier: UUID | str) -> types.Message:
        """Stop a message that waits for its `send_at`. Raises Conflict when it is too late."""
        return await self.call(calls.cancel(identifier))

    async def templates(self) -> Sequence[str]:
        """The names of the templates that this client may use."""
        return [item.name for item in (await self.call(calls.templates())).items]

    async def template(self, name: str) -> types.Template:
        """A template with its live revision."""
        return await self.call(calls.template(name))

    async def render(
        self, name: str, data: Mapping[str, Any] | None = None, *, locale: str | None = None
    ) -> types.Preview:
        """What a mail would hold, without `data` with the template's example. Nothing is sent."""
        return await self.call(calls.render(name, data, locale))

    async def usage(self) -> types.Usage:
        """What was accepted this month, what is left of the quota, and the rate limit."""
        return await self.call(calls.usage())

    async def call(self, call: Call[Answer]) -> Answer:
        """Make a call until it is answered or its tries are used up."""
        tries = session.Tries(call, self._retry)
        while True:
            try:
                answer = await self._http.request(**session.request(call))
            except httpx.TransportError as error:
                tries.failed(error)
            else:
                if tries.is_done(answer):
                    return session.read(call, answer)
            await asyncio.sleep(tries.wait)

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Suppressions:
    """The client's own list of addresses that must not be mailed again."""

    def __init__(self, mailboat: AsyncMailboat) -> None:
        self._mailboat = mailboat

    async def list(self, *, reason: str | None = None) -> AsyncIterator[types.Suppression]:
        """Every entry, by address."""
        cursor = None
        while True:
            page = await self._mailboat.call(calls.suppressions(reason, cursor))
            for item in page.items:
                yield item
            if (cursor := page.next) is None:
                return

    async def get(self, address: str) -> types.Suppression:
        """Why an address is suppressed. Raises NotFound when it is not."""
        return await self._mailboat.call(calls.suppression(address))

    async def add(
        self, address: str, *, reason: str = "manual", detail: str = "", expires_at: datetime | None = None
    ) -> types.Suppression:
        """Mail to this address no more."""
        return await self._mailboat.call(calls.suppress(address, reason, detail, expires_at))

    async def remove(self, address: str) -> None:
        """Mail may go there again. Raises NotFound when it was not suppressed."""
        return await self._mailboat.call(calls.unsuppress(address))
