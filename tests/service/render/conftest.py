"""Revisions and jobs in one line, and a real pool."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from mailboat.domain.revision import Revision, Sources, revise
from mailboat.render.base import Job
from mailboat.render.pool import Pool

JobMaker = Callable[..., Job]


def revision(source: str, *, subject: str = "S", **fields: Any) -> Revision:
    files = {"mail.html.j2": source, **fields.pop("files", {})}
    return revise("mail", Sources(engine="jinja", entry="mail.html.j2", files=files, subject=subject, **fields))


@pytest.fixture(scope="session")
def job() -> JobMaker:
    """job(source, data, locale=…, subject=…, …): a job for a template of that source."""

    def make(source: str, data: dict[str, Any] | None = None, locale: str | None = None, **fields: Any) -> Job:
        return Job(revision(source, **fields), json.dumps(data or {}).encode(), locale)

    return make


@pytest.fixture(scope="session")
def good(job: JobMaker) -> Job:
    return job("<p>Hello {{ name }}</p>", {"name": "Ada"}, subject="Hello {{ name }}")


@pytest_asyncio.fixture
async def make_pool() -> AsyncIterator[Callable[..., Pool]]:
    """make_pool(processes, …): a pool that is closed after the test."""
    pools: list[Pool] = []

    def make(*args: Any, **options: Any) -> Pool:
        pools.append(Pool(*args, **options))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


@pytest_asyncio.fixture
async def pool(make_pool: Callable[..., Pool]) -> Pool:
    """Two render processes and the spare, for one test."""
    pool = make_pool(2)
    await pool.start()
    return pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_pool() -> AsyncIterator[Pool]:
    """One process and the spare, for all tests of a module: they must leave it well."""
    pool = Pool(1)
    await pool.start()
    yield pool
    await pool.close()
