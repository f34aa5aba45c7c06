"""The mount: declared templates as files, for a process that cannot ask Postgres."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailboat.db import engine
from mailboat.domain import revision
from mailboat.domain.message import Rendered
from mailboat.domain.revision import Revision, Sources, revise
from mailboat.registry import mount, shards
from mailboat.registry.catalog import RESOURCE, Catalog
from mailboat.registry.folder import Folder
from mailboat.registry.mount import Mount
from mailboat.registry.shards import LARGEST, SHARDS, Head
from mailboat.render.base import Job
from mailboat.render.pools import Pools


def receipt(text: str, name: str = "receipt") -> Revision:
    return revise(name, Sources(engine="jinja", entry="index.html.j2", files={"index.html.j2": text}, subject="Hello"))


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Mount]:
    """mounted((namespace, revision, shared), …): a mount with these and nothing else."""
    monkeypatch.setattr(mount, "LOOK_AGAIN_SECONDS", 0.0)
    folder = tmp_path / "mounted"
    folder.mkdir()

    def put(*declared: tuple[str, Revision, bool]) -> Mount:
        for file in folder.iterdir():
            file.unlink()
        heads = [Head(namespace, found.name, found.digest, shared) for namespace, found, shared in declared]
        files, left_out = shards.fill(heads, {found.digest: revision.encode(found.sources) for _, found, _ in declared})
        assert left_out == []
        for name, packed in files.items():
            (folder / name).write_bytes(packed)
        return Mount(str(folder))

    return put


@pytest.fixture
async def nobody(tmp_path: Path) -> Any:
    """The pool of a Postgres that is away."""
    pool = await engine.pool(f"postgresql://postgres@/postgres?host={tmp_path}", name="test", size=1)
    yield pool
    pool.terminate()


async def test_a_process_that_starts_while_postgres_is_away_renders_from_its_mount(
    mounted: Any, nobody: Any, tmp_path: Path
) -> None:
    here = Catalog(Folder(tmp_path / "nowhere"), nobody, mounted(("shop", receipt("<p>Order {{ order }}</p>"), False)))
    found = await here.resolve("shop", "receipt")
    assert found is not None
    assert await here.load(found.digest) == found
    pools = Pools(1)
    try:
        (outcome,) = await pools.render([Job(found, b'{"order": "A-1"}')])
    finally:
        await pools.close()
    assert isinstance(outcome, Rendered)
    assert "Order A-1" in str(outcome.html)


async def test_without_a_mount_or_outside_of_it_postgres_is_away(mounted: Any, nobody: Any, tmp_path: Path) -> None:
    for known in (Mount(""), Mount(str(tmp_path / "nowhere")), mounted(("shop", receipt("own"), False))):
        with pytest.raises(engine.AWAY):
            await Catalog(Folder(tmp_path / "nowhere"), nobody, known).resolve("desk", "receipt")


async def test_what_is_shared_is_seen_from_elsewhere_and_ones_own_comes_first(
    mounted: Any, nobody: Any, tmp_path: Path
) -> None:
    own, others = receipt("own"), receipt("others")
    here = Catalog(Folder(tmp_path / "nowhere"), nobody, mounted(("shop", own, False), ("mail", others, True)))
    assert await here.resolve("shop", "receipt") == own
    assert await here.resolve("desk", "receipt") == others


async def test_postgres_is_asked_first_and_knows_better(mounted: Any, pool: Any, tmp_path: Path) -> None:
    here = Catalog(Folder(tmp_path / "nowhere"), pool, mounted(("shop", receipt("late"), False)))
    await here.publish("shop", receipt("new"), RESOURCE)
    assert await here.resolve("shop", "receipt") == receipt("new")
    assert await here.resolve("desk", "receipt") is None


async def test_a_folders_template_that_postgres_does_not_keep_is_not_promised(nobody: Any, templates: Path) -> None:
    with pytest.raises(engine.AWAY):
        await Catalog(Folder(templates), nobody, Mount("")).resolve("default", "receipt")


@pytest.mark.parametrize("damage", [lambda b: b[:20], lambda b: b"", lambda b: b"plain", lambda b: b[:-8] + b"\0" * 8])
def test_a_damaged_file_is_no_template(mounted: Any, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    here = mounted(("shop", receipt("whole"), False))
    (file,) = (tmp_path / "mounted").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert here.own("shop", "receipt") is None


def test_a_file_that_says_another_digest_is_no_template(mounted: Any, tmp_path: Path) -> None:
    here, digest = mounted(("shop", receipt("whole"), False)), receipt("other").digest
    (file,) = (tmp_path / "mounted").iterdir()
    file.rename(file.with_name(Head("shop", "receipt", digest, False).file))
    assert here.load(digest) is None


def test_the_kubelet_may_replace_the_folder_at_any_time(mounted: Any) -> None:
    here = mounted(("shop", receipt("one"), False))
    assert here.own("shop", "receipt") == receipt("one")
    mounted(("shop", receipt("two"), False))
    assert here.own("shop", "receipt") == receipt("two")
    mounted()
    assert here.own("shop", "receipt") is None


def test_a_shard_never_outgrows_a_config_map_and_says_what_it_left_out() -> None:
    noise = random.Random(7)
    found = [receipt(noise.randbytes(60_000).hex(), f"t-{n}") for n in range(12)]
    heads = [Head("shop", one.name, one.digest, False) for one in found]
    sources = {one.digest: revision.encode(one.sources) for one in found}
    files, left_out = shards.fill(heads, sources)
    assert sum(map(len, files.values())) <= LARGEST
    assert len(files) + len(left_out) == 12
    assert 0 < len(left_out) < 12
    assert shards.fill(reversed(heads), sources) == (files, left_out), "the same ones every time"


def test_five_thousand_templates_are_spread_evenly_and_stay_where_they_are() -> None:
    heads = [Head("shop", f"template-{n}", "0" * 64, False) for n in range(5000)]
    counts = [sum(head.shard == number for head in heads) for number in range(SHARDS)]
    assert 100 < min(counts) <= max(counts) < 220
    assert all(head._replace(digest="1" * 64).shard == head.shard for head in heads)


@pytest.mark.parametrize("name", ["..data", "receipt.html.j2", "a__b__c.json.gz", f"a__b__{'0' * 64}.gz"])
def test_other_files_are_none_of_ours(name: str) -> None:
    assert shards.head(name) is None


def test_a_files_name_says_what_is_in_it_and_is_a_key_of_a_config_map() -> None:
    head = Head("n" * 63, "t" * 63, "f" * 64, True)
    assert shards.head(head.file) == head
    assert len(head.file) <= 253
