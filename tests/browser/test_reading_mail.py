"""Opening a mail never fails, however broken it is."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboat.dashboard import mime


def test_body_files_and_headers_are_told_apart() -> None:
    mail = EmailMessage()
    mail["Subject"] = "Grüße"
    mail["Received"] = "one"
    mail["Received"] = "two"
    mail.set_content("Hallo Wörld")
    mail.add_alternative('<p>Hallo</p><img src="CID:a@b"><img src="cid:unknown">', subtype="html")
    mail.get_payload()[1].add_related(b"GIF", "image", "gif", cid="<a@b>")
    mail.add_attachment("a,b\n", filename="../../etc/passwd.csv", subtype="csv")
    forwarded = EmailMessage()
    forwarded["Subject"] = "inside"
    mail.add_attachment(forwarded)
    opened = mime.opened(mail.as_bytes())
    assert opened.text == "Hallo Wörld\n"
    assert opened.page.strip() == '<p>Hallo</p><img src="data:image/gif;base64,R0lG"><img src="cid:unknown">'
    assert [(part.name, part.type) for part in opened.attachments] == [
        (".._.._etc_passwd.csv", "text/csv"),
        ("part-3", "message/rfc822"),
    ]
    assert opened.attachments[1].content.startswith(b"Subject: inside")
    assert opened.named["Received"] == "one, two"
    assert opened.header("subject") == "Grüße"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"\r\nonly a body", "only a body"),
        (b"Content-Type: text/plain; charset=klingon\r\n\r\nqapla\xc3\xa4", "qaplaä"),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfe", "\ufffd\ufffd"),
        (b"Content-Transfer-Encoding: base64\r\n\r\nSGFsbG8=!!%", "Hallo"),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", "no boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ncut of", "cut of"),
        (b'Content-Disposition: ;filename*=\r\nContent-Type: ;;;"\r\n\r\nodd', "odd"),
    ],
)
def test_broken_mail_is_shown_as_far_as_it_goes(raw: bytes, text: str) -> None:
    assert (mime.opened(raw).text or "").strip() == text


@pytest.mark.parametrize(
    "value", ["=?utf-8?q?a?= =?klingon?b?!!?=", "=?", '"<@[', "\udcff", "a@b@c:;,<", "=?utf-8?b?4pyT?="]
)
@pytest.mark.parametrize("name", ["Subject", "From", "To", "Content-Type", "Content-Disposition", "Message-ID", "Date"])
def test_a_broken_header_hides_nothing_else(name: str, value: str) -> None:
    raw = f"{name}: {value}\r\nX-Other: kept\r\n\r\nbody".encode("utf-8", "surrogateescape")
    opened = mime.opened(raw)
    assert opened.header("X-Other") == "kept"
    opened.header(name).encode()  # can be written out: no half surrogates


def test_folded_headers_are_on_one_line() -> None:
    assert mime.opened(b"X-Long: one\r\n two\r\n\tthree\r\n\r\n").header("X-Long") == "one two three"


def test_a_mail_nested_without_end_is_still_opened() -> None:
    raw = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(500))
    assert mime.opened(raw + b"\r\nbottom").size > 0


def test_the_first_words_come_from_the_text_or_else_from_what_the_html_shows() -> None:
    html = b"Content-Type: text/html\r\n\r\n<title>no</title><style>p{}</style><p>Tea &amp;<b> milk</b></p><!-- x"
    assert mime.first_words(html) == "Tea & milk"


def test_remote_images_are_noticed() -> None:
    def page(html: str) -> mime.Opened:
        return mime.opened(f"Content-Type: text/html\r\n\r\n{html}".encode())

    assert page('<img width=1 src="https://x.example/p.gif">').remote
    assert page("<td style=\"background:url('//x.example/p.gif')\">").remote
    assert not page('<img src="data:image/gif;base64,AA"><a href="https://x.example/">x</a>').remote


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"Content-Type: ", b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="]),
)
def test_no_bytes_at_all_make_it_fail(noise: bytes, start: bytes) -> None:
    opened = mime.opened(start + noise)
    for text in (opened.page, mime.first_words(start + noise), *opened.named.values()):
        text.encode()


@pytest.mark.parametrize("noise", ["<", "<img src ", "<style ", "<!--", "url(", "src=", "src= ", "cid:", "&#", "</"])
def test_no_html_takes_long_to_look_through(noise: str) -> None:
    raw = f"Content-Type: text/html\r\n\r\n{noise * 200_000}".encode()  # quadratic: minutes
    opened = mime.opened(raw)
    assert not opened.remote
    assert len(mime.first_words(raw)) <= 160
    assert len(opened.page) == len(noise) * 200_000
