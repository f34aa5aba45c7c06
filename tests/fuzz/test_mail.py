"""Mails: what is asked is what the standard library's parser reads, or the mail is refused."""

from __future__ import annotations

import email
import email.policy
import re
from datetime import UTC, datetime
from email.message import EmailMessage, Message
from typing import Any
from uuid import UUID

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.fuzz.budget import fuzzed

from mailboat.domain.address import Address, InvalidAddress, ascii_domain, parse
from mailboat.domain.message import AttachedFile, Envelope, Mail
from mailboat.errors import Rejected
from mailboat.providers import mime

ANY = st.text(st.characters() | st.sampled_from(' =?_,;:<>@"\\()\r\nä€\x00'), max_size=120)
BODY = st.none() | st.text(st.characters() | st.sampled_from(".=\t\n\r- ä"), max_size=600)
LOCAL = st.text(st.sampled_from("abcXYZ019.!#$%&'*+/=?^_`{|}~-ä"), min_size=1, max_size=20)
EMAIL = st.builds("{}@{}".format, LOCAL, st.sampled_from(["example.com", "b.example", "exämple.com", "x"]))
ADDRESS = st.builds(Address, EMAIL | ANY, ANY | st.just(""))
LIST = st.lists(ADDRESS, max_size=3).map(tuple)
FILE = st.builds(
    AttachedFile,
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\\u2028\u2029"), min_size=1, max_size=90
    ),
    st.sampled_from(["image/png", "application/pdf", "text/plain"]),
    st.binary(max_size=300),
    st.sampled_from(["", "logo", "logo@x"]),
)
NAME = st.sampled_from(["X-Order", "X-A", "List-Id", "References", "Subject", "bcc", "Content-Type", "X-\r\nBcc"])


def mail_of(**changes: Any) -> Mail:
    defaults = {
        "id": UUID(int=7),
        "message_id": "<7@mail.example.com>",
        "date": datetime(2026, 12, 1, 9, 0, 0, tzinfo=UTC),
        "envelope": Envelope(Address("orders@shop.example.com"), (Address("ada@example.com"),)),
        "recipients": (),
        "subject": "Receipt",
        "html": None,
        "text": "Thank you",
    }
    return Mail(**(defaults | changes))


def read(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def wire(text: str) -> str:
    """Line ends as they are on the wire."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def content(part: Message) -> bytes:
    found = part.get_payload(decode=True)
    assert isinstance(found, bytes)
    return found


@fuzzed(120)
@given(
    sender=ADDRESS, to=LIST, cc=LIST, bcc=LIST, reply_to=LIST, subject=ANY, html=BODY, text=BODY,
    headers=st.dictionaries(NAME, ANY, max_size=3), files=st.lists(FILE, max_size=2).map(tuple), flow=ANY,
    eight_bit=st.booleans(), smtputf8=st.booleans(),
)  # fmt: skip
def test_no_mail_has_a_header_that_was_not_asked_for(
    sender, to, cc, bcc, reply_to, subject, html, text, headers, files, flow, eight_bit, smtputf8
):
    """Whatever stands in any field: it is refused, or the parser finds the headers and parts there should be."""
    envelope = Envelope(sender, to, cc, bcc, reply_to)
    mail = mail_of(
        envelope=envelope, subject=subject, html=html, text=text, headers=headers, attachments=files,
        tags={"flow": flow}, client=flow,
    )  # fmt: skip
    try:
        raw = mime.encode(mail, eight_bit=eight_bit, smtputf8=smtputf8)
    except Rejected as error:
        assert 0 < len(str(error)) < 2000
        return
    message = read(raw)
    expected = {"date", "from", "subject", "message-id", "mime-version", "content-type", "to"}
    expected |= {name for name, there in (("to", to), ("cc", cc), ("reply-to", reply_to)) if there}
    expected |= {name.lower() for name in mime.own_headers(mail) | headers}
    if cc and not to:
        expected.discard("to")
    found = [name.lower() for name in message.keys()]  # noqa: SIM118 - a header may be there twice
    assert sorted(set(found) - {"content-transfer-encoding", "content-disposition", "content-id"}) == sorted(expected)
    assert len(found) == len(set(found))
    leaves = [part for part in message.walk() if not part.is_multipart()]
    assert len(leaves) == max(1, bool(html) + bool(text)) + len(files)
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", raw)
    assert max(map(len, raw.split(b"\r\n"))) <= mime.LONGEST_LINE
    asked = len(repr((sender, to, cc, reply_to, subject, headers))) + len(html or "") + len(text or "")
    assert len(raw) <= 16 * (asked + sum(len(file.body) + len(file.filename) for file in files)) + 4000


@fuzzed(80)
@given(html=BODY, text=BODY, eight_bit=st.booleans(), files=st.lists(FILE, max_size=2).map(tuple))
def test_bodies_and_files_come_back_octet_for_octet(html, text, eight_bit, files):
    assume(not re.search("[\ud800-\udfff]", f"{html}{text}"))
    message = read(mime.encode(mail_of(html=html, text=text, attachments=files), eight_bit=eight_bit))
    asked = [wire(body).encode() for body in (text, html) if body] or [b""]
    asked += [file.body for file in files]
    kinds = [kind for kind, body in (("text/plain", text), ("text/html", html)) if body] or ["text/plain"]
    kinds += [file.content_type for file in files]
    leaves = [part for part in message.walk() if not part.is_multipart()]
    read_back = [(part.get_content_type(), content(part)) for part in leaves]
    if len(asked) == 1:  # a mail always ends with a line end
        read_back = [(kind, body.removesuffix(b"\r\n")) for kind, body in read_back]
        asked = [body.removesuffix(b"\r\n") for body in asked]
    assert sorted(read_back) == sorted(zip(kinds, asked, strict=True))
    assert not [part.defects for part in message.walk() if part.defects]


@fuzzed(80)
@given(st.lists(EMAIL | ANY, min_size=1, max_size=4), st.booleans())
def test_an_address_is_in_the_envelope_as_it_is_in_the_header(emails, smtputf8):
    for one in emails:
        try:
            spec = mime.addr_spec(one, smtputf8=smtputf8)
        except Rejected:
            continue
        assert re.fullmatch(r'[^\s<>,;\x00-\x1f]+|"(?:[^"\\]|\\.)*"@[^\s<>,;]+', spec)
        assert spec.rpartition("@")[0] == one.rpartition("@")[0]


@fuzzed(150)
@given(ANY | ADDRESS.map(str) | st.builds("{} <{}>".format, ANY, EMAIL))
def test_an_address_is_read_or_refused_and_what_is_read_can_be_written(text):
    try:
        found = parse(text)
    except InvalidAddress as error:
        assert str(error)
        return
    assert parse(str(found)) == found
    assert len(found.email.encode()) <= 254
    assert ascii_domain(found.domain).isascii()
    raw = mime.encode(mail_of(envelope=Envelope(found, (found,))), smtputf8=True)
    assert len(read(raw).get_all("to", [])) == 1
