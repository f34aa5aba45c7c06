"""The shipped samples, each in both engines: sound, alike, and sensible without what their schemas leave open."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Revision
from mailboat.registry import schemas
from mailboat.registry.folder import Folder
from mailboat.render import base, findings
from mailboat.render.base import Job
from mailboat.render.pools import Pools

FOLDER = Folder(Path(__file__).parents[3] / "templates")
SAMPLES = ["invitation", "password-reset", "payment-failed", "receipt", "sign-in-code", "weekly-digest"]
NAMES = [name for sample in SAMPLES for name in (sample, f"{sample}-react")]
HOSTILE = "<b class='x'>&\"</b>{{ 7 * 7 }}"


def revision(name: str) -> Revision:
    loaded = FOLDER.load(name, strict=True)
    assert loaded is not None
    return loaded[0]


def example(name: str) -> dict[str, Any]:
    """The data of a pair: those of its Jinja half, since the other's are in the engine."""
    return dict(revision(name.removesuffix("-react")).sources.example)


def least(schema: Mapping[str, Any], value: Any) -> Any:
    """What is left of a value when all that its schema does not require is taken away."""
    if schema.get("type") == "object":
        return {key: least(schema["properties"][key], value[key]) for key in schema["required"]}
    if schema.get("type") == "array":
        return [least(schema["items"], item) for item in value]
    return value


def hostile(value: Any) -> Any:
    """The same with markup in every text that is no address and no date."""
    if isinstance(value, dict):
        return {key: inner if key in ("url", "help", "week") else hostile(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


async def render(jobs: list[Job]) -> list[Rendered]:
    pools = Pools(1)
    try:
        outcomes = await pools.render(jobs)
    finally:
        await pools.close()
    good = [outcome for outcome in outcomes if isinstance(outcome, Rendered)]
    assert len(good) == len(outcomes), [outcome for outcome in outcomes if not isinstance(outcome, Rendered)]
    return good


def by_name(data: Mapping[str, bytes]) -> dict[str, Rendered]:
    jobs = [Job(revision(name), given, None, thorough=True) for name, given in data.items()]
    return dict(zip(data, asyncio.run(render(jobs)), strict=True))


@pytest.fixture(scope="module")
def mails() -> dict[str, Rendered]:
    """Each sample with its own example."""
    return by_name({name: base.example(revision(name).sources) for name in NAMES})


def test_the_samples_are_all_that_the_folder_has() -> None:
    assert FOLDER.names() == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_renders_without_warnings_and_gmail_does_not_clip_it(mails: dict[str, Rendered], name: str) -> None:
    mail = mails[name]
    assert mail.warnings == ()
    assert mail.subject
    assert len((mail.html or "").encode()) < 102_000


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_accessible_and_made_for_day_and_night_and_for_phones(
    mails: dict[str, Rendered], name: str
) -> None:
    html = mails[name].html or ""
    assert re.search(r'<html[^>]* lang="en"', html)
    assert all('role="presentation"' in table for table in re.findall(r"<table[^>]*>", html))
    assert len(re.findall(r"<h1\b", html)) == 1
    assert findings.has_preview(html)
    assert 'content="light dark"' in html
    assert re.search(r"@media[^{]*prefers-color-scheme:\s*dark", html)
    assert re.search(r"@media[^{]*width", html)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_loads_nothing_and_its_text_has_every_link(mails: dict[str, Rendered], name: str) -> None:
    html, text = mails[name].html or "", mails[name].text or ""
    assert not re.search(r"\ssrc=|<link[^>]*stylesheet|@import|url\(|\{\{|undefined|None|NaN", html)
    for value in re.findall(r'<a[^>]* href="([^"]+)"', html):
        assert value.removeprefix("mailto:") in text


@pytest.mark.parametrize("name", SAMPLES)
def test_a_pair_says_the_same(mails: dict[str, Rendered], name: str) -> None:
    jinja, react = mails[name], mails[f"{name}-react"]
    assert jinja.subject == react.subject
    assert (jinja.text or "").split() == (react.text or "").split()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_pair_has_one_schema_which_the_example_satisfies(name: str) -> None:
    jinja, react = revision(name), revision(f"{name}-react")
    assert jinja.sources.schema == react.sources.schema
    assert schemas.misfit(react, example(name)) is None
    assert schemas.misfit(jinja, {}) is not None


def test_a_sample_needs_only_what_its_schema_requires() -> None:
    data = {name: least(revision(name).sources.schema or {}, example(name)) for name in NAMES}
    mails = by_name({name: json.dumps(given).encode() for name, given in data.items()})
    for name in SAMPLES:
        jinja, react = mails[name], mails[f"{name}-react"]
        assert (jinja.text or "").split() == (react.text or "").split()
        assert jinja.warnings == react.warnings == ()
        assert not re.search(r"None|undefined|\(\)| \.", f"{jinja.text}{jinja.html}{react.html}".partition("<body")[2])


def test_lists_of_a_sample_may_be_empty() -> None:
    data = json.dumps(example("weekly-digest") | {"figures": [], "stories": []}).encode()
    mails = by_name(dict.fromkeys(("weekly-digest", "weekly-digest-react"), data))
    assert all("A quiet week" in (mail.html or "") for mail in mails.values())


def test_an_image_of_a_story_has_its_alternative_text_or_an_empty_one() -> None:
    story = {"title": "Pens", "summary": "Three.", "url": "https://shop.example.com/s", "image": "https://x.example/1"}
    stories = [story, {**story, "url": "https://shop.example.com/t", "alt": "A pen"}]
    data = json.dumps(example("weekly-digest") | {"stories": stories}).encode()
    for mail in by_name(dict.fromkeys(("weekly-digest", "weekly-digest-react"), data)).values():
        images = re.findall(r"<img[^>]*>", mail.html or "")
        assert ['alt=""' in image for image in images] == [True, False]
        assert 'alt="A pen"' in images[1]
        assert mail.warnings == ()


def test_a_sample_escapes_its_data() -> None:
    given = {name: json.dumps(hostile(example(name))).encode() for name in NAMES}
    for name, mail in by_name(given).items():
        assert "<b class=" not in (mail.html or ""), name
        assert "&lt;b class=" in (mail.html or ""), name
        assert "{{ 7 * 7 }}" in (mail.text or ""), name


def test_the_receipt_is_that_of_the_race() -> None:
    found = example("receipt")
    assert found["order"] == "A-1042"
    assert len(found["items"]) == 10
