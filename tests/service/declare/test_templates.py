"""EmailTemplates in PostgreSQL: what is good goes live, what is broken leaves the last good revision live."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailboat.declare.inputs import Inputs
from mailboat.registry.catalog import Catalog
from mailboat.registry.folder import Folder

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
NOTHING = Inputs()


@pytest.fixture
def catalog(pool: Any, tmp_path: Any) -> Catalog:
    return Catalog(Folder(tmp_path / "none"), pool)


async def test_a_good_template_is_live(declarer: Any, template: Any, catalog: Any, ready: Any) -> None:
    outcome = await declarer.apply(template(), NOTHING)
    found = await catalog.resolve("shop", "receipt")
    assert outcome.change == "created"
    assert (outcome.status.digest, outcome.status.revision) == (found.digest, found.digest[:12])
    assert found.sources.files == {"index.html.j2": "<p>Order {{ order }}</p>"}
    assert ready(outcome) == ("True", "Reconciled", f"Revision {found.digest[:12]} is live.")
    assert outcome.status.rendered_bytes == len("<p>Order A-1042</p>")
    assert not outcome.again


async def test_applied_again_nothing_changes(declarer: Any, template: Any, query: Any) -> None:
    first = await declarer.apply(template(), NOTHING, now=NOW)
    heads = query("select * from template_heads")
    second = await declarer.apply(template(), NOTHING, now=NOW + timedelta(hours=1))
    assert (second.change, second.status, second.events) == ("unchanged", first.status, ())
    assert query("select * from template_heads") == heads


async def test_a_broken_edit_leaves_the_last_good_revision_live(
    declarer: Any, template: Any, catalog: Any, ready: Any
) -> None:
    good = await declarer.apply(template(), NOTHING)
    broken = await declarer.apply(template(source="<p>\n  {{ order }</p>"), NOTHING)
    assert ready(broken, "SourceValid")[:2] == ("False", "SourceBroken")
    assert ready(broken, "SourceValid")[2].startswith("index.html.j2:2:")
    assert ready(broken)[:2] == ("False", "SourceBroken")
    assert ready(broken, "Stalled")[0] == "True"
    assert ready(broken, "Published")[:2] == ("True", "OlderRevisionLive")
    assert broken.status.digest == good.status.digest == (await catalog.resolve("shop", "receipt")).digest
    mended = await declarer.apply(template(source="<p>{{ order }}</p>"), NOTHING)
    assert ready(mended)[0] == "True"
    assert ready(mended, "Stalled") == ("", "", "")
    assert (mended.status.observed_generation, mended.status.digest != good.status.digest) == (3, True)


async def test_an_example_that_does_not_render_is_named(declarer: Any, template: Any, ready: Any) -> None:
    outcome = await declarer.apply(template(example={}), NOTHING)
    assert ready(outcome)[:2] == ("False", "SourceBroken")
    assert "order" in ready(outcome)[2]
    assert ready(outcome, "Published")[:2] == ("False", "NotPublished")
    assert outcome.status.digest is None


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "objct"}, "spec.schema.type: "),
        ({"type": "object", "properties": {"order": {"type": "number"}}}, "spec.example.order: "),
        ({"type": "object", "required": ["name"]}, "spec.example: "),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "spec.schema: "),
    ],
)
async def test_a_schema_that_is_none_or_does_not_fit_the_example_is_named(
    declarer: Any, template: Any, ready: Any, schema: Any, said: str
) -> None:
    outcome = await declarer.apply(template(schema=schema), NOTHING)
    assert ready(outcome, "SchemaValid")[:2] == ("False", "SchemaBroken")
    assert ready(outcome, "SchemaValid")[2].startswith(said)
    assert ready(outcome)[:2] == ("False", "SchemaBroken")
    assert outcome.status.digest is None


async def test_a_schema_that_fits_is_kept_with_the_revision(
    declarer: Any, template: Any, catalog: Any, ready: Any
) -> None:
    outcome = await declarer.apply(template(schema={"type": "object", "required": ["order"]}), NOTHING)
    assert ready(outcome, "SchemaValid")[:2] == ("True", "SchemaSound")
    assert (await catalog.resolve("shop", "receipt")).sources.schema == {"type": "object", "required": ["order"]}


async def test_the_source_may_be_in_a_config_map(declarer: Any, resource: Any, ready: Any) -> None:
    spec = {"subject": "Receipt", "sourceRef": {"name": "receipt", "key": "index.html"}}
    template = resource("EmailTemplate", "receipt", **spec)
    missing = await declarer.apply(template, NOTHING)
    assert ready(missing)[:2] == ("False", "SourceNotFound")
    assert "'receipt'" in ready(missing)[2]
    incomplete = await declarer.apply(template, Inputs(config_maps={"receipt": {"other": ""}}))
    assert "'index.html'" in ready(incomplete)[2]
    first = await declarer.apply(template, Inputs(config_maps={"receipt": {"index.html": "<p>One</p>"}}))
    second = await declarer.apply(template, Inputs(config_maps={"receipt": {"index.html": "<p>Two</p>"}}))
    assert (ready(first)[0], second.change) == ("True", "configured")
    assert first.status.digest != second.status.digest


async def test_a_shared_template_is_seen_from_every_namespace_and_ones_own_comes_first(
    declarer: Any, template: Any, resource: Any, pool: Any, tmp_path: Any
) -> None:
    def catalog() -> Catalog:
        return Catalog(Folder(tmp_path / "none"), pool)

    await declarer.apply(template(), NOTHING)
    assert await catalog().resolve("other", "receipt") is None
    shared = await declarer.apply(template(shared=True), NOTHING)
    assert (await catalog().resolve("other", "receipt")).digest == shared.status.digest
    assert await catalog().names("other") == ["receipt"]
    own = resource("EmailTemplate", "receipt", namespace="other", subject="Own", source="<p>Own</p>")
    outcome = await declarer.apply(own, NOTHING)
    assert (await catalog().resolve("other", "receipt")).digest == outcome.status.digest
    assert (await catalog().resolve("third", "receipt")).digest == shared.status.digest


async def test_a_declared_template_comes_before_the_folders_and_the_folders_returns_after_it(
    declarer: Any, template: Any, pool: Any, templates: Any
) -> None:
    catalog = Catalog(Folder(templates), pool)
    folders = await catalog.resolve("shop", "receipt")
    declared = await declarer.apply(template(), NOTHING)
    catalog.forget("shop/receipt")
    assert (await catalog.resolve("shop", "receipt")).digest == declared.status.digest != folders.digest
    assert (await catalog.resolve("other", "receipt")).digest == folders.digest
    await declarer.delete("EmailTemplate", "shop", "receipt")
    catalog.forget("shop/receipt")
    assert (await catalog.resolve("shop", "receipt")).digest == folders.digest


async def test_the_watcher_never_replaces_what_was_declared(
    declarer: Any, resource: Any, pool: Any, templates: Any
) -> None:
    declared = await declarer.apply(
        resource("EmailTemplate", "receipt", namespace="default", subject="S", source="<p>Declared</p>"), NOTHING
    )
    catalog = Catalog(Folder(templates), pool)
    found, _ = Folder(templates).load("receipt")
    assert not await catalog.publish("default", found, "folder")
    assert (await catalog.resolve("default", "receipt")).digest == declared.status.digest


async def test_a_deleted_template_is_not_found_and_its_revision_can_still_be_rendered(
    declarer: Any, template: Any, catalog: Any
) -> None:
    outcome = await declarer.apply(template(), NOTHING)
    assert await declarer.delete("EmailTemplate", "shop", "receipt")
    assert await catalog.resolve("shop", "receipt") is None
    assert await catalog.load(outcome.status.digest) is not None


async def test_a_lost_notification_is_made_good_within_a_second(
    declarer: Any, template: Any, catalog: Any, eventually: Any
) -> None:
    assert await catalog.resolve("shop", "receipt") is None
    outcome = await declarer.apply(template(), NOTHING)

    async def live() -> bool:
        found = await catalog.resolve("shop", "receipt")
        return found is not None and found.digest == outcome.status.digest

    await eventually(live)


async def test_a_hostile_template_ends_in_a_condition(declarer: Any, template: Any, ready: Any) -> None:
    outcome = await declarer.apply(template(source="{% for a in range(10**9) %}{{ a }}{% endfor %}"), NOTHING)
    assert ready(outcome)[:2] == ("False", "SourceBroken")
