"""The inbox for programs, as scripts and tests of applications read it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pytest_asyncio import fixture

from mailboat import dashboard
from mailboat.errors import Problem

pytestmark = pytest.mark.asyncio(loop_scope="session")

Keep = Callable[..., Awaitable[UUID]]
Receipt = Callable[..., EmailMessage]


@fixture(loop_scope="session")
async def http(pool: asyncpg.Pool) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(dashboard.api_router(pool=pool))

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return JSONResponse({"code": error.code}, error.status)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api/admin") as client:
        yield client


async def test_a_mail_is_read_decoded(http: httpx.AsyncClient, keep: Keep, receipt: Receipt) -> None:
    message_id = await keep(receipt(1, subject="Grüße aus Köln €", to="Zoë <zoe@example.com>, bo@example.com"))
    mail = (await http.get(f"/inbox/{message_id}")).json()
    assert mail["id"] == str(message_id)
    assert mail["from"] == "orders@northwind.example"
    assert mail["to"] == ["zoe@example.com", "bo@example.com"]
    assert mail["subject"] == mail["headers"]["Subject"] == "Grüße aus Köln €"
    assert mail["html"].strip() == "<h1>Thank you, Ada</h1><p>Order A-1</p>"
    assert mail["text"].strip() == "Thank you, Ada. It is at https://shop.northwind.example/orders/A-1 now."
    assert mail["headers"]["To"] == "Zoë <zoe@example.com>, bo@example.com"
    assert mail["received_at"].endswith("Z")


async def test_the_bytes_come_as_they_were_stored(http: httpx.AsyncClient, keep: Keep, receipt: Receipt) -> None:
    mail = receipt(1)
    answer = await http.get(f"/inbox/{await keep(mail)}/raw")
    assert answer.headers["content-type"] == "message/rfc822"
    assert answer.content == mail.as_bytes()


async def test_paging_sees_each_mail_once_though_others_arrive(
    http: httpx.AsyncClient, keep: Keep, receipt: Receipt
) -> None:
    kept = [str(await keep(receipt(number))) for number in range(120)]
    seen, following = [], ""
    while following is not None:
        page = (await http.get("/inbox", params={"before": following})).json()
        seen += [item["id"] for item in page["items"]]
        following = page["next"]
        await keep(receipt(999))
    assert seen == kept[::-1]


async def test_the_search_takes_its_words_literally(http: httpx.AsyncClient, keep: Keep, receipt: Receipt) -> None:
    await keep(receipt(1, subject="50 off"))
    await keep(receipt(2, subject="50% off_now \\"))
    for query in ("50%", "off_n", "\\", "OFF_NOW", "  50% "):
        found = (await http.get("/inbox", params={"q": query})).json()["items"]
        assert [item["subject"] for item in found] == ["50% off_now \\"], query
    assert (await http.get("/inbox", params={"q": "\x00"})).status_code == 200


async def test_mail_is_deleted_one_by_one_or_all(http: httpx.AsyncClient, keep: Keep, receipt: Receipt) -> None:
    first, _, _ = [await keep(receipt(number)) for number in range(3)]
    assert (await http.delete(f"/inbox/{first}")).status_code == 204
    assert (await http.delete(f"/inbox/{first}")).status_code == 404
    assert (await http.delete("/inbox")).json() == {"deleted": 2}
    assert (await http.get("/inbox")).json() == {"items": [], "next": None}


@pytest.mark.parametrize("path", ["", "/raw"])
async def test_an_unknown_mail_is_not_found(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(f"/inbox/{uuid4()}{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("cursor", ["x", "1", "-", "1-x", f"{10**30}-{'0' * 32}", f"-5-{'0' * 32}"])
async def test_a_broken_cursor_is_named(http: httpx.AsyncClient, cursor: str) -> None:
    answer = await http.get("/inbox", params={"before": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")
