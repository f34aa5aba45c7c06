"""Fetch: files that a request names by URL, got before its message is accepted.

From then on they are attachments like all others: stored once, and the same whatever becomes of the URL. They are asked
for through `egress`, so no URL leads into our own network. One request is one round: a URL in it is asked once.
"""

from __future__ import annotations

import asyncio
import mimetypes
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.message import Message
from types import TracebackType
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

import msgspec

from mailboat import egress, metrics
from mailboat.delivery import attach
from mailboat.delivery.accept import Draft, unavailable
from mailboat.delivery.attach import Decoded, Link
from mailboat.egress import Answer

AT_ONCE, AT_ONCE_PER_CLIENT = 32, 4  # fetches in this process
SECONDS = 20.0  # for all files of a request; egress has its own limit for each
HEADERS = {"user-agent": "mailboat", "accept": "*/*", "accept-encoding": "identity"}
_EXTENDED = re.compile(r"filename\*\s*=\s*([\w!#$%&+^`|~{}-]+)'[^']*'([^;\s]+)", re.IGNORECASE | re.ASCII)

File = Decoded | Link
Take = Callable[[int], None]


class Fetcher:
    """Fetches for everybody, a few files at once. `most`: octets of the files of one request together."""

    def __init__(self, client: egress.Client, most: int) -> None:
        self.client, self.most = client, most
        self.slots = asyncio.Semaphore(AT_ONCE)
        self._of_clients: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    def round(self, client_id: int, take: Take) -> Round:
        """The files of one request; `take` is told of octets before they are kept in memory, and may raise."""
        own = self._of_clients.setdefault(client_id, asyncio.Semaphore(AT_ONCE_PER_CLIENT))
        return Round(self, own, take)

    async def close(self) -> None:
        await self.client.close()


class Round:
    """Used as a context, at whose end nothing is under way any more."""

    def __init__(self, fetcher: Fetcher, own: asyncio.Semaphore, take: Take) -> None:
        self._fetcher, self._own, self._take = fetcher, own, take
        self._left = fetcher.most
        self._deadline = asyncio.get_running_loop().time() + SECONDS
        self._asked: dict[str, asyncio.Task[Answer]] = {}

    async def __aenter__(self) -> Round:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)

    def begin(self, files: Iterable[File]) -> None:
        """Ask for what is linked, without waiting for it."""
        for file in files:
            if isinstance(file, Link) and file.url not in self._asked:
                self._asked[file.url] = asyncio.create_task(self._ask(file.url))

    async def complete(self, draft: Draft, files: Sequence[File]) -> tuple[Draft, list[Decoded]]:
        """The draft with all of its files. Raises Problem 422 for the first that cannot be had, 503 when too many are
        being fetched."""
        self.begin(files)
        whole = [await self._file(file) if isinstance(file, Link) else file for file in files]
        about = msgspec.json.encode([file.about for file in whole]).decode()
        return msgspec.structs.replace(draft, attachments=about), whole

    async def _file(self, link: Link) -> Decoded:
        try:
            answer = await self._asked[link.url]
        except egress.Refused as refused:
            raise attach.fault(link.field, str(refused)) from None
        except egress.Failed as failed:
            raise attach.fault(link.field, f"The file at this URL cannot be fetched: {failed}.") from None
        name = link.filename or _name(link.url, answer.headers)
        return attach.made(name, link.content_type or _kind(answer.headers), link.content_id, answer.body)

    async def _ask(self, url: str) -> Answer:
        outcome, waiting = "failed", True
        try:
            async with asyncio.timeout_at(self._deadline), self._own, self._fetcher.slots:
                waiting = False
                answer = await self._fetcher.client.get(url, HEADERS, self._spend)
            _check(answer)
            outcome = "fetched"
            return answer
        except TimeoutError:
            if waiting:
                raise unavailable("too many files are being fetched") from None
            raise egress.Failed(f"the files of this request did not come within {SECONDS:g} s") from None
        except egress.Refused:
            outcome = "refused"
            raise
        finally:
            metrics.FETCHES.inc(outcome)

    def _spend(self, octets: int) -> None:
        self._left -= octets
        if self._left < 0:
            raise egress.Failed(f"the files of a request may have {self._fetcher.most} octets at most, together")
        self._take(octets)


def _check(answer: Answer) -> None:
    """Raises egress.Failed unless the answer is the file."""
    if 300 <= answer.status < 400:
        raise egress.Failed(f"it answered {answer.status}, and redirects are not followed: give the URL they lead to")
    if answer.status != 200:
        raise egress.Failed(f"it answered {answer.status}")
    encoding = answer.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise egress.Failed(f"it answered in the encoding {encoding[:40]!r}, which was not asked for")


def _kind(headers: Mapping[str, str]) -> str | None:
    kind = headers.get("content-type", "").partition(";")[0].strip()
    return kind if attach.is_media_type(kind) else None


def _name(url: str, headers: Mapping[str, str]) -> str:
    """What Content-Disposition calls it (RFC 6266), else the end of the URL's path, else `attachment`."""
    for found in (_disposed(headers.get("content-disposition", "")), unquote(urlsplit(url).path)):
        name = re.split(r"[/\\]", found)[-1].strip()
        if attach.is_filename(name) and name.strip("."):
            return name
    return "attachment" + (mimetypes.guess_extension(_kind(headers) or "") or "")


def _disposed(header: str) -> str:
    if extended := _EXTENDED.search(header):
        try:
            return unquote(extended[2], extended[1], "strict")
        except (LookupError, UnicodeDecodeError):
            pass  # the plain name stands beside it for those who cannot read this one
    message = Message()
    message["content-disposition"] = header
    name = message.get_filename("")
    try:
        return name.encode("latin-1").decode("utf-8")  # as many servers write it
    except UnicodeError:
        return name
