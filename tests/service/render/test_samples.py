"""The shipped Jinja templates render with their own examples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailboat.domain.revision import Sources, revise
from mailboat.render.base import Job
from mailboat.render.jinja import Jinja

TEMPLATES = Path(__file__).parents[3] / "templates"
SAMPLES = ["receipt", "password-reset", "invitation"]


def load(name: str) -> tuple[dict[str, Any], str]:
    _, matter, body = (TEMPLATES / f"{name}.html.j2").read_text().split("---\n", 2)
    return yaml.safe_load(matter), body


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_renders_without_warnings_and_loads_nothing(name: str) -> None:
    matter, body = load(name)
    revision = revise(name, Sources(engine="jinja", entry="a", files={"a": body}, subject=matter["subject"]))
    engine = Jinja()
    engine.define("d", engine.compile(revision.sources))
    job = Job(revision, json.dumps(matter["example"]).encode())
    found = engine.render("d", job.data, None)
    assert found.warnings == ()
    assert found.subject
    assert found.html is not None
    assert found.text is not None
    assert not re.search(r"\ssrc=|<link|@import|url\(|\{\{|None", found.html)
    for value in re.findall(r'href="([^"]+)"', found.html):
        assert value.removeprefix("mailto:") in found.text


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_asks_only_for_what_its_schema_requires(name: str) -> None:
    matter, body = load(name)
    required = {key: matter["example"][key] for key in matter["schema"]["required"]}
    engine = Jinja()
    engine.define("d", engine.compile(Sources(engine="jinja", entry="a", files={"a": body}, subject=matter["subject"])))
    assert engine.render("d", json.dumps(required).encode(), "de").html


def test_the_receipt_is_that_of_the_race() -> None:
    matter, _ = load("receipt")
    assert matter["example"]["order"] == "A-1042"
    assert len(matter["example"]["items"]) == 10
