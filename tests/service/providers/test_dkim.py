"""Signatures, verified by dkimpy: an implementation that is not ours, with a DNS of the test's own."""

from __future__ import annotations

import re

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mailboat.domain.address import Address
from mailboat.errors import ConfigurationError
from mailboat.providers import mime
from mailboat.providers.dkim import OVERSIGNED, Signer, relaxed_body, relaxed_field
from mailboat.providers.smtp import Smtp, server_of
from mailboat.settings import Settings

CHARACTERS = st.characters(exclude_categories=["Cs"])
HEADER_CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
WORDS = st.text(st.one_of(HEADER_CHARACTERS, st.sampled_from(' =?_,;:<>@"\\()ä€')), max_size=300)
LINES = st.text(st.one_of(CHARACTERS, st.sampled_from(" .=\t\n\r ä")), max_size=1000)
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


KEYS = {
    "rsa": pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
}


@pytest.fixture(params=list(KEYS))
def signer(request):
    return Signer("example.com", "s2026", KEYS[request.param])


def signed(signer, raw: bytes) -> bytes:
    return signer.header(raw) + raw


def verifies(signer, raw: bytes) -> bool:
    name, text = signer.record
    return dkim.verify(raw, dnsfunc=lambda asked, timeout=5: text.encode() if asked == f"{name}.".encode() else b"")


class TestSignatures:
    @RELAXED
    @given(subject=WORDS, name=WORDS.map(str.strip), note=WORDS, html=LINES, text=LINES)
    @example(subject=" a  b ", name="=?utf-8?q?x?=", note="x" * 800, html="<p>.\n..\n", text=" \n\t\n\n\n")
    @example(subject="Grüße " * 40, name="a  b", note="", html="", text="blank \n  two\t\tthree \n" * 30)
    @example(subject="", name="", note="a\u3000b", html="", text="")
    def test_another_implementation_agrees(self, mail_of, signer, subject, name, note, html, text):
        mail = mail_of(
            subject=subject,
            sender=Address("orders@shop.example.com", name),
            to=tuple(Address(f"r{n}@example.org", name) for n in range(5)),
            headers={"X-Note": note, "List-Unsubscribe": "<https://example.com/" + "x" * 200 + ">"},
            html=html or None,
            text=text or None,
        )
        for raw in (mime.encode(mail), mime.encode(mail, eight_bit=True)):
            assert verifies(signer, signed(signer, raw))

    def test_an_international_sender_verifies(self, mail_of):
        signer = Signer("straße.test", "s", KEYS["rsa"])
        raw = mime.encode(mail_of(sender="jürgen@news.straße.test"), smtputf8=True)
        assert b"d=xn--strae-oqa.test;" in signer.header(raw)
        assert verifies(signer, signed(signer, raw))

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (b"Receipt A-1042", b"Receipt A-1043"),
            (b"Thank you", b"Thank You"),
            (b"shop.example.com>\r\n", b"evil.example.com>\r\n"),
            (b"MIME-Version", b"From: evil@example.com\r\nMIME-Version"),
            (b"MIME-Version", b"Cc: evil@example.com\r\nMIME-Version"),
            (b"MIME-Version", b"Reply-To: evil@example.com\r\nMIME-Version"),
            (b"MIME-Version", b"List-Unsubscribe: <https://evil.example>\r\nMIME-Version"),
            (b"Content-Type: multipart", b"Content-Type: text/plain\r\nContent-Type: multipart"),
            (b"--\r\n", b"--\r\nmore"),
        ],
    )
    def test_nothing_can_be_changed_or_added(self, mail_of, signer, before, after):
        raw = signed(signer, mime.encode(mail_of()))
        assert verifies(signer, raw)
        assert raw.count(before) >= 1
        assert not verifies(signer, raw.replace(before, after))

    def test_fields_that_occur_twice_are_signed_from_the_last_to_the_first(self, mail_of, signer):
        raw = mime.encode(mail_of(headers={"References": "<a@example.com>", "references": "<b@example.com>"}))
        assert verifies(signer, signed(signer, raw))

    def test_what_relays_do_does_no_harm(self, mail_of, signer):
        raw = signed(signer, mime.encode(mail_of(text="a  b\n\n", html=None, cc=["C. C. <c@example.org>"])))
        relayed = raw.replace(b"Subject: ", b"SUBJECT:  \t").replace(b"a  b", b"a \t b ") + b"\r\n\r\n"
        assert verifies(signer, b"Received: from a by b;\r\n\tnow\r\nX-Spam: no\r\n" + relayed)

    def test_the_same_mail_gets_the_same_signature(self, mail_of, signer):
        raw = mime.encode(mail_of())
        assert signer.header(raw) == signer.header(raw)

    def test_the_field_is_folded_and_names_every_field_that_must_not_be_added(self, mail_of, signer):
        field = signer.header(mime.encode(mail_of()))
        assert max(map(len, field.split(b"\r\n"))) <= 78
        names = re.sub(rb"\s", b"", field).partition(b";h=")[2].partition(b";")[0].decode().split(":")
        present = {"from", "to", "subject", "date", "message-id", "content-type", "mime-version", "feedback-id"}
        assert {name: names.count(name) for name in OVERSIGNED} == {name: 1 + (name in present) for name in OVERSIGNED}


@RELAXED
@given(body=st.binary(max_size=200).map(lambda b: re.sub(rb"[\r\n]+", b"\r\n", b + b"\n")))
@example(body=b"")
@example(body=b"\r\n\r\n")
@example(body=b" \r\n \t\r\n")
@example(body=b"a \t b \r\n\r\n \r\n")
@example(body=b"\ta\t\r\n\r\n")
def test_bodies_are_made_canonical_as_dkimpy_does(body):
    assert relaxed_body(body) == dkim.canonicalization.Relaxed.canonicalize_body(body)


@pytest.mark.parametrize(
    ("field", "canonical"),
    [
        (b"A: X", b"a:X"),
        (b"B : Y\t\r\n\tZ  ", b"b:Y Z"),
        (b"C:\r\n x\r\n\ty", b"c:x y"),
        (b"D:", b"d:"),
    ],
)
def test_the_examples_of_the_rfc_come_out_as_it_says(field, canonical):
    assert relaxed_field(field) == canonical


class TestWhoMaySign:
    @pytest.mark.parametrize("domain", ["example.com", "shop.example.com", "EXAMPLE.com", "a.b.example.com"])
    def test_the_domain_and_those_below_it_align(self, signer, domain):
        assert signer.aligns(domain)

    @pytest.mark.parametrize("domain", ["example.org", "badexample.com", "com", "example.com.evil.test", "\udc80"])
    def test_others_do_not(self, signer, domain):
        assert not signer.aligns(domain)

    async def test_the_provider_signs_for_its_domain_and_says_when_it_cannot(self, mail_of, signer, caplog):
        provider = Smtp("smtp", server_of("smtp://127.0.0.1?tls=none", timeout=1), dkim=signer)
        ours = provider.build(mail_of(html="<p>\n.\n..x</p>"))
        data = ours.data.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
        assert verifies(signer, data)
        assert ours.size == len(data)
        theirs = mail_of(sender="orders@example.org")
        assert b"DKIM-Signature" not in provider.build(theirs).data
        assert provider.build(theirs).data.startswith(b"Date: ")

    def test_without_a_domain_nobody_signs(self):
        assert Signer.from_settings(Settings()) is None

    def test_the_settings_name_domain_selector_and_key(self, tmp_path):
        (tmp_path / "key").write_bytes(KEYS["ed25519"])
        chosen = Settings(dkim_domain="Example.com", dkim_selector="s1", dkim_key_file=str(tmp_path / "key"))
        signer = Signer.from_settings(chosen)
        assert signer is not None
        assert signer.record[0] == "s1._domainkey.example.com"

    @pytest.mark.parametrize(
        ("chosen", "named"),
        [
            ({"dkim_domain": "example.com"}, "MAILBOAT_DKIM_KEY_FILE is missing"),
            ({"dkim_key_file": "KEY"}, "MAILBOAT_DKIM_DOMAIN is missing"),
            ({"dkim_domain": "example.com", "dkim_key_file": "/nowhere"}, "'/nowhere' cannot be read"),
            ({"dkim_domain": "exa mple", "dkim_key_file": "KEY"}, "'exa mple' is not a domain"),
            ({"dkim_domain": "a;b=c", "dkim_key_file": "KEY"}, "'a;b=c' is not a domain"),
            ({"dkim_domain": "a.test", "dkim_selector": "s;t", "dkim_key_file": "KEY"}, "selector 's;t'"),
        ],
    )
    def test_half_a_configuration_is_refused_by_name(self, tmp_path, chosen, named):
        (tmp_path / "key").write_bytes(KEYS["ed25519"])
        chosen = {name: text.replace("KEY", str(tmp_path / "key")) for name, text in chosen.items()}
        with pytest.raises(ConfigurationError, match=re.escape(named)):
            Signer.from_settings(Settings(**chosen))

    @pytest.mark.parametrize(
        "key",
        [
            b"",
            b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n",
            pem(ec.generate_private_key(ec.SECP256R1())),
        ],
        ids=["empty", "garbage", "elliptic"],
    )
    def test_a_key_that_cannot_sign_is_refused_at_once(self, key):
        with pytest.raises(ConfigurationError, match="DKIM key has to be"):
            Signer("example.com", "s", key)
