"""Front matter, schemas and names: whatever an author writes is read, or a fault with its place."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st
from tests.fuzz.budget import fuzzed

from mailboat.errors import TemplateFault
from mailboat.registry import front_matter
from mailboat.registry.schemas import LONGEST_REASON, BrokenSchema, Schema

SCALAR = st.sampled_from(
    ["", "x", "'", '"', "|", ">", "&a", "*a", "!!binary x", "!!timestamp x", "!!python/object:os.system", "? :",
     "<<: x", "1:1:1", "0o7", "0x",
     ".inf", "2026-13-45", "2026-02-30T25:61:61Z", "~", "[", "{", "- -", "\t", "%YAML 1.1", "---"]
) | st.text(max_size=20)  # fmt: skip
FIELD = st.sampled_from(["subject", "text", "schema", "example", "translations", "tailwind", "bogus", "? [a]", "1"])
YAML = st.recursive(
    SCALAR,
    lambda inner: st.lists(st.tuples(FIELD, inner), max_size=4).map(
        lambda pairs: "\n" + "\n".join(f"  {name}: {value}".replace("\n", "\n  ") for name, value in pairs)
    ),
    max_leaves=8,
)
DOCUMENT = st.lists(st.tuples(FIELD, YAML), max_size=4).map(lambda pairs: "\n".join(f"{n}: {v}" for n, v in pairs))


@fuzzed(200)
@given(DOCUMENT | st.text(max_size=80), st.text(max_size=20), st.booleans())
@example("subject: 0b1_\n", "", False)
@example("subject: !!int '-'\n", "", False)
@example("subject: !!float 'x'\n", "", False)
@example("schema: {type: nothing}\n", "", True)
def test_front_matter_is_read_or_a_fault_with_its_place(document, body, strict):
    source = f"---\n{document}\n---\n{body}"
    try:
        found = front_matter.split(source, "index.html.j2", strict=strict)
    except TemplateFault as fault:
        assert (fault.file, fault.column > 0) == ("index.html.j2", True)
        assert 1 <= fault.line <= source.count("\n") + source.count("\r") + 3
        assert fault.message
        return
    assert source.endswith(found.body)
    assert all(1 <= line <= source.count("\n") + 2 for line in found.lines.values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
KEYWORD = st.sampled_from(
    """
    type properties items required pattern const enum anyOf allOf oneOf not if then else $ref $defs $id $anchor $schema
    $dynamicRef additionalProperties prefixItems minimum multipleOf format uniqueItems dependentSchemas contains
    """.split()  # noqa: SIM905 - a list of words
)
PATTERN = st.sampled_from(["^a+$", "(", "(?=a)(a+)+$", "(a{1000}){1000}", "\\p{L}", "[", "a**", "\\1"])
SCHEMA = st.recursive(
    st.sampled_from(["object", "string", "array", "#", "#/$defs/a", "http://127.0.0.1:1/", "file:///etc/passwd", "::"])
    | PATTERN
    | JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORD | st.just("a"), inner, max_size=5),
    max_leaves=15,
)


@fuzzed(200)
@given(st.dictionaries(KEYWORD, SCHEMA, max_size=5), JSON | st.just({"a": "a" * 40 + "b"}))
@example({"$ref": "#"}, {})
@example({"allOf": [{"$ref": "#"}], "const": "\ud800"}, {})
@example({"properties": {"a": {"pattern": "^(?=a)(a+)+$"}}}, {"a": "a" * 40 + "b"})
@example({"type": "string"}, "\ud800")
def test_a_schema_is_broken_or_says_what_does_not_fit(schema, data):
    try:
        misfit = Schema(schema).misfit(data)
    except BrokenSchema as error:
        assert len(error.misfit.reason) <= LONGEST_REASON + 1
        return
    if misfit is not None:
        assert len(misfit.reason) <= LONGEST_REASON + 1
        assert json.dumps([misfit.field, misfit.reason])
