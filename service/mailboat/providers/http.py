"""What the providers over HTTP share: one call, one answer, and every way in which that goes wrong."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx
import msgspec

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
        self._secrets = secrets
        self._timeout = limits.seconds
        self._client = httpx.AsyncClient(
            base_url=base,
            headers={"User-Agent": "mailboat", "Accept": JSON, "Accept-Encoding": "identity", **headers},
            timeout=limits.seconds,
            limits=httpx.Limits(max_connections=limits.max_concurrent, max_keepalive_connections=limits.max_concurrent),
        )
        self.host = self._client.base_url.host

    async def post(self, request: Request) -> Answer:
        return await self._call(
            self._client.build_request(
                "POST", request.path, content=request.content, headers={"Content-Type": request.content_type}
            )
        )

    async def get(self, path: str) -> Answer:
        return await self._call(self._client.build_request("GET", path))

    async def close(self) -> None:
        await self._client.aclose()

    def fault(self, answer: Answer, words: str, verdict: type[ProviderError]) -> ProviderError:
        """The error for an answer that is not a yes; `words` is what the provider says, if anything."""
        said = one_line(words or answer.text(), secrets=self._secrets) or "no reason given"
        detail = f"{self.host} answered HTTP {answer.status}: {said}"
        if verdict is Throttled:
            return Throttled(detail, retry_after=retry_after(answer.headers))
        return verdict(detail)

    async def _call(self, request: httpx.Request) -> Answer:
        """Raises Unavailable before the whole request was written, Uncertain after: then it may have been obeyed."""
        progress = _Progress()
        request.extensions = {**request.extensions, "trace": progress}
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(request)
        except (httpx.TransportError, TimeoutError) as error:
            raise self._lost(error, progress.handed_over) from None

    async def _exchange(self, request: httpx.Request) -> Answer:
        response = await self._client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) >= LARGEST_ANSWER:
                    break
            return Answer(response.status_code, response.headers, bytes(body[:LARGEST_ANSWER]))
        finally:
            await response.aclose()

    def _lost(self, error: Exception, handed_over: bool) -> ProviderError:
        if isinstance(error, (TimeoutError, httpx.TimeoutException)):
            why = f"did not answer within {self._timeout:g} s"
        else:
            why = one_line(str(error), secrets=self._secrets) or type(error).__name__
        if handed_over:
            return Uncertain(f"{self.host}: {why}; it may have taken the request")
        if "CERTIFICATE_VERIFY_FAILED" in why:
            return Misconfigured(f"{self.host} has a certificate that is not trusted; nothing was sent: {why}")
        return Unavailable(f"{self.host} could not be reached: {why}")


class _Progress:
    """httpcore's trace, for the one fact that decides between two verdicts."""

    handed_over = False

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_body.complete"):
            self.handed_over = True


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
