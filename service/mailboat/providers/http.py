"""What the providers over HTTP share: one call, one answer, and every way in which that goes wrong."""

from __future__ import annotations

import asyncio
import math
import os
import re
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import certifi
import msgspec
from aiohttp.abc import AbstractStreamWriter

from mailboat.errors import Misconfigured, ProviderError, Rejected, Throttled, Unavailable, Uncertain
from mailboat.providers.fields import one_line
from mailboat.providers.manifest import Limits

LARGEST_ANSWER = 65_536  # octets that are read of an answer; the rest is left
LONGEST_WAIT = 86_400.0  # seconds that a provider may ask us to wait
JSON = "application/json"

Verdicts = Mapping[int, type[ProviderError]]

STATUSES: Verdicts = {
    400: Rejected,
    408: Unavailable,
    413: Rejected,
    422: Rejected,
    425: Unavailable,
    429: Throttled,
}
"""What a status means unless a provider knows better. Beyond the table: 5xx is Unavailable, anything else
Misconfigured, since a mail must not be lost for an answer that nobody understands."""

_TAG = re.compile(r"<[^<>]*>")


class Request(NamedTuple):
    """What `build` makes: a POST."""

    path: str
    content: bytes
    content_type: str = JSON


class Answer(NamedTuple):
    """What came back, at most LARGEST_ANSWER octets of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The JSON object in the body; {} for anything else that a server may say."""
        try:
            value = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def text(self) -> str:
        """The body as words, HTML without its tags."""
        text = self.body[:4096].decode("utf-8", "replace")
        return _TAG.sub(" ", text) if text.lstrip().startswith("<") else text


class Api:
    """Connections to one API. `host` names it in details; secrets in what it says are blanked."""

    def __init__(self, base: str, headers: Mapping[str, str], limits: Limits, *, secrets: tuple[str, ...]) -> None:
        self._secrets, self._timeout, self._most = secrets, limits.seconds, limits.max_concurrent
        self._base = base.rstrip("/")
        self._headers = {"User-Agent": "mailboat", "Accept": JSON, "Accept-Encoding": "identity", **headers}
        self._session: aiohttp.ClientSession | None = None
        self.host = urlsplit(base).hostname or base

    async def post(self, request: Request) -> Answer:
        return await self._call("POST", request.path, request.content, {"Content-Type": request.content_type})

    async def get(self, path: str) -> Answer:
        return await self._call("GET", path, b"", {})

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def fault(self, answer: Answer, words: str, verdict: type[ProviderError]) -> ProviderError:
        """The error for an answer that is not a yes; `words` is what the provider says, if anything."""
        said = one_line(words or answer.text(), secrets=self._secrets) or "no reason given"
        detail = f"{self.host} answered HTTP {answer.status}: {said}"
        if verdict is Throttled:
            return Throttled(detail, retry_after=retry_after(answer.headers))
        return verdict(detail)

    async def _call(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises Unavailable before the whole request was written, Uncertain after: then it may have been obeyed."""
        body = _Body(content)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(method, path, body, headers)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one
            raise self._lost(error, body.handed_over) from None

    async def _exchange(self, method: str, path: str, body: _Body, headers: Mapping[str, str]) -> Answer:
        async with self._opened().request(
            method, self._base + path, data=body if method == "POST" else None, headers=headers, allow_redirects=False
        ) as response:
            found = bytearray()
            async for chunk in response.content.iter_any():
                found += chunk
                if len(found) >= LARGEST_ANSWER:
                    response.close()
                    break
            return Answer(response.status, response.headers, bytes(found[:LARGEST_ANSWER]))

    def _opened(self) -> aiohttp.ClientSession:
        """Opened at the first call, since it needs a loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._most, ssl=_trust()),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),
                auto_decompress=False,
                trust_env=True,
            )
        return self._session

    def _lost(self, error: Exception, handed_over: bool) -> ProviderError:
        if isinstance(error, TimeoutError):
            why = f"did not answer within {self._timeout:g} s"
        else:
            why = one_line(str(error), secrets=self._secrets) or type(error).__name__
        if handed_over:
            return Uncertain(f"{self.host}: {why}; it may have taken the request")
        if "CERTIFICATE_VERIFY_FAILED" in why:
            return Misconfigured(f"{self.host} has a certificate that is not trusted; nothing was sent: {why}")
        return Unavailable(f"{self.host} could not be reached: {why}")


class _Body(aiohttp.Payload):
    """A body that knows whether all of it was written: the one fact that decides between two verdicts."""

    _value: bytes

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._size = len(content)
        self.handed_over = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await writer.write(self._value)
        self.handed_over = True

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)


@lru_cache(1)
def _trust() -> ssl.SSLContext:
    """The authorities that SSL_CERT_FILE names, else Mozilla's."""
    return ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())


def verdict(status: int, table: Verdicts = STATUSES) -> type[ProviderError]:
    return table.get(status) or (Unavailable if status >= 500 else Misconfigured)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: Retry-After as seconds or date (RFC 9110 §10.2.3), else X-RateLimit-Reset in Unix time."""
    text = headers.get("retry-after", "").strip()
    try:
        if text:
            seconds = float(text) if text[0].isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
        else:
            seconds = float(headers.get("x-ratelimit-reset", "")) - time.time()
    except (ValueError, OverflowError, OSError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT) if math.isfinite(seconds) else None
