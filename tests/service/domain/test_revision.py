"""A revision's digest names its sources, and nothing else."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboat.domain import revision
from mailboat.domain.revision import Sources, revise

SOURCES = Sources(
    engine="jinja",
    entry="receipt.html.j2",
    files={"receipt.html.j2": "<p>{{ order }}</p>", "footer.html.j2": "bye"},
    subject="Receipt {{ order }}",
    text="{{ order }}",
    schema={"type": "object", "required": ["order"]},
    example={"order": "A-1042", "items": [1, 2]},
    translations={"de": {"thanks": "Danke"}},
    first_line={"receipt.html.j2": 4},
)
CHANGES = {
    "engine": "react",
    "entry": "footer.html.j2",
    "files": SOURCES.files | {"receipt.html.j2": "<p>{{ order }}</p> "},
    "subject": "Receipt",
    "text": None,
    "schema": {"type": "object"},
    "example": {"order": "A-1043", "items": [1, 2]},
    "translations": {"de": {"thanks": "Dank"}},
    "tailwind": {"theme": "--color-brand: red"},
    "first_line": {"receipt.html.j2": 5},
    "first_column": {"subject": 11},
}
values = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda v: st.lists(v))


def test_the_digest_is_the_same_on_every_machine_and_in_every_release():
    assert revise("receipt", SOURCES).digest == "793698f2201c8417ec68571474957a667def9a0ca6c8ab16c9d11bc41382c7de"


def test_every_field_takes_part_in_the_digest():
    assert set(CHANGES) == set(Sources.__struct_fields__)
    digests = {revise("receipt", msgspec.structs.replace(SOURCES, **{f: v})).digest for f, v in CHANGES.items()}
    assert len(digests | {revise("receipt", SOURCES).digest}) == len(CHANGES) + 1


def test_the_name_does_not_take_part_in_the_digest():
    assert revise("receipt", SOURCES).digest == revise("invoice", SOURCES).digest


def test_the_engines_version_takes_part_in_the_digest(monkeypatch: pytest.MonkeyPatch):
    before = revise("receipt", SOURCES).digest
    monkeypatch.setattr(revision, "ENGINE_VERSION", "next")
    assert revise("receipt", SOURCES).digest != before


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), values))
def test_the_order_of_keys_does_not_change_the_digest_and_sources_survive_being_stored(files, example):
    sources = Sources(engine="jinja", entry="e", files=files, example=example)
    other = Sources(
        engine="jinja", entry="e", files=dict(reversed(files.items())), example=dict(reversed(example.items()))
    )
    assert revise("x", sources).digest == revise("x", other).digest
    assert revision.decode(revision.encode(sources)) == sources
