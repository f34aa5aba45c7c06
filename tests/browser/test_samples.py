"""The shipped samples on a small phone, in Chromium."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from playwright.async_api import Page

from mailboat.domain.message import Rendered
from mailboat.registry.folder import Folder
from mailboat.render import base
from mailboat.render.base import Job
from mailboat.render.pools import Pools

FOLDER = Folder(Path(__file__).parents[2] / "templates")
pytestmark = pytest.mark.asyncio(loop_scope="session")
EDGES = """() => [...document.querySelectorAll('p')].filter((p) => /^[0-9,]+$/.test(p.textContent)).map((p) => {
  const range = document.createRange();
  range.selectNodeContents(p);
  const { left, right } = range.getBoundingClientRect();
  return [left, right];
})"""
LEAST_GAP = 16


@pytest.mark.parametrize("name", ["weekly-digest", "weekly-digest-react"])
async def test_the_figures_of_a_digest_stand_apart(name: str, renderer: Pools, phone: Page) -> None:
    loaded = FOLDER.load(name)
    assert loaded is not None
    (mail,) = await renderer.render([Job(loaded[0], base.example(loaded[0].sources))])
    assert isinstance(mail, Rendered), mail
    await phone.set_viewport_size({"width": 375, "height": 800})
    await phone.set_content(mail.html or "")
    edges = await phone.evaluate(EDGES)
    assert len(edges) == 3
    assert all(after - before >= LEAST_GAP for (_, before), (after, _) in itertools.pairwise(edges))
