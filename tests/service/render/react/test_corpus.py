"""Every template of the corpus gives what react-email's own `render` gives on Node, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mailboat.domain.message import Rendered
from mailboat.registry.folder import Folder
from mailboat.render.base import OWN_EXAMPLE as EXAMPLE
from mailboat.render.base import Job, Outcome
from mailboat.render.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

Patiently = Callable[[Pool, list[Job]], Awaitable[list[Outcome]]]

CORPUS = Path(__file__).parent / "corpus"
NAMES = sorted(path.stem for path in CORPUS.glob("*.tsx"))
STREAM_COMMENT = re.compile(r"<!--(?:\$|/\$|html|head|body| )-->")


async def test_the_corpus_has_at_least_40_templates_and_all_of_them_are_listed() -> None:
    assert len(NAMES) >= 40
    assert Folder(CORPUS).names() == NAMES


@pytest.mark.parametrize("name", NAMES)
async def test_the_output_is_react_emails_own(
    name: str, pool: Pool, peer: dict[str, dict[str, str]], patiently: Patiently
) -> None:
    expected = peer[f"{name}.tsx"]
    assert "error" not in expected
    loaded = Folder(CORPUS).load(name)
    assert loaded is not None
    [ours] = await patiently(pool, [Job(loaded[0], EXAMPLE)])
    assert isinstance(ours, Rendered), str(ours)
    assert ours.html == STREAM_COMMENT.sub("", expected["html"])
    assert ours.subject == expected["subject"]


async def test_a_second_time_the_output_is_the_same(pool: Pool, patiently: Patiently) -> None:
    jobs = [Job(loaded[0], EXAMPLE) for name in NAMES if (loaded := Folder(CORPUS).load(name))]
    first = await patiently(pool, jobs)
    assert all(isinstance(each, Rendered) for each in first)
    assert await patiently(pool, jobs[::-1]) == first[::-1]
