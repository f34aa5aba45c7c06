"""The provider `smtp` against Postfix, Exim and OpenSMTPD as Debian packages them: what arrives is what was asked.

They are fetched by `.ci/mail-servers` (`make test` does) and run unpacked in a mount namespace, one after the other.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from email.header import decode_header, make_header
from email.utils import getaddresses
from pathlib import Path
from typing import NamedTuple

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from mailboat.domain.address import Address
from mailboat.domain.message import AttachedFile
from mailboat.errors import Rejected
from mailboat.providers import mime
from mailboat.providers.dkim import Signer
from mailboat.providers.smtp import Smtp, server_of

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailboat/mail-servers"
PATIENCE = 30.0  # seconds for a server to start, or to deliver
KEY = ed25519.Ed25519PrivateKey.generate().private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


class Kind(NamedTuple):
    """A server: Debian's package, users and groups that it wants, and how it starts. RECIPIENTS a transaction are
    its limit; it leaves mail in HERE/mail."""

    package: str
    users: dict[str, int]
    groups: dict[str, int]
    start: str
    smtputf8: bool
    refuses: frozenset[str] = frozenset()  # addresses that are none to it


POSTFIX = Kind(
    "postfix",
    {"postfix": 61001, "keeper": 61000},
    {"postfix": 61001, "postdrop": 61002},
    r"""
cat >/etc/postfix/main.cf <<'.'
compatibility_level = 3.6
maillog_file = /dev/stdout
myhostname = mail.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_recipient_limit = RECIPIENTS
smtputf8_enable = yes
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_base = HERE
virtual_mailbox_maps = static:mail/
virtual_uid_maps = static:61000
virtual_gid_maps = static:61000
.
cat >/etc/postfix/master.cf <<'.'
127.0.0.1:PORT inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
.
chown postfix /var/lib/postfix
chgrp postdrop /usr/sbin/postqueue /usr/sbin/postdrop
chmod g+s /usr/sbin/postqueue /usr/sbin/postdrop
exec postfix start-fg
""",
    smtputf8=True,
)
EXIM = Kind(
    "exim4-daemon-light",
    {"Debian-exim": 61003, "keeper": 61000},
    {"Debian-exim": 61003},
    r"""
mkdir -p /var/spool/exim4 /var/log/exim4
chown Debian-exim:Debian-exim /var/spool/exim4 /var/log/exim4
cat >/etc/exim4/exim4.conf <<'.'
primary_hostname = mail.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = PORT
tls_advertise_hosts =
smtputf8_advertise_hosts = *
recipients_max = RECIPIENTS
smtp_accept_max_per_connection = 7
rfc1413_query_timeout = 0s
acl_smtp_rcpt = all
acl_smtp_data = all
begin acl
all:
  accept
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  directory = HERE/mail
  maildir_format
  create_directory
  user = keeper
  group = keeper
  envelope_to_add
  return_path_add
.
exec /usr/sbin/exim4 -bdf -q1m
""",
    smtputf8=True,
)
OPENSMTPD = Kind(
    "opensmtpd",
    {"opensmtpd": 61004, "opensmtpq": 61005, "keeper": 61000},
    {"opensmtpd": 61004, "opensmtpq": 61005},
    r"""
cat >/etc/smtpd.conf <<'.'
smtp limit max-rcpt RECIPIENTS
smtp limit max-mails 7
listen on 127.0.0.1 port PORT
table everybody { "@" = keeper }
action "keep" maildir "HERE/mail" virtual <everybody>
match from any for any action "keep"
.
chmod 0644 /etc/smtpd.conf
exec /usr/sbin/smtpd -d
""",
    smtputf8=False,
    refuses=frozenset(('"ada lovelace"@example.com',)),
)
KINDS = {"postfix": POSTFIX, "exim": EXIM, "opensmtpd": OPENSMTPD}
RECIPIENTS = 10


class Server:
    """A running mail server and what it has delivered."""

    def __init__(self, kind: Kind, port: int, here: Path) -> None:
        self.kind, self.port, self.here = kind, port, here
        self.mails: dict[Path, bytes] = {}

    def delivered(self, *mails) -> list[bytes]:
        """Every copy of these mails, once there are as many as recipients."""
        ids, count = {mail.message_id for mail in mails}, sum(len(mail.recipients) for mail in mails)
        deadline = time.monotonic() + PATIENCE
        while len(found := [raw for raw in self._read() if message_id(raw) in ids]) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} copies arrived\n{self.log()}"
            time.sleep(0.02)
        assert Counter(map(message_id, found)) == {mail.message_id: len(mail.recipients) for mail in mails}
        return found

    def _read(self) -> Iterable[bytes]:
        for path in (self.here / "mail/new").iterdir():
            if path not in self.mails:
                self.mails[path] = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return self.mails.values()

    def log(self) -> str:
        return (self.here / "log").read_text(errors="replace")[-5000:]


def missing(kind: Kind) -> str:
    if os.geteuid() != 0:
        return "real mail servers are started by root only"
    if not (CACHE / kind.package / "complete").exists():
        return f"{kind.package} is missing: run .ci/mail-servers"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode:
        return "this system gives no mount namespaces"
    return ""


@pytest.fixture(scope="module", params=list(KINDS))
def server(request):
    kind = KINDS[request.param]
    if reason := missing(kind):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    here = Path(tempfile.mkdtemp(prefix="mailboat-mta-", dir="/tmp"))
    process = start(kind, port := free_port(), here)
    try:
        running = Server(kind, port, here)
        until_greeted(running, process)
        yield running
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(here)


def start(kind: Kind, port: int, here: Path) -> subprocess.Popen:
    here.chmod(0o755)
    for folder in ("mail", "mail/tmp", "mail/new", "mail/cur"):
        (here / folder).mkdir()
        os.chown(here / folder, kind.users["keeper"], kind.users["keeper"])
    groups = kind.groups | {"keeper": kind.users["keeper"]}
    accounts = (f"{name}:x:{n}:{groups.get(name, n)}::/nonexistent:/bin/sh\n" for name, n in kind.users.items())
    (here / "passwd").write_text("".join(accounts).replace("opensmtpd::/nonexistent", "opensmtpd::/var/lib/opensmtpd"))
    (here / "group").write_text("".join(f"{name}:x:{n}:\n" for name, n in groups.items()))
    words = {"HERE": str(here), "PORT": str(port), "RECIPIENTS": str(RECIPIENTS)}
    script = kind.start
    for word, value in words.items():
        script = script.replace(word, value)
    (here / "start").write_text(script)
    inside = [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "bash",
        Path(__file__).with_name("mail-server.sh"),
    ]
    with (here / "log").open("wb") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *inside, CACHE / kind.package, here], stdout=log, stderr=log
        )


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until_greeted(server: Server, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, server.log()
        assert time.monotonic() < deadline, server.log()
        try:
            with socket.create_connection(("127.0.0.1", server.port), 1) as one:
                if one.recv(3) == b"220":
                    return
        except OSError:
            time.sleep(0.02)


# --- what was asked, and what arrived


def asked(mail) -> dict:
    envelope = mail.envelope
    named = {"from": (envelope.sender,), "to": envelope.to, "cc": envelope.cc, "reply-to": envelope.reply_to}
    return {
        "subject": mail.subject,
        "text": _wire(mail.text),
        "html": _wire(mail.html),
        "date": mail.date,
        **{header: [(one.name, _plain(one.email)) for one in addresses] for header, addresses in named.items()},
        "headers": {name.lower(): value for name, value in mail.headers.items()},
        "files": Counter((file.filename, file.content_type, file.content_id, file.body) for file in mail.attachments),
    }


def arrived(raw: bytes, headers) -> dict:
    message, older = email.message_from_bytes(raw, policy=email.policy.default), email.message_from_bytes(raw)
    assert not message.defects
    leaves = [(part, old) for part, old in zip(message.walk(), older.walk(), strict=True) if not part.is_multipart()]
    words = {part.get_content_subtype(): part for part, _ in leaves if part.get_content_disposition() is None}
    return {
        "subject": message["subject"],
        "text": _decoded(words.get("plain")),
        "html": _decoded(words.get("html")),
        "date": message["date"].datetime,
        **{header: _mailboxes(raw, header) for header in ("from", "to", "cc", "reply-to")},
        "headers": {name.lower(): message[name] for name in headers},
        "files": Counter(
            (
                part.get_filename(),
                old["content-type"],
                (part["content-id"] or "").strip("<>"),
                part.get_payload(decode=True),
            )
            for part, old in leaves
            if part.get_content_disposition() is not None
        ),
    }


def _plain(address: str) -> str:
    return mime.addr_spec(address, smtputf8=True)


def _wire(text):
    return None if text is None else text.replace("\r\n", "\n").replace("\n", "\r\n").rstrip("\r\n")


def _decoded(part):
    return None if part is None else _wire(part.get_payload(decode=True).decode())


def _mailboxes(raw: bytes, header: str) -> list[tuple[str, str]]:
    """Names and addresses, read by the older parser: the newer one puts blanks between the words of a name."""
    field = re.search(
        rb"(?is)\r\n%b:(.*?)\r\n(?![ \t])" % header.encode(), b"\r\n" + raw.partition(b"\r\n\r\n")[0] + b"\r\n"
    )
    found = getaddresses([field[1].decode().replace("\r\n", "")]) if field else []
    return [(str(make_header(decode_header(name))), spec) for name, spec in found]


def message_id(raw: bytes) -> str:
    return email.message_from_bytes(raw)["message-id"]


def verifies(signer: Signer, raw: bytes) -> bool:
    return dkim.verify(raw, dnsfunc=lambda name, timeout=5: signer.record[1].encode())


OCTETS = bytes(range(256)) * 300
FILES = (
    AttachedFile("Rechnung März 2026.pdf", "application/pdf", OCTETS),
    AttachedFile("=?utf-8?q?not=20a=20word?=.txt", "text/plain", b"one\ntwo\r\nthree\r.\n..\n.\r\nFrom me\n\n\n"),
    AttachedFile("領収書" * 40 + ".html", "text/html; charset=iso-8859-1", "<p>ä</p>".encode("latin-1")),
    AttachedFile('a "quoted" \\ name; x=y.bin', "application/octet-stream", b""),
)
LOGO = AttachedFile("logo.png", "image/png", OCTETS[::-1], "logo@mailboat")
SPECIALS = "\"\\<>()@;:[],.'`$%&{}|~^_=?#!*+-/"
NASTY = {
    "plain": {},
    "blanks in the subject": {"subject": " leading, two  inside and trailing "},
    "a literal encoded-word": {"subject": "a literal =?utf-8?q?word?= in it"},
    "long subjects": {"subject": "Grüße  aus  Köln " * 12},
    "one long word": {"subject": "x" * 990},
    "families": {"subject": "👩‍👩‍👧‍👦" * 40, "html": "<p>👩‍👩‍👧‍👦</p>" * 200, "text": "👩‍👩‍👧‍👦" * 500},
    "no subject": {"subject": ""},
    "names": {
        "sender": Address("orders@shop.example.com", 'The "Best" \\ shop, Inc.'),
        "to": [Address("a@example.com", "Smith, John"), Address("b@example.com", "=?utf-8?q?x?=")],
        "cc": [Address("c@example.com", "Grüße aus Köln " * 9 + "!"), Address("d@example.com", "x" * 200)]
        + [Address(f"s{n}@example.com", f"one{special}two, three") for n, special in enumerate(SPECIALS)],
        "reply_to": [Address("e@example.com", "李 小龍"), Address("f@example.com", "a  b")],
    },
    "dots": {"html": "<p>\n.\n..\n.x\n", "text": ".\n..\n...\n.\n\n."},
    "lines of 998 octets": {"html": "x" * 998 + "\n" + "." * 998, "text": "y" * 998},
    "longer lines": {"html": "x" * 20_000, "text": "ä" * 999 + "\n" + "z" * 999},
    "carriage returns": {"html": "a\rb\r\r\nc", "text": "one\rtwo"},
    "from lines": {"text": "From me\n>From you\n\nFrom: x\nSubject: y\n", "html": None},
    "controls": {"text": "a\x00b\x07c\x1b[0m\x7f", "html": "<p>\x00\x0c</p>"},
    "blank ends": {"text": "blank \ntab\t\n \n\t\n-- \nme", "html": "<p> </p> \n" * 5},
    "boundaries": {"text": "--=_a_" + "0" * 31 + "1--\n", "html": "--=_a_" + "0" * 31 + "1"},
    "html alone": {"text": None, "html": "<p>ä</p>"},
    "files": {"attachments": FILES},
    "inline images": {"html": '<img src="cid:logo@mailboat">', "attachments": (LOGO, *FILES)},
    "headers": {
        "headers": {
            "X-Note": "Grüße  =?x?= \\ \"" + "ü" * 300,
            "X-Long": "w" * 899,
            "List-Unsubscribe": "<https://example.com/?a=?b?=" + "x" * 700 + ">, <mailto:leave@example.com>",
            "References": " ".join(f"<{n}.{'r' * 40}@example.com>" for n in range(60)),
        }
    },
    "international domains": {"to": ["Ada <ada@straße.test>"], "cc": ["ü@bücher.test".replace("ü@", "u@")]},
    "a million octets": {"text": "Zeile mit Umlaut ä.\n" * 25_000, "html": "<p>ascii only</p>\n" * 30_000},
}  # fmt: skip


@pytest.fixture
def signer():
    return Signer("example.com", "s", KEY)


@pytest.fixture
async def provider(server, signer):
    provider = Smtp(
        "smtp", server_of(f"smtp://127.0.0.1:{server.port}?tls=none", timeout=PATIENCE), connections=5, dkim=signer
    )
    yield provider
    await provider.close()


async def test_what_arrives_is_what_was_asked_and_its_signature_holds(server, provider, mail_of, signer):
    mails = {f"<{n}@mail.example.com>": mail_of(number=n, **options) for n, options in enumerate(NASTY.values(), 1)}
    for mail in mails.values():
        receipt = await provider.send(provider.build(mail))
        assert not receipt.refused
    for raw in server.delivered(*mails.values()):
        mail = mails[message_id(raw)]
        assert arrived(raw, mail.headers) == asked(mail)
        assert verifies(signer, raw)


async def test_unusual_local_parts_arrive_or_are_refused_by_the_server(server, provider, mail_of):
    to = ['"ada lovelace"@example.com', "o'brien+tag=x%y@example.com", "!#$&*/?^_`{|}~-@example.com"]
    mail = mail_of(number=900, to=to)
    receipt = await provider.send(provider.build(mail))
    assert set(receipt.refused) <= server.kind.refuses
    assert not any(refusal.retryable for refusal in receipt.refused.values())
    taken = mail_of(number=900, to=to, recipients=[one for one in to if one not in receipt.refused])
    for raw in server.delivered(taken):
        assert arrived(raw, {}) == asked(mail)


async def test_more_recipients_than_the_server_takes_get_one_mail_each(server, provider, mail_of):
    everybody = [f"r{n}@example.com" for n in range(3 * RECIPIENTS + 4)]
    mail = mail_of(number=901, to=everybody[:5], cc=everybody[5:9], bcc=everybody[9:])
    assert (await provider.send(provider.build(mail))).refused == {}
    found = server.delivered(mail)
    for raw in found:
        assert arrived(raw, {}) == asked(mail)
    assert sorted(to for raw in found for to in delivered_to(raw)) == sorted(everybody)


def delivered_to(raw: bytes) -> list[str]:
    """Whom the server says that this copy is for."""
    message = email.message_from_bytes(raw)
    names = ("X-Original-To", "Envelope-to", "Delivered-To")
    return next([one.strip() for one in message[name].split(",")] for name in names if message[name])


async def test_a_local_part_that_is_not_ascii_arrives_or_is_refused(server, provider, mail_of, signer):
    mail = mail_of(number=902, sender="Jürgen <jürgen@köln.test>", to=["Zoë <zoë@straße.test>"], subject="Grüße")
    if server.kind.smtputf8:
        await provider.send(provider.build(mail))
        (raw,) = server.delivered(mail)
        assert arrived(raw, {}) == asked(mail)
    else:
        with pytest.raises(Rejected, match=r"jürgen@köln\.test needs SMTPUTF8"):
            await provider.send(provider.build(mail))


async def test_many_mails_at_once_all_arrive_once(server, provider, mail_of):
    mails = [mail_of(number=1000 + n, html="<p>.</p>\n.\n" * n) for n in range(60)]
    await asyncio.gather(*(provider.send(provider.build(mail)) for mail in mails))
    assert len(server.delivered(*mails)) == len(mails)
