"""The body of a request: whatever it holds, it is a draft that can be stored, or a Problem that names the fault."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from tests.fuzz.budget import fuzzed

from mailboat.delivery import attach, validate
from mailboat.delivery.accept import Draft
from mailboat.delivery.clients import Client
from mailboat.domain.message import Content, Envelope
from mailboat.domain.revision import Sources, revise
from mailboat.errors import Problem

CLIENT = Client(1, "default", "storefront", False, ("Northwind <orders@shop.example.com>", "*"), (), 1, 60, 10)
RECEIPT = revise(
    "receipt",
    Sources("jinja", "i", {"i": ""}, schema={"type": "object", "properties": {"order": {"type": "string"}}}),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
ADDRESS = st.sampled_from(
    [
        "ada@example.com",
        "Ada <ada@example.com>",
        '"A, B" <a@b.example>',
        "ä@exämple.com",
        "a@b\r\nBcc: x@y.example",
        "@",
    ]
) | st.text(max_size=30)
TEXT = st.text(max_size=60) | st.sampled_from(["x\r\nBcc: a@b.example", "\x00", "{{ 7*7 }}", "../../etc/passwd", ""])
WORDS = st.dictionaries(TEXT, TEXT, max_size=3)
FILE = st.fixed_dictionaries(
    {},
    optional={
        "filename": TEXT,
        "content": st.sampled_from(["aGk=", "aGk", "====", "\u00e4"]) | TEXT,
        "url": TEXT,
        "content_type": st.sampled_from(["image/png", "multipart/mixed", "a/b\r\nX: y"]) | TEXT,
        "content_id": TEXT,
    },
)
FIELDS: dict[str, st.SearchStrategy[object]] = {
    "to": ADDRESS | st.lists(ADDRESS, max_size=3),
    "cc": st.lists(ADDRESS, max_size=2),
    "bcc": st.lists(ADDRESS, max_size=2),
    "reply_to": ADDRESS,
    "from": ADDRESS,
    "template": st.sampled_from(["receipt", "../x"]) | TEXT,
    "data": st.dictionaries(TEXT, JSON, max_size=3),
    "subject": TEXT,
    "html": TEXT,
    "text": TEXT,
    "headers": WORDS,
    "tags": WORDS,
    "metadata": st.dictionaries(TEXT, JSON, max_size=3),
    "locale": st.sampled_from(["de", "pt-BR"]) | TEXT,
    "lane": st.sampled_from(["high", "normal", "bulk", "low"]),
    "send_at": st.sampled_from(["2026-12-01T09:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
    | TEXT,
    "attachments": st.lists(FILE, max_size=2),
    "unsubscribe": st.booleans(),
}
PLAUSIBLE = st.fixed_dictionaries({"to": FIELDS["to"]}, optional={n: f for n, f in FIELDS.items() if n != "to"})
WRONG = st.dictionaries(st.sampled_from([*FIELDS, "bogus"]), JSON, max_size=4)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """JSON of about the right shape, now and then with some octets cut, doubled or put in."""
    given = draw(PLAUSIBLE) | (draw(WRONG) if draw(st.integers(0, 3)) == 0 else {})
    body = json.dumps(given, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        begin, end = (draw(st.integers(0, len(body))) for _ in "be")
        body = body[:begin] + draw(st.binary(max_size=6)) + body[end:]
    return body


def drafted(body: bytes) -> Draft:
    """As the API does it, without the store. Raises Problem."""
    request = validate.decode(body)
    name = validate.check_template(CLIENT, request)
    files = attach.decode(request.attachments)
    return validate.draft(
        CLIENT,
        request,
        RECEIPT if name is not None else None,
        [file for file in files if isinstance(file, attach.Decoded)],
        key="k",
        traceparent="",
        max_recipients=50,
        unsubscribable=True,
        now=datetime(2026, 11, 24, tzinfo=UTC),
    )


def assert_tells(problem: Problem) -> None:
    """It is an answer: of the caller's making, in words, and can be written as JSON."""
    assert 400 <= problem.status < 500
    assert problem.code
    assert 0 < len(problem.detail) < 3000
    assert json.dumps([problem.detail, problem.field])


@fuzzed(200)
@given(bodies() | st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"to": "a@b.example", "subject": "\\ud800", "text": "x"}')
@example(b'{"to": "a@b.example", "template": "receipt", "data": {"order": "\\ud800"}}')
@example(b'{"to": "a@b.example", "template": "receipt", "data": {"n": 1e999}}')
@example(b'{"to": "a@b.example", "template": "receipt", "data": {"n": ' + b"9" * 5000 + b"}}")
@example(b'{"to": "a@b.example", "headers": {"\\ud800": 1}}')
@example(b'{"to": "a@b.example", "headers": {"X-A": 1}, ]')
@example(b'{"to": "a@b.example", "headers": {"X-A": 1}, "headers": {"X-A": "1"}}')
@example(b'{"to": "a@b.example", "tags": {"a": 1}, "tags": []}')
def test_a_body_is_a_draft_or_a_problem(body: bytes) -> None:
    try:
        draft = drafted(body)
    except Problem as problem:
        assert_tells(problem)
        return
    envelope = msgspec.json.decode(draft.envelope, type=Envelope)
    assert 1 <= len(envelope.recipients) <= 50
    written = "".join(map(str, (envelope.sender, *(one for _, one in envelope.recipients), *envelope.reply_to)))
    headers = msgspec.json.decode(draft.headers, type=dict[str, str]) if draft.headers else {}
    subject = msgspec.json.decode(draft.content, type=Content).subject if draft.content else ""
    for text in (written, subject, *headers, *headers.values()):
        assert not set(text) & set("\r\n\0"), "it could end a header"
    kept = [getattr(draft, name) for name in draft.__struct_fields__]
    size = sum(len(value.encode()) for value in kept if isinstance(value, str))
    assert size <= 12 * len(body) + 2000  # six octets for one that JSON has to escape, and then some


@fuzzed(60)
@given(st.lists(bodies(), max_size=3), st.sampled_from([b'"all"', b'"each"', b'"some"', b"1"]))
def test_a_batch_is_a_list_of_requests_or_a_problem(items: list[bytes], mode: bytes) -> None:
    body = b'{"mode": %b, "messages": [%b]}' % (mode, b", ".join(items))
    try:
        batch = validate.decode_batch(body)
    except Problem as problem:
        assert_tells(problem)
        return
    assert 1 <= len(batch.messages) <= validate.MOST_IN_BATCH
    for item in batch.messages:
        with contextlib.suppress(Problem):
            validate.check_depth(item)


@fuzzed(60)
@given(st.text(max_size=300) | st.none())
def test_an_idempotency_key_is_kept_as_it_is_or_a_problem(key: str | None) -> None:
    try:
        assert validate.idempotency_key(key) == key
    except Problem as problem:
        assert_tells(problem)
