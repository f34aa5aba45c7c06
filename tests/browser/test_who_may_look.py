"""An open dashboard answers this machine's own browser, and lets nobody else act."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pytest_asyncio import fixture

from mailboat import dashboard
from mailboat.delivery.ring import Doorbell
from mailboat.registry.catalog import Catalog
from mailboat.registry.folder import Folder
from mailboat.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = ["/ui", "/ui/inbox", "/ui/welcome", "/ui/inbox/stream", f"/ui/inbox/{'0' * 32}/html"]


def client(pool: asyncpg.Pool, settings: Settings) -> httpx.AsyncClient:
    def unused() -> Any:
        raise AssertionError("These pages need neither.")

    app, catalog = FastAPI(), Catalog(Folder(settings.templates), pool)
    app.include_router(
        dashboard.router(
            pool=pool,
            settings=settings,
            feed=dashboard.Feed(pool),
            catalog=catalog,
            renderer=unused,
            doorbell=Doorbell(),
            orm=unused,
        )
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8080")


@fixture(loop_scope="session")
async def http(pool: asyncpg.Pool) -> AsyncIterator[httpx.AsyncClient]:
    async with client(pool, Settings(dashboard="open")) as http:
        yield http


@pytest.mark.parametrize("path", PAGES)
async def test_a_closed_dashboard_is_not_there(pool: asyncpg.Pool, path: str) -> None:
    async with client(pool, Settings()) as http:
        assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.168.0.7:8080", "127.0.0.1.evil.example"]
)
async def test_a_foreign_name_for_this_machine_is_refused(http: httpx.AsyncClient, path: str, host: str) -> None:
    answer = await http.get(path, headers={"Host": host})
    assert answer.status_code == 403
    assert host in answer.text


FOREIGN: list[dict[str, str]] = [
    {},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", "origin": "http://localhost:8080"},
    {"sec-fetch-site": "none"},
    {"origin": "null"},
    {"origin": "http://localhost:9090"},
    {"origin": "http://evil.example"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_no_other_page_may_delete(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for path in ("/ui/inbox", f"/ui/inbox/{'0' * 32}"):
        assert (await http.delete(path, headers=headers)).status_code == 403


async def test_every_page_has_the_policy_and_is_not_kept(http: httpx.AsyncClient) -> None:
    for path, status in {"/ui/inbox": 200, "/ui/welcome": 200, "/ui/inbox/x": 404, "/ui/inbox?before=x": 404}.items():
        answer = await http.get(path)
        assert answer.status_code == status
        assert answer.headers["content-security-policy"].startswith(
            "default-src 'none'; style-src 'self'; script-src 'self'"
        )
        assert answer.headers["cache-control"] == "no-store"


async def test_static_files_are_kept_for_ever_under_the_name_of_their_content(http: httpx.AsyncClient) -> None:
    page = (await http.get("/ui/welcome")).text
    path = page.split('<link rel="stylesheet" href="')[1].split('"')[0]
    answer = await http.get(path)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    for wrong in (path.replace("/static/", "/static/0"), "/ui/static/x/vendor/README.md"):
        assert (await http.get(wrong)).status_code == 404


async def test_a_fault_that_nobody_foresaw_is_a_page_without_its_words(pool: asyncpg.Pool) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("the words of the fault")

    broken: Any = Broken()
    async with client(broken, Settings(dashboard="open")) as http:
        answer = await http.get("/ui/inbox")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "It is our fault, and it is in the log." in answer.text
    assert "the words of the fault" not in answer.text
