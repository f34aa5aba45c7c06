"""What `mime.encode` writes is read back with the standard library's parser."""

from __future__ import annotations

import email
import email.policy
import re
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mailboat.domain.address import Address
from mailboat.errors import Rejected
from mailboat.providers import mime

CHARACTERS = st.characters(exclude_categories=["Cs"])
HEADER_CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
LINES = st.text(st.one_of(CHARACTERS, st.sampled_from(" .=\t\n\r-\u00e4\u20ac?_")), max_size=2000)
WORDS = st.text(st.one_of(HEADER_CHARACTERS, st.sampled_from(' =?_,;:<>@"\\()ä€')), max_size=400)
NAMES = WORDS.map(str.strip)
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


def read(raw: bytes):
    return email.message_from_bytes(raw, policy=email.policy.default)


def wire(text: str) -> str:
    """Line ends as they are on the wire. A CR on its own is none."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def decoded(part) -> str:
    return part.get_payload(decode=True).decode("utf-8")


def mailboxes(raw: bytes, header: str) -> list[tuple[str, str]]:
    """Names and addresses. The standard library's newer parser puts a space between adjacent encoded-words of a
    name, against RFC 2047 §6.2; its older one does not."""
    value = email.message_from_bytes(raw)[header].replace("\r\n", "")
    return [(str(make_header(decode_header(name))), spec) for name, spec in getaddresses([value])]


def assert_well_formed(raw: bytes) -> None:
    head, _, _ = raw.partition(b"\r\n\r\n")
    assert raw.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.endswith(b"\r\n")
    for line in head.split(b"\r\n"):
        assert line.strip(), "a header was folded into an empty line"
        assert all(len(word) <= 75 for word in re.findall(rb"=\?utf-8\?[bq]\?[^ ?]*\?=", line))
        if b"=?" in line:
            assert len(line) <= 76
    assert not re.search(rb"(?mi)^bcc:", head)


class TestContent:
    @RELAXED
    @given(html=LINES.filter(bool), text=LINES.filter(bool))
    @example(html="a" * 5000, text="ä" * 700)
    @example(html="b", text="é" + "x" * 300)
    @example(html="<p>.\n..\n.\n", text=".\n.\r\n\r\n.")
    @example(html="x\r", text="\r\r\n\n\r")
    @example(html="\x00\x07", text="tab\t\nblank \n" + "é " * 40 + "\n" + "x" * 74 + " \né\n" + "x" * 73 + "é \n")
    @example(html="--=_a_" + "0" * 31 + "1\r\n", text="=_a_" + "0" * 31 + "1--")
    def test_both_parts_come_back_exactly(self, mail_of, html, text):
        raw = mime.encode(mail_of(html=html, text=text))
        message = read(raw)
        assert_well_formed(raw)
        assert message.get_content_type() == "multipart/alternative"
        plain, rich = message.iter_parts()
        assert (plain.get_content_type(), decoded(plain)) == ("text/plain", wire(text))
        assert (rich.get_content_type(), decoded(rich)) == ("text/html", wire(html))
        assert not message.defects + plain.defects + rich.defects

    @RELAXED
    @given(html=LINES.filter(bool), text=LINES.filter(bool))
    def test_eight_bit_bodies_come_back_exactly_too(self, mail_of, html, text):
        raw = mime.encode(mail_of(html=html, text=text), eight_bit=True)
        plain, rich = read(raw).iter_parts()
        assert decoded(plain) == wire(text)
        assert decoded(rich) == wire(html)
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", raw)
        assert max(map(len, raw.split(b"\r\n"))) <= 998

    @RELAXED
    @given(text=LINES.filter(bool))
    def test_a_single_part_stands_alone_and_ends_with_a_line_end(self, mail_of, text):
        message = read(mime.encode(mail_of(html=None, text=text)))
        assert message.get_content_type() == "text/plain"
        assert decoded(message) in (wire(text), wire(text) + "\r\n")

    def test_html_alone_stands_alone(self, mail_of):
        message = read(mime.encode(mail_of(html="<p>ä</p>", text=None)))
        assert (message.get_content_type(), decoded(message)) == ("text/html", "<p>ä</p>")

    def test_a_mail_without_any_content_is_an_empty_text(self, mail_of):
        message = read(mime.encode(mail_of(html=None, text=None)))
        assert (message.get_content_type(), decoded(message).strip()) == ("text/plain", "")

    def test_plain_text_with_a_few_accents_stays_readable(self, mail_of):
        assert b"Quittung f=C3=BCr Ada" in mime.encode(mail_of(text="Quittung für Ada", html=None))

    def test_text_of_another_script_is_base64(self, mail_of):
        raw = mime.encode(mail_of(text="Квитанция" * 50, html=None))
        assert b"Content-Transfer-Encoding: base64" in raw
        assert max(map(len, raw.split(b"\r\n"))) <= 76

    def test_quoted_printable_lines_have_76_octets_at_most(self, mail_of):
        text = "".join("é" + "x" * length + " \n" for length in range(60, 90))
        raw = mime.encode(mail_of(text=text, html=None))
        assert b"quoted-printable" in raw
        assert max(map(len, raw.split(b"\r\n"))) <= 76

    def test_the_boundary_is_not_in_the_content_and_the_same_each_time(self, mail_of):
        first = read(mime.encode(mail_of())).get_boundary()
        nasty = mail_of(html=f"<p>--{first}--</p>", text=f"{first}_1")
        other = read(mime.encode(nasty)).get_boundary()
        assert other not in nasty.html + nasty.text
        assert mime.encode(nasty) == mime.encode(nasty)

    def test_half_a_surrogate_pair_is_refused(self, mail_of):
        with pytest.raises(Rejected, match="html part contains half a surrogate"):
            mime.encode(mail_of(html="\ud800"))


class TestHeaders:
    @RELAXED
    @given(subject=WORDS)
    @example(subject=" leading, two  inside and trailing ")
    @example(subject="a literal =?utf-8?q?word?= in it")
    @example(subject="Grüße  aus  Köln " * 12)
    @example(subject="x" * 300)
    @example(subject="👩‍👩‍👧‍👦" * 40)
    @example(subject="a  b   " * 30 + "c")
    def test_a_subject_comes_back_exactly(self, mail_of, subject):
        raw = mime.encode(mail_of(subject=subject))
        assert_well_formed(raw)
        assert read(raw)["subject"] == subject
        assert max(map(len, raw.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 76

    @RELAXED
    @given(names=st.lists(NAMES, min_size=1, max_size=6))
    @example(names=["Smith, John", 'The "Best" \\ shop', "=?utf-8?q?x?=", "a  b", "Grüße aus Köln " * 9, "x" * 200])
    def test_names_come_back_exactly_and_no_address_is_lost(self, mail_of, names):
        everybody = tuple(Address(f"recipient{n}@example.com", name) for n, name in enumerate(names))
        raw = mime.encode(mail_of(sender=everybody[0], to=everybody, cc=everybody, reply_to=everybody))
        assert_well_formed(raw)
        expected = [(name, f"recipient{n}@example.com") for n, name in enumerate(names)]
        for header in ("to", "cc", "reply-to"):
            assert mailboxes(raw, header) == expected
        assert mailboxes(raw, "from") == expected[:1]
        assert [one.addr_spec for one in read(raw)["to"].addresses] == [email for _, email in expected]

    def test_a_hundred_long_addresses_are_folded_without_losing_one(self, mail_of):
        to = [f"Recipient Number {n}, of many <{'long' * (n % 12)}recipient{n}@example.com>" for n in range(100)]
        to = [f'"{one.partition(" <")[0]}" <{one.partition(" <")[2]}' for one in to]
        raw = mime.encode(mail_of(to=to))
        assert len(read(raw)["to"].addresses) == 100
        assert max(map(len, raw.split(b"\r\n"))) <= 78

    def test_the_usual_headers_are_there_once_and_bcc_never(self, mail_of):
        raw = mime.encode(mail_of(cc=["c@example.com"], bcc=["secret@example.com"], reply_to=["r@example.com"]))
        message = read(raw)
        expected = {
            "Date": "Tue, 01 Dec 2026 09:00:00 +0000",
            "From": "Northwind <orders@shop.example.com>",
            "To": "Ada Lovelace <ada@example.com>",
            "Cc": "c@example.com",
            "Reply-To": "r@example.com",
            "Subject": "Receipt A-1042",
            "Message-ID": "<1@mail.example.com>",
            "MIME-Version": "1.0",
        }
        assert {name: message.get_all(name) for name in expected} == {name: [text] for name, text in expected.items()}
        assert b"secret" not in raw

    def test_a_mail_with_hidden_recipients_only_names_none(self, mail_of):
        raw = mime.encode(mail_of(to=(), bcc=["secret@example.com"]))
        assert read(raw)["to"] == "undisclosed-recipients:;"
        assert b"secret" not in raw

    def test_domains_are_written_as_idna_2008_labels(self, mail_of):
        raw = mime.encode(mail_of(to=["ada@straße.test"]))
        assert read(raw)["to"].addresses[0].addr_spec == "ada@xn--strae-oqa.test"

    def test_a_local_part_that_is_not_ascii_needs_smtputf8(self, mail_of):
        mail = mail_of(to=["jürgen@example.com"])
        with pytest.raises(Rejected, match="jürgen@example\\.com needs SMTPUTF8"):
            mime.encode(mail)
        assert "To: jürgen@example.com\r\n".encode() in mime.encode(mail, smtputf8=True)
        assert mime.needs_smtputf8(mail) == "jürgen@example.com"
        assert mime.needs_smtputf8(mail_of(bcc=["é@example.com"])) == "é@example.com"
        assert mime.needs_smtputf8(mail_of(to=["ada@köln.test"])) is None

    @pytest.mark.parametrize("bad", ["one\r\nBcc: x@example.com", "one\nx", "one\rx", "one\x00x", "one\udc80"])
    def test_line_breaks_and_half_surrogates_never_reach_a_header(self, mail_of, bad):
        for mail in (
            mail_of(subject=bad),
            mail_of(sender=Address("a@example.com", bad)),
            mail_of(headers={"X-Note": bad}),
            mail_of(headers={bad: "x"}),
            mail_of(to=[Address(f"{bad}@example.com")]),
        ):
            with pytest.raises(Rejected):
                mime.encode(mail)

    @pytest.mark.parametrize(
        "smuggler", ["a@b> BODY=8BITMIME", "a b@example.com", "a@example.com\r\nDATA", "<a@example.com", "a@b c", "a@"]
    )
    def test_an_address_cannot_smuggle_anything_into_the_envelope(self, smuggler):
        with pytest.raises(Rejected):
            mime.addr_spec(smuggler)

    def test_a_quoted_local_part_may_have_blanks(self, mail_of):
        raw = mime.encode(mail_of(to=['"ada lovelace"@example.com']))
        assert b'To: "ada lovelace"@example.com\r\n' in raw


class TestCustomHeaders:
    @RELAXED
    @given(value=WORDS)
    def test_values_come_back_exactly(self, mail_of, value):
        raw = mime.encode(mail_of(headers={"X-Note": value}))
        assert_well_formed(raw)
        assert read(raw)["x-note"] == value

    def test_headers_that_programs_read_are_never_encoded(self, mail_of):
        url = "<https://example.com/unsubscribe?list=?a?=&token=" + "x" * 200 + ">, <mailto:leave@example.com>"
        raw = mime.encode(mail_of(headers={"List-Unsubscribe": url}))
        assert read(raw)["list-unsubscribe"] == url
        assert b"=?utf-8" not in raw

    @pytest.mark.parametrize(
        "name",
        ["From", "BCC", "subject", "Date", "Message-ID", "Content-Type", "content-x", "Received", "DKIM-Signature",
         "Resent-To", "Sender", "Return-Path", "MIME-Version"],
    )  # fmt: skip
    def test_reserved_names_are_refused(self, name):
        assert "cannot be set" in mime.header_fault(name, "x")

    @pytest.mark.parametrize("name", ["", "X Note", "X:Note", "X-Nöte", "X-Note\n", "x" * 65])
    def test_malformed_names_are_refused(self, name):
        assert "header name" in mime.header_fault(name, "x")

    @pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "\x00", "a\tb", "\x85", "\u2028", "\ud800", "x" * 9000])
    def test_bad_values_are_refused(self, value):
        assert mime.header_fault("X-Note", value)

    def test_unsubscribe_links_have_to_be_ascii(self):
        assert "percent-encode" in mime.header_fault("List-Unsubscribe", "<https://köln.test>")
        assert mime.header_fault("List-Unsubscribe", "<https://example.com>") is None


class TestOwnHeaders:
    def test_feedback_goes_by_flow_template_and_client(self, mail_of):
        raw = mime.encode(mail_of(tags={"flow": "check:out ä"}, template="receipt"))
        assert read(raw).get_all("feedback-id") == ["check-out--:receipt:storefront:mailboat"]
        assert read(mime.encode(mail_of()))["feedback-id"] == "::storefront:mailboat"

    def test_a_feedback_id_of_the_client_stays_as_it_is(self, mail_of):
        raw = mime.encode(mail_of(headers={"feedback-ID": "a:b:c:shop"}))
        assert read(raw).get_all("feedback-id") == ["a:b:c:shop"]

    def test_the_way_out_is_one_click(self, mail_of):
        url = "https://mail.example.com/unsubscribe/" + "x" * 43
        message = read(mime.encode(mail_of(unsubscribe_url=url)))
        assert message["list-unsubscribe"] == f"<{url}>"
        assert message["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
        assert read(mime.encode(mail_of()))["list-unsubscribe"] is None

    def test_two_ways_out_are_refused(self, mail_of):
        mail = mail_of(headers={"list-unsubscribe": "<https://example.com>"}, unsubscribe_url="https://example.com")
        with pytest.raises(Rejected, match="drop one"):
            mime.encode(mail)
