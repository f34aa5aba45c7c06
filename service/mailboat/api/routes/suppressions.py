"""/v1/suppressions (a client's own) and /admin/suppressions (for every client): addresses not to be mailed again."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from mailboat.api.app_state import administrator, authenticated, context_of
from mailboat.api.moments import Moment
from mailboat.delivery import suppressions
from mailboat.delivery.clients import Client
from mailboat.delivery.suppressions import EVERYBODY, Entry, Reason
from mailboat.domain import address
from mailboat.domain.address import InvalidAddress
from mailboat.errors import Problem

MOST = 100  # per page
MOST_IN_IMPORT = 10_000  # per request
MOST_REFUSED = 100  # of an import, that are named
COLUMNS = ("address", "reason", "source", "detail", "created_at", "expires_at")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
CSV, LINES = "text/csv", "application/x-ndjson"


class NewSuppression(BaseModel):
    """An address that must not be mailed again."""

    model_config = ConfigDict(extra="forbid")

    address: str = Field(max_length=320)
    reason: Reason = "manual"
    detail: str = Field("", max_length=500, pattern=r"^[^\x00]*$")
    expires_at: Moment | None = Field(None, description="when mail may go there again; null: never")


class Suppression(BaseModel):
    """A suppression; `scope` says whether it holds for this client or for all."""

    address: str
    scope: Literal["client", "global"]
    reason: str
    source: str
    detail: str
    created_at: datetime
    expires_at: datetime | None


class SuppressionPage(BaseModel):
    """By address; `next` is the cursor of the following page."""

    items: list[Suppression]
    next: str | None


class RefusedLine(BaseModel):
    """A line of an import that could not be used. Lines count from 1, a CSV's header included."""

    line: int
    detail: str


class Imported(BaseModel):
    """What became of an import; the first refused lines are named."""

    imported: int
    refused: int
    faults: list[RefusedLine]


class ImportedLine(msgspec.Struct, frozen=True):
    """One line of an import; what an export says besides is passed over."""

    address: str
    reason: Reason = "manual"
    detail: str = ""
    expires_at: datetime | None = None


def _own(client: Annotated[Client, Depends(authenticated)]) -> int:
    return client.id


def _global(_: Annotated[None, Depends(administrator)]) -> int:
    return EVERYBODY


def _router(prefix: str, owner: Callable[..., int], source: str) -> APIRouter:
    """The same endpoints over a client's own list and over everybody's."""
    router = APIRouter(prefix=prefix, tags=["suppressions"])
    whose = Depends(owner)

    @router.get("", response_model=SuppressionPage)
    async def list_suppressions(
        request: Request,
        owner: int = whose,
        reason: Reason | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
        cursor: Annotated[str | None, Query(max_length=600)] = None,
    ) -> Any:
        """The list's own entries, by address."""
        pool = context_of(request).pool
        return await suppressions.page(pool, owner, reason=reason, limit=limit, cursor=cursor)

    @router.post("", status_code=201, response_model=Suppression)
    async def add_suppression(request: Request, new: NewSuppression, owner: int = whose) -> Any:
        """Suppress an address, in place of what is known about it."""
        entry = _entry(owner, source, ImportedLine(**new.model_dump()))
        await suppressions.put(context_of(request).pool, [entry])
        context_of(request).guard.added(entry.address)
        return await _found(request, owner, entry.address)

    @router.get("/export", response_class=StreamingResponse, responses={200: {"content": {CSV: {}, LINES: {}}}})
    async def export_suppressions(
        request: Request,
        owner: int = whose,
        format: Literal["csv", "jsonl"] = "jsonl",  # noqa: A002
    ) -> StreamingResponse:
        """The whole list, as CSV or as JSON lines; an import takes either back."""
        everything = suppressions.everything(context_of(request).pool, owner)
        if format == "csv":
            return StreamingResponse(_csv(everything), media_type=CSV)
        return StreamingResponse(_lines(everything), media_type=LINES)

    @router.post("/import", response_model=Imported, openapi_extra={"requestBody": _IMPORT})
    async def import_suppressions(request: Request, owner: int = whose) -> Any:
        """Suppress up to 10,000 addresses: CSV with a header (text/csv) or JSON lines. Lines with a fault are named
        and left out."""
        entries, faults = _read(await request.body(), request.headers.get("content-type", ""), owner, source)
        if entries:
            await suppressions.put(context_of(request).pool, entries)
            context_of(request).guard.added(entries[0].address if len(entries) == 1 else "")
        return {"imported": len(entries), "refused": len(faults), "faults": faults[:MOST_REFUSED]}

    @router.get("/{email:path}", response_model=Suppression)
    async def get_suppression(request: Request, email: str, owner: int = whose) -> Any:
        """Whether an address is suppressed, and why; 404 when mail may go there."""
        return await _found(request, owner, email)

    @router.delete("/{email:path}", status_code=204)
    async def remove_suppression(request: Request, email: str, owner: int = whose) -> Response:
        """Mail may go there again. The provider may keep a list of its own."""
        if not await suppressions.remove(context_of(request).pool, owner, email):
            raise _not_found(email)
        return Response(status_code=204)

    return router


_IMPORT = {
    "required": True,
    "content": {kind: {"schema": {"type": "string"}} for kind in (CSV, LINES)},
}


async def _found(request: Request, owner: int, email: str) -> dict[str, Any]:
    found = await suppressions.get(context_of(request).pool, owner, email)
    if found is None:
        raise _not_found(email)
    return found


def _not_found(email: str) -> Problem:
    return Problem(404, "not_found", f"{email[:320]!r} is not suppressed here.")


def _entry(owner: int, source: str, line: ImportedLine) -> Entry:
    """Raises Problem 422."""
    try:
        key = address.parse(line.address).key
    except InvalidAddress as error:
        raise Problem(422, "invalid_address", f"address is not a mail address: {error}.", field="address") from None
    expires_at = line.expires_at
    if expires_at is not None:
        expires_at = expires_at if expires_at.tzinfo else expires_at.replace(tzinfo=UTC)
        if expires_at <= datetime.now(UTC):
            raise Problem(422, "invalid_field", "expires_at has to lie ahead.", field="expires_at")
    return Entry(
        client_id=owner,
        address=key,
        reason=line.reason,
        source=source,
        detail=line.detail[:500].replace("\0", ""),
        expires_at=expires_at,
    )


def _read(body: bytes, kind: str, owner: int, source: str) -> tuple[list[Entry], list[dict[str, Any]]]:
    """The usable entries and the faults of the other lines. Raises Problem for a body that cannot be read at all."""
    entries: list[Entry] = []
    faults: list[dict[str, Any]] = []
    for number, read in _rows(body, kind):
        if len(entries) + len(faults) >= MOST_IN_IMPORT:
            raise Problem(413, "body_too_large", f"Import {MOST_IN_IMPORT} addresses at once at most.")
        try:
            entries.append(_entry(owner, source, read()))
        except Problem as problem:
            faults.append({"line": number, "detail": problem.detail})
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            faults.append({"line": number, "detail": str(error)})
    return entries, faults


def _rows(body: bytes, kind: str) -> Iterator[tuple[int, Callable[[], ImportedLine]]]:
    """Each line's number, and how to read it."""
    if not kind.startswith(CSV):
        for number, line in enumerate(body.splitlines(), 1):
            if line.strip():
                yield number, lambda line=line: msgspec.json.decode(line, type=ImportedLine)  # type: ignore[misc]
        return
    try:
        rows = csv.DictReader(io.StringIO(body.decode("utf-8-sig")))
        if "address" not in (rows.fieldnames or ()):
            raise Problem(422, "missing_field", "The first line has to name the columns; address is one of them.")
        for row in rows:
            given = {
                name: _plain(value) for name, value in row.items() if name in ImportedLine.__struct_fields__ and value
            }
            yield rows.line_num, lambda given=given: msgspec.convert(given, ImportedLine, strict=False)  # type: ignore[misc]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Problem(400, "malformed_csv", f"The body is not CSV in UTF-8: {error}.") from None


async def _csv(items: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    yield _csv_row(COLUMNS)
    async for item in items:
        moments = {name: item[name].isoformat() if item[name] else "" for name in ("created_at", "expires_at")}
        yield _csv_row([{**item, **moments}[name] for name in COLUMNS])


def _csv_row(values: Iterable[str]) -> str:
    text = io.StringIO()
    # A cell that begins like a formula would be one in a spreadsheet; `_plain` takes the mark away again.
    csv.writer(text).writerow([f"'{one}" if one.startswith(FORMULAS) else one for one in values])
    return text.getvalue()


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULAS) else cell


async def _lines(items: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for item in items:
        yield msgspec.json.encode(item) + b"\n"


router = _router("/v1/suppressions", _own, "api")
admin_router = _router("/admin/suppressions", _global, "admin")
