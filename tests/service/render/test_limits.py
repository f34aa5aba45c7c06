"""Each limit of a render process alone: with the others far away, and nobody who would kill it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources, revise
from mailboat.errors import TemplateFault
from mailboat.render import limits, react_v8
from mailboat.render.base import Job
from mailboat.render.engines import ENGINES
from mailboat.render.pool import Pool

PoolMaker = Callable[..., Pool]

INSIDE = """
import json, os, sys
from mailboat.domain.revision import Sources, revise
from mailboat.render import child, confine, limits, wire
from mailboat.render.engines import ENGINES

engine, source, soft, compiling = sys.argv[1], sys.stdin.read(), float(sys.argv[2]), float(sys.argv[3])
ENGINES[engine].load()
import css_inline, mailboat.render.react as react
confine.confine(ENGINES[engine].memory)
limits.install()
inside = child.Child()
inside.engine(engine)
limits.SOFT_RENDER_SECONDS, limits.COMPILE_SECONDS = soft, compiling
if soft > 1:
    react.RENDER_SECONDS = soft
entry = {"jinja": "mail.html.j2", "react": "mail.tsx"}[engine]
revision = revise("mail", Sources(engine=engine, entry=entry, files={entry: source}, subject="s"))
for step in (wire.Define(revision.digest, engine, revision.sources, None),
             wire.Render(revision.digest, engine, b"{}", None)):
    answer = wire.answers.decode(inside.answer(step)[wire.HEADER:])
    if isinstance(answer, wire.Failed):
        break
failed = isinstance(answer, wire.Failed)
said = {"message": answer.message, "spent": answer.spent} if failed else {"size": len(answer.rendered.html)}
print(json.dumps(said), flush=True)
os._exit(0)
"""
FAR = 600.0

LOOP = {
    "jinja": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "react": "export default () => { for (;;); };",
}
COMPILES_LONG = "{{ a }}" * 200_000
FILLS_MEMORY = {
    "jinja": "{{ ('\\t' * 1000000).expandtabs(1000)|length }}",
    "react": "export default () => { const a = []; for (;;) a.push(new Array(1e6).fill(1)); };",
}
MAKES = {
    "jinja": "{{{{ 'x' * 1048576 }}}}{{{{ 'x' * ({size} - 1048576 - 9) }}}}123456789",
    "react": "export default () => 'x'.repeat({size});",
}
DOCTYPE = 200  # characters, at most


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, need: Callable[[object, str], None]) -> str:
    need(request.param != "react" or react_v8.is_built(), "the React engine is not built")
    name: str = request.param
    return name


def answer(engine: str, source: str, *, soft: float = FAR, compiling: float = FAR) -> dict[str, Any]:
    """What one process says of one template."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", INSIDE, engine, str(soft), str(compiling)],
        input=source, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_a_render_ends_by_itself(engine: str) -> None:
    assert answer(engine, LOOP[engine], soft=limits.SOFT_RENDER_SECONDS) == {"message": limits.TOO_SLOW, "spent": True}


def test_compiling_ends_by_itself() -> None:
    assert answer("jinja", COMPILES_LONG, compiling=0.2) == {"message": limits.TOO_SLOW_TO_COMPILE, "spent": True}


def test_memory_ends(engine: str) -> None:
    said = answer(engine, FILLS_MEMORY[engine])
    assert limits.TOO_MUCH_MEMORY in said["message"]
    assert said["spent"]


def test_two_mebibytes_are_a_mail(engine: str) -> None:
    size = limits.LARGEST_OUTPUT - DOCTYPE
    assert size <= answer(engine, MAKES[engine].format(size=size))["size"] <= limits.LARGEST_OUTPUT


def test_one_character_more_is_not(engine: str) -> None:
    said = answer(engine, MAKES[engine].format(size=limits.LARGEST_OUTPUT + 1))
    assert said == {"message": f"makes more than {limits.LARGEST_OUTPUT} characters", "spent": False}


async def test_a_process_is_seen_to_work_and_to_rest(engine: str, make_pool: PoolMaker) -> None:
    name = {"jinja": "mail.html.j2", "react": "mail.tsx"}[engine]
    loop = revise("mail", Sources(engine=engine, entry=name, files={name: LOOP[engine]}, subject="s"))
    pool = make_pool(1, engine=engine)
    await pool.start()
    async with asyncio.timeout(20):
        while any(process._is_runnable() for process in pool._processes):  # noqa: ASYNC110 (they are starting)
            await asyncio.sleep(0.01)
        rendering = asyncio.create_task(pool.render([Job(loop, b"{}")]))
        seen = set()
        while not rendering.done():
            seen |= {process._is_runnable() for process in pool._processes}
            await asyncio.sleep(0.005)
    assert True in seen
    assert isinstance((await rendering)[0], TemplateFault)


async def test_a_process_that_met_a_limit_is_replaced(make_pool: PoolMaker, job: Callable[..., Job]) -> None:
    pool = make_pool(1)
    await pool.start()
    before = set(pool.pids)
    (found,) = await pool.render([job(FILLS_MEMORY["jinja"])])
    assert isinstance(found, TemplateFault)
    async with asyncio.timeout(20):
        while len(pool.pids) < 2:  # noqa: ASYNC110 (processes start behind the pool's face)
            await asyncio.sleep(0.005)
    assert len(before & set(pool.pids)) == 1
    assert pool.died == 0


async def test_a_spare_takes_over_where_no_process_can_be_started(
    make_pool: PoolMaker, job: Callable[..., Job], good: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_timeout: float) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    pool = make_pool(1)
    await pool.start()
    monkeypatch.setattr(pool._starter, "start", never)
    (found,) = await pool.render([job(FILLS_MEMORY["jinja"])])
    assert isinstance(found, TemplateFault)
    (found,) = await asyncio.wait_for(pool.render([good]), 30)
    assert isinstance(found, Rendered)
