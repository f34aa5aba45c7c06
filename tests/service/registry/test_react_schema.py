"""The schema that a React template exports: read from its source, as front matter is, and what is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailboat.domain.revision import Revision
from mailboat.errors import TemplateFault
from mailboat.registry import schemas
from mailboat.registry.folder import Folder

MAIL = "export default function Mail() {\n  return <p>x</p>;\n}\n"


def load(folder: Path, source: str) -> Revision:
    (folder / "mail.tsx").write_text(source, encoding="utf-8")
    loaded = Folder(folder).load("mail")
    assert loaded is not None
    return loaded[0]


def schema(folder: Path, written: str) -> dict[str, Any] | None:
    return load(folder, f"{MAIL}export const schema = {written}").sources.schema


def test_data_are_checked_by_the_schema_that_the_template_exports(tmp_path: Path) -> None:
    revision = load(
        tmp_path,
        MAIL
        + """
// What this mail needs.
export const schema: JSONSchema = {
  type: 'object', // always
  "required": ["items"],
  properties: {
    items: { type: 'array', items: { type: 'object', properties: { price: { type: "number", minimum: -0.5, }, }, }, },
  },
} as const;
""",
    )
    assert schemas.misfit(revision, {"items": [{"price": 1}]}) is None
    missing = schemas.misfit(revision, {})
    wrong = schemas.misfit(revision, {"items": [{"price": "1"}]})
    assert missing is not None
    assert missing.field == "items"
    assert wrong is not None
    assert wrong.field == "items[0].price"


def test_a_template_without_a_schema_has_none(tmp_path: Path) -> None:
    assert load(tmp_path, MAIL).sources.schema is None
    assert load(tmp_path, f"{MAIL}/*\nexport const schema = {{ type: 'object' }};\n*/\n").sources.schema is None


def test_json_may_be_spelt_as_javascript_does(tmp_path: Path) -> None:
    written = r"""{ /* a */ enum: [1, -2.5, .5, 0x10, 1e3, true, false, null, 'it\'s', "\u00e9\x41\n", `a"b`, [], {}],
        'a-b': 'ü', 3: "\ud83d\ude00\u{1F600}" } satisfies Schema"""
    assert schema(tmp_path, written) == {
        "enum": [1, -2.5, 0.5, 16, 1000.0, True, False, None, "it's", "éA\n", 'a"b', [], {}],
        "a-b": "ü",
        "3": "😀😀",
    }


@pytest.mark.parametrize(
    ("written", "example"),
    [
        ("Mail.PreviewProps = { a: 'x', b: [1, { c: null }], };", {"a": "x", "b": [1, {"c": None}]}),
        ("export const PreviewProps: Props = { a: 1 } satisfies Props;", {"a": 1}),
        ("(Mail as any).PreviewProps = {\n  a: 1, // one\n} as Props", {"a": 1}),
        ("Mail.PreviewProps = { when: new Date(0) };", {}),
        ("Mail.PreviewProps = { ...base, a: 1 };", {}),
        ("Mail.PreviewProps = { a: 1 }.b;", {}),
        ("Mail.PreviewProps = [1];", {}),
        ("Mail.PreviewProps = props;", {}),
        ("// Mail.PreviewProps = { a: 1 };", {}),
        ("/*\nMail.PreviewProps = { a: 1 };\n*/", {}),
        ("Mail.PreviewProps = { a: 1 };\nPart.PreviewProps = { b: 1 };", {}),
        ("", {}),
    ],
)
def test_preview_props_are_the_example_if_they_are_json(tmp_path: Path, written: str, example: dict[str, Any]) -> None:
    assert load(tmp_path, f"{MAIL}{written}\n").sources.example == example


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("base;", "mail.tsx:4:23: `schema` is read without running the template: write it as plain JSON"),
        ("{\n  type: kind,\n}", "mail.tsx:5:9: `schema` is read without running"),
        ("{\n  ...base,\n}", "mail.tsx:5:3: `schema` is read without running"),
        ("{ a: `x${1}` }", "mail.tsx:4:28: `schema` is read without running"),
        ("{ a: 1n }", "mail.tsx:4:28: `schema` is read without running"),
        ("{ a: [1 2] }", "mail.tsx:4:31: `schema` is read without running"),
        ("{ a: 1", "mail.tsx:4:29: `schema` is read without running"),
        ("[]", "mail.tsx:4:23: `schema` must be an object"),
        ("{ a: '\\ud800' }", "mail.tsx:4:28: this text in `schema` is not valid Unicode"),
        ("{ a: 1e999 }", "mail.tsx:4:28: this number in `schema` is too large"),
        (f"{'{a:' * 200}1{'}' * 200}", "`schema` is nested too deeply"),
        ("{\n  properties: {\n    a: { type: 'nonsense' },\n  },\n}", "mail.tsx:6:16: schema.properties.a.type: "),
        ("{ $ref: 'https://example.com/x' }", "are not followed"),
    ],
)
def test_a_schema_that_cannot_be_used_is_a_fault_at_its_place(tmp_path: Path, written: str, message: str) -> None:
    with pytest.raises(TemplateFault) as raised:
        schema(tmp_path, written)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ("{\n  items: [{ price: 1 }, { price: 'free' }],\n}", "mail.tsx:6:34: PreviewProps.items[1].price: "),
        ("{\n  total: 1,\n}", 'mail.tsx:5:21: PreviewProps.items: "items" is a required property'),
    ],
)
def test_preview_props_have_to_fit_the_schema_where_people_look(tmp_path: Path, props: str, message: str) -> None:
    price = "{ type: 'object', properties: { price: { type: 'number' } } }"
    written = f"{{ required: ['items'], properties: {{ items: {{ items: {price} }} }} }};\nMail.PreviewProps = {props};"
    assert schema(tmp_path, written) is not None  # no reason not to send mails
    with pytest.raises(TemplateFault) as raised:
        Folder(tmp_path).load("mail", strict=True)
    assert str(raised.value).startswith(message)


def test_preview_props_that_are_not_json_are_not_checked(tmp_path: Path) -> None:
    assert schema(tmp_path, "{ required: ['a'] };\nMail.PreviewProps = { b: new Date(0) };")
    assert Folder(tmp_path).load("mail", strict=True) is not None
