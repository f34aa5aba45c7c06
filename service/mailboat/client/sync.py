"""`Mailboat`: the client for programs without asyncio. May be shared by threads."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
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


class Mailboat:
    """The API as one client sees it. Calls raise what `client.errors` draws.

    A call is tried again when nobody answers, and at 429, 502, 503 and 504, as `retry` says. `send` and `batch` carry
    idempotency keys, so that nothing is sent twice by it. Close it, or use it as a context manager.
    """

    def __init__(
        self,
        url: str,
        key: str,
        secret: str,
        *,
        timeout: float = 10.0,
        retry: Policy = Policy(),  # noqa: B008 - frozen
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retry = retry
        self._http = httpx.Client(**session.options(url, key, secret, timeout), transport=transport)
        self.suppressions = Suppressions(self)

    def send(self, to: Addresses, **fields: Unpack[Fields]) -> types.Sent:
        """Send one mail: `template` and `data`, maybe with its own `subject`, or `subject` with `html` or `text`."""
        return self.call(calls.send(to, fields))

    def batch(self, messages: Sequence[BatchMessage], *, mode: Literal["all", "each"] = "all") -> types.BatchOutcome:
        """Send up to 1,000 mails: all of them or none, or each that is valid."""
        return self.call(calls.batch(messages, mode))

    def get(self, identifier: UUID | str) -> types.Message:
        """A message with its recipients, attempts and events."""
        return self.call(calls.get(identifier))

    def list(self, **filters: Unpack[Filters]) -> Iterator[types.ListedMessage]:
        """Messages, newest first; pages are fetched as they are needed."""
        cursor = None
        while True:
            page = self.call(calls.messages(filters, cursor))
            yield from page.items
            if (cursor := page.next) is None:
                return

    def cancel(self, identifier: UUID | str) -> types.Message:
        """Stop a message that waits for its `send_at`. Raises Conflict when it is too late."""
        return self.call(calls.cancel(identifier))

    def templates(self) -> Sequence[str]:
        """The names of the templates that this client may use."""
        return [item.name for item in self.call(calls.templates()).items]

    def template(self, name: str) -> types.Template:
        """A template with its live revision."""
        return self.call(calls.template(name))

    def render(self, name: str, data: Mapping[str, Any] | None = None, *, locale: str | None = None) -> types.Preview:
        """What a mail would hold, without `data` with the template's example. Nothing is sent."""
        return self.call(calls.render(name, data, locale))

    def usage(self) -> types.Usage:
        """What was accepted this month, what is left of the quota, and the rate limit."""
        return self.call(calls.usage())

    def call(self, call: Call[Answer]) -> Answer:
        """Make a call until it is answered or its tries are used up."""
        tries = session.Tries(call, self._retry)
        while True:
            try:
                answer = self._http.request(**session.request(call))
            except httpx.TransportError as error:
                tries.failed(error)
            else:
                if tries.is_done(answer):
                    return session.read(call, answer)
            time.sleep(tries.wait)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Suppressions:
    """The client's own list of addresses that must not be mailed again."""

    def __init__(self, mailboat: Mailboat) -> None:
        self._mailboat = mailboat

    def list(self, *, reason: str | None = None) -> Iterator[types.Suppression]:
        """Every entry, by address."""
        cursor = None
        while True:
            page = self._mailboat.call(calls.suppressions(reason, cursor))
            yield from page.items
            if (cursor := page.next) is None:
                return

    def get(self, address: str) -> types.Suppression:
        """Why an address is suppressed. Raises NotFound when it is not."""
        return self._mailboat.call(calls.suppression(address))

    def add(
        self, address: str, *, reason: str = "manual", detail: str = "", expires_at: datetime | None = None
    ) -> types.Suppression:
        """Mail to this address no more."""
        return self._mailboat.call(calls.suppress(address, reason, detail, expires_at))

    def remove(self, address: str) -> None:
        """Mail may go there again. Raises NotFound when it was not suppressed."""
        return self._mailboat.call(calls.unsuppress(address))
