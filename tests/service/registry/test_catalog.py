"""The catalogue: which revision a name stands for, and the sources of what was accepted, whatever changes meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mailboat.domain.revision import Sources, revise
from mailboat.errors import TemplateFault
from mailboat.registry import catalog
from mailboat.registry.catalog import FOLDER, RESOURCE, Catalog
from mailboat.registry.folder import Folder

DECLARED = revise("receipt", Sources(engine="jinja", entry="e.j2", files={"e.j2": "declared"}))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch):
    """Look at the folder every time."""
    monkeypatch.setattr(catalog, "LOOK_AGAIN_SECONDS", 0.0)


@pytest.fixture
async def here(templates: Path, pool: Any) -> Catalog:
    """A process with the source volume."""
    return Catalog(Folder(templates), pool)


@pytest.fixture
async def elsewhere(tmp_path: Path, pool: Any) -> Catalog:
    """A process without it."""
    return Catalog(Folder(tmp_path / "nowhere"), pool)


async def test_a_template_of_the_folder_resolves_and_its_sources_are_kept(here, elsewhere):
    found = await here.resolve("default", "receipt")
    assert found.name == "receipt"
    assert (await elsewhere.load(found.digest)).sources == found.sources


async def test_what_is_nowhere_resolves_to_nothing(here):
    assert await here.resolve("default", "nothing") is None
    assert await here.resolve("default", "a\0b") is None
    assert await here.load("0" * 64) is None


async def test_a_changed_file_is_a_new_revision_and_the_old_one_can_still_be_had(here, elsewhere, templates):
    first = await here.resolve("default", "receipt")
    (templates / "receipt.html.j2").write_text("<p>Changed</p>")
    second = await here.resolve("default", "receipt")
    assert second.digest != first.digest
    assert (await elsewhere.load(first.digest)).sources == first.sources
    (templates / "receipt.html.j2").unlink()
    assert await here.resolve("default", "receipt") is None
    assert (await here.load(second.digest)).sources == second.sources


async def test_a_changed_part_is_noticed_too(here, templates):
    (templates / "receipt.html.j2").write_text("{% include 'part.j2' %}")
    (templates / "part.j2").write_text("1")
    first = await here.resolve("default", "receipt")
    (templates / "part.j2").write_text("22")
    assert (await here.resolve("default", "receipt")).digest != first.digest


async def test_a_broken_file_is_a_fault_until_it_is_mended(here, templates):
    whole = (templates / "receipt.html.j2").read_text()
    before = await here.resolve("default", "receipt")
    (templates / "receipt.html.j2").write_text("---\nsubject: [\n---\n")
    with pytest.raises(TemplateFault, match=r"receipt\.html"):
        await here.resolve("default", "receipt")
    (templates / "receipt.html.j2").write_text(whole)
    assert (await here.resolve("default", "receipt")).digest == before.digest


async def test_an_unchanged_folder_is_read_once(here, monkeypatch):
    await here.resolve("default", "receipt")
    monkeypatch.setattr(Folder, "load", lambda *_: pytest.fail("it was read again"))
    assert await here.resolve("default", "receipt")


async def test_the_folder_is_not_searched_for_each_mail_of_a_template_that_is_not_in_it(here, templates, monkeypatch):
    monkeypatch.setattr(catalog, "LOOK_AGAIN_SECONDS", 3600.0)
    monkeypatch.setattr(catalog, "KEPT", 3)
    assert await here.resolve("default", "later") is None
    (templates / "later.html.j2").write_text("<p>x</p>")
    assert await here.resolve("default", "later") is None
    for number in range(6):
        assert await here.resolve("default", f"none-{number}") is None
    assert len(here._absent) <= 3
    monkeypatch.setattr(catalog, "LOOK_AGAIN_SECONDS", 0.0)
    assert await here.resolve("default", "later")


async def test_heads_in_postgres_serve_those_without_the_folder(here, elsewhere):
    assert await elsewhere.resolve("default", "receipt") is None
    found = await here.resolve("default", "receipt")
    assert await here.publish("default", found, FOLDER)
    elsewhere.forget("default/receipt")
    assert (await elsewhere.resolve("any", "receipt")).digest == found.digest


async def test_publishing_the_same_again_changes_nothing_and_tells_nobody(here):
    found = await here.resolve("default", "receipt")
    assert [await here.publish("default", found, FOLDER) for _ in range(2)] == [True, False]


async def test_what_was_declared_in_the_clients_namespace_comes_before_the_folder_and_only_there(here):
    await here.publish("shop", DECLARED, RESOURCE)
    assert (await here.resolve("shop", "receipt")).digest == DECLARED.digest
    assert (await here.resolve("default", "receipt")).digest != DECLARED.digest


async def test_the_folder_never_replaces_what_was_declared(here):
    found = await here.resolve("default", "receipt")
    await here.publish("default", DECLARED, RESOURCE)
    assert not await here.publish("default", found, FOLDER)
    here.forget()
    assert (await here.resolve("default", "receipt")).digest == DECLARED.digest
    assert await here.withdraw("default", "receipt")
    here.forget()
    assert (await here.resolve("default", "receipt")).digest == found.digest


async def test_templates_that_have_gone_from_the_folder_lose_their_heads_and_declared_ones_do_not(here, elsewhere):
    found = await here.resolve("default", "receipt")
    await here.publish("default", found, FOLDER)
    await here.publish("default", msgspec.structs.replace(DECLARED, name="invoice"), RESOURCE)
    await here.withdraw_all_but([])
    assert await elsewhere.resolve("default", "receipt") is None
    assert (await elsewhere.resolve("default", "invoice")).digest == DECLARED.digest


async def test_a_change_of_heads_is_told_to_who_listens(here, pool, eventually):
    heard: list[str] = []
    async with pool.acquire() as connection:
        await connection.add_listener("mailboat_templates", lambda *told: heard.append(told[3]))
        await here.publish("shop", DECLARED, RESOURCE)
        await here.publish("shop", DECLARED, RESOURCE)
        await here.withdraw("shop", "receipt")
        await eventually(lambda: len(heard) >= 2)
        await connection.reset()
    assert heard == ["shop/receipt", "shop/receipt"]


async def test_no_more_revisions_are_remembered_than_fit(here, monkeypatch, pool):
    monkeypatch.setattr(catalog, "KEPT", 3)
    made = [revise("x", Sources(engine="jinja", entry="e", files={"e": str(n)})) for n in range(6)]
    for one in made:
        await here.keep(one)
        assert (await here.load(one.digest)).sources == one.sources
    assert len(here._revisions) == 3
    assert (await here.load(made[0].digest)).sources == made[0].sources
