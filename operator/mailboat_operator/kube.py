"""The API server: the one module that talks to it (kopf aside). Its failures are KubeErrors."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import aiohttp
import kopf
import msgspec
import structlog

from mailboat.errors import ConfigurationError, MailboatError
from mailboat_operator.reconcile.objects import MANAGER, Object

log = structlog.get_logger()
FRESH_SECONDS = 60.0  # how long a token is used before its file is read again
CHUNK = 500  # objects of which nothing but metadata is asked for
PAGE = 64  # whole objects in memory at once: one may have 200,000 characters
ANSWER_SECONDS = 10.0
LONGEST_WAIT = 60.0  # that a server may ask for
WATCH_SECONDS, SILENCE_SECONDS = 240, 70.0
META = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
META_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
MERGE, SSA = "application/merge-patch+json", "application/apply-patch+yaml"


class KubeError(MailboatError):
    """The API server did not do what it was asked. `status` is HTTP's, 0 when there was no answer.

    `wait` is how many seconds the server asked for (Retry-After). The text names the request and the server's reason,
    and nothing of what was sent.
    """

    def __init__(self, request: str, status: int, reason: str, wait: float = 0.0) -> None:
        super().__init__(f"{request}: {status or 'no answer'} {reason}")
        self.status, self.wait = status, wait


class Conflict(KubeError):
    """Somebody else was faster."""


class Gone(KubeError):
    """The watch asked for more of the past than the server keeps."""


_CLASSES = {409: Conflict, 410: Gone}


def login() -> kopf.ConnectionInfo:
    """How to reach the API server: KUBECONFIG when it is set, else as the pod's ServiceAccount, else ~/.kube/config.

    To be used for a minute: tokens are replaced while they still hold. Raises ConfigurationError.
    """
    ways = [kopf.login_with_service_account, kopf.login_with_kubeconfig]
    if os.environ.get("KUBECONFIG"):
        ways.reverse()
    for way in ways:
        if (found := way(settings=kopf.OperatorSettings())) is not None:
            return found
    raise ConfigurationError("There is no Kubernetes: run the operator in a pod, or set KUBECONFIG.")


def expiration() -> datetime:
    """When what `login` gave has to be asked for again."""
    return datetime.now(UTC) + timedelta(seconds=FRESH_SECONDS)


class Kube:
    """A client for one event loop. A context manager."""

    def __init__(self) -> None:
        self._info = login()
        self._at = time.monotonic()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Kube:
        self._session = self._new_session()
        return self

    def _new_session(self) -> aiohttp.ClientSession:
        tls: ssl.SSLContext | bool = self._info.as_ssl_context()
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=32))

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    # --- requests

    async def get(self, path: str, *, metadata: bool = False) -> Object | None:
        """The object, None when it is not there. With `metadata` nothing else of it is sent."""
        try:
            return await self._ask("GET", path, accept=META if metadata else "application/json")
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def serves(self, path: str) -> bool:
        """Whether there is such a collection."""
        try:
            await self._ask("GET", path, accept=META_LIST, query={"limit": "1"})
        except KubeError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def names(self, path: str) -> AsyncIterator[Object]:
        """The metadata of every object of a collection."""
        following: dict[str, str] = {}
        while True:
            page = await self._ask("GET", path, accept=META_LIST, query={"limit": str(CHUNK), **following})
            for item in page.get("items") or ():
                yield item["metadata"]
            following = {"continue": page["metadata"].get("continue") or ""}
            if not following["continue"]:
                return

    async def pages(self, path: str) -> AsyncIterator[list[Object]]:
        """Every object of a collection as it was when this began, some at a time. Raises Gone when that took so long
        that the server has forgotten it."""
        following: dict[str, str] = {}
        while True:
            page = await self._ask("GET", path, query={"limit": str(PAGE), **following})
            yield page.get("items") or []
            following = {"continue": page["metadata"].get("continue") or ""}
            if not following["continue"]:
                return

    async def create(self, path: str, body: Object) -> Object:
        return await self._ask("POST", path, body=body)

    async def patch(self, path: str, body: Object, *, metadata: bool = False) -> Object | None:
        """A merge patch; the object, as for `get`, and None when it is gone. Raises Conflict when `body` has another
        resourceVersion."""
        accept = META if metadata else "application/json"
        try:
            return await self._ask("PATCH", path, body=body, content=MERGE, accept=accept)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def apply(self, path: str, body: Object) -> Object:
        """Server-side apply: the fields of `body` become ours, those that we no longer name go. Gives the metadata."""
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._ask("PATCH", path, body=body, content=SSA, accept=META, query=query)

    async def changes(self, path: str) -> AsyncIterator[Object | None]:
        """The metadata of what changes in a collection, for ever; None: it is not known what has changed meanwhile."""
        version = ""
        while True:
            try:
                if not version:
                    page = await self._ask("GET", path, accept=META_LIST, query={"limit": "1"})
                    version = page["metadata"]["resourceVersion"]
                    yield None
                async for event in self._watch(path, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield event["object"]["metadata"]
            except Gone:
                version = ""
            except KubeError as error:
                log.warning("a watch broke off", path=path, error=str(error))
                await asyncio.sleep(max(2.0, error.wait))

    async def _watch(self, path: str, version: str) -> AsyncIterator[Object]:
        """One watch request: events until the server ends it. Bookmarks come every minute, so silence is a fault."""
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        query["timeoutSeconds"] = str(WATCH_SECONDS)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_SECONDS)
        request = f"WATCH {path}"
        try:
            async with self._open().get(
                self._url(path), params=query, headers=self._headers(META), timeout=timeout
            ) as answer:
                await _check(request, answer)
                rest = b""
                async for part in answer.content.iter_any():
                    *lines, rest = (rest + part).split(b"\n")
                    for line in filter(None, lines):
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            status = event["object"].get("code", 0)
                            raise _CLASSES.get(status, KubeError)(request, status, event["object"].get("reason", ""))
                        yield event
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubeError(request, 0, type(error).__name__) from None

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        content: str = "application/json",
        accept: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        request = f"{method} {path}"
        headers = {**self._headers(accept), "Content-Type": content}
        data = None if body is None else msgspec.json.encode(body)
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=5)
        session = self._open()
        try:
            async with session.request(
                method, self._url(path), params=query, headers=headers, data=data, timeout=timeout
            ) as answer:
                await _check(request, answer)
                found: Object = msgspec.json.decode(await answer.read())
                return found
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
            if isinstance(error, TimeoutError):
                await self._drop(session)
            raise KubeError(request, 0, type(error).__name__) from None

    async def _drop(self, session: aiohttp.ClientSession) -> None:
        """Where one connection was cut silently, so were the others: all begin anew, and none has to be waited for."""
        if session is self._session:
            self._session = self._new_session()
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use it as a context manager"
        return self._session

    def _url(self, path: str) -> str:
        return self._info.server.rstrip("/") + path

    def _headers(self, accept: str) -> dict[str, str]:
        if time.monotonic() - self._at > FRESH_SECONDS:
            self._info, self._at = login(), time.monotonic()
        return {**self._info.as_http_headers(), "Accept": accept, "User-Agent": MANAGER}


async def _check(request: str, answer: aiohttp.ClientResponse) -> None:
    """Raises KubeError for anything but success."""
    if answer.status < 400:
        return
    try:
        reason = (await answer.json(content_type=None)).get("reason") or ""
    except (ValueError, AttributeError, aiohttp.ClientError):
        reason = answer.reason or ""
    asked = answer.headers.get("Retry-After", "")  # the API server gives seconds, never a date
    wait = min(float(asked), LONGEST_WAIT) if asked.isdecimal() else 0.0
    raise _CLASSES.get(answer.status, KubeError)(request, answer.status, reason, wait)
