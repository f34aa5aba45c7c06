"""The provider `smtp`: any SMTP server, over kept-open connections, with the envelope in one write."""

from __future__ import annotations

import re
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, cast, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog

from mailboat.domain.message import Mail, Receipt, Refusal
from mailboat.errors import ConfigurationError, Misconfigured, ProviderError, Rejected, Unavailable, Uncertain
from mailboat.providers import mime, smtp_session
from mailboat.providers.smtp_pool import Pool
from mailboat.providers.smtp_session import NOT_US, Dialogue, Reply, Server, Tls, Transaction, fault

if TYPE_CHECKING:
    from mailboat.providers.dkim import Signer  # needs cryptography, which is large: only for those who sign

log = structlog.get_logger()
PORTS = {"smtp": 587, "smtps": 465}
_TOO_MANY = re.compile(r"[45]\.5\.3\b")
# What RFC 3463 (and RFC 7505) has for an address that takes no mail, now or later: no such mailbox, no such domain, no
# address, moved, null MX, switched off. 5.1.0 says too little for that, and 5.2.2 (full) and 5.7.x (policy) are about
# today or about us.
_DEAD = re.compile(r"5\.(?:1\.(?:1|2|3|6|10)|2\.1)(?![\d.])")
_ECHO = re.compile(r"<[^<>]*>|\S+@\S+")  # the address, which may say anything
# Servers borrow these codes for what is not about the address: Gmail says 5.2.1 of a mailbox that gets too much mail.
_BORROWED = re.compile(
    r"\brate\b|temporar|\bblock|black ?list|spam|polic|reputation|\bspf\b|\bdkim\b|dmarc|relay\w* (?:access )?denied",
    re.IGNORECASE,
)


class Smtp:
    """Hands mail to one SMTP server, signed where `dkim` may speak for the domain in From."""

    kind = "smtp"

    def __init__(self, name: str, server: Server, *, connections: int = 20, dkim: Signer | None = None) -> None:
        self.name = name
        self.concurrency = connections
        self._server = server
        self._pool = Pool(server, connections)
        self._dkim = dkim
        self._unsigned: set[str] = set()  # domains of which the log knows

    @classmethod
    def from_url(
        cls, name: str, url: str, *, connections: int, timeout: float, ca_file: str = "", dkim: Signer | None = None
    ) -> Smtp:
        """From MAILBOAT_SMTP_URL and its neighbours. Raises ConfigurationError, which never shows the password."""
        return cls(name, server_of(url, timeout=timeout, ca_file=ca_file), connections=connections, dkim=dkim)

    def build(self, mail: Mail) -> Transaction:
        """7-bit bytes, which every server takes; SMTPUTF8 only for a local part that cannot do without."""
        utf8 = mime.needs_smtputf8(mail)
        raw = self._signed(mime.encode(mail, smtputf8=utf8 is not None), mail.envelope.sender.domain)
        data = (raw.replace(b"\r\n.", b"\r\n..") if b"\r\n." in raw else raw) + b".\r\n"
        recipients: dict[bytes, tuple[str, ...]] = {}
        for one in mail.recipients:
            wire = _wire(one.email)
            recipients[wire] = (*recipients.get(wire, ()), one.email)
        if not recipients:
            raise Rejected("The message has no recipients.")
        return Transaction(_wire(mail.envelope.sender.email), recipients, data, len(raw), utf8)

    def _signed(self, raw: bytes, domain: str) -> bytes:
        if self._dkim is None:
            return raw
        if self._dkim.aligns(domain):
            return self._dkim.header(raw) + raw
        if domain not in self._unsigned:
            self._unsigned.add(domain)
            log.warning("not signed", provider=self.name, sender_domain=domain, dkim_domain=self._dkim.domain)
        return raw

    async def send(self, request: Transaction) -> Receipt:
        """Raises only when no recipient was accepted; else the receipt names the recipients that are still open."""
        progress = _Progress(request)
        session = await self._pool.take()
        try:
            while progress.open:
                dialogue = await session.deliver(request, progress.open)
                if session.delivered > 1 and _cut_off(dialogue):
                    session = await self._pool.replace(session)
                else:
                    progress.book(dialogue)
        except ProviderError as error:
            progress.give_up(error)
        finally:
            self._pool.give_back(session)
        return progress.receipt()

    async def check(self) -> str:
        session = await smtp_session.connect(self._server)
        session.leave()
        return f"{self._server}: {session.banner}"

    async def close(self) -> None:
        await self._pool.close()


class _Progress:
    """What became of each recipient, over the transactions and connections that one `send` may need."""

    def __init__(self, request: Transaction) -> None:
        self.open = list(request.recipients)
        self._request = request
        self._refused: dict[bytes, Refusal] = {}
        self._detail = ""  # of the last acceptance

    def book(self, dialogue: Dialogue) -> None:
        """Read one transaction. Raises the error that stands for every recipient still open.

        Recipients over the server's limit for one transaction (452, RFC 5321 §4.5.3.1.10) stay open if others
        were taken: the next transaction is theirs.
        """
        sender = dialogue.sender
        if sender is None or (len(dialogue.recipients) < len(self.open) and sender.accepted):
            raise _lost(dialogue)
        if not sender.accepted:
            raise fault(sender, "the sender was refused")
        answers = dict(zip(self.open, dialogue.recipients, strict=True))
        refused = {one: reply for one, reply in answers.items() if not reply.accepted}
        if len(refused) < len(answers):
            self._detail = str(_accepted(dialogue))
            self.open = [one for one, reply in refused.items() if _over_limit(reply)]
        elif not self._detail:
            raise self._nobody(refused)
        else:
            self.open = []
        self._refused |= {
            one: Refusal(str(reply), retryable=reply.code < 500, dead=_is_dead(reply))
            for one, reply in refused.items()
            if one not in self.open
        }

    def _nobody(self, refused: dict[bytes, Reply]) -> ProviderError:
        error = _nobody(refused)
        names = self._request.recipients
        error.dead = {name: str(reply) for one, reply in refused.items() if _is_dead(reply) for name in names[one]}
        return error

    def give_up(self, error: ProviderError) -> None:
        """Raise the error again, unless somebody already has the mail: then it is theirs who have not."""
        if not self._detail:
            raise error
        refusal = Refusal(str(error), retryable=error.retryable)
        self._refused |= dict.fromkeys(self.open, refusal)

    def receipt(self) -> Receipt:
        names = self._request.recipients
        return Receipt(
            self._detail, refused={name: refusal for one, refusal in self._refused.items() for name in names[one]}
        )


def _cut_off(dialogue: Dialogue) -> bool:
    """Whether a connection ended without having taken the mail.

    A used one may: servers close idle connections, and some take so many mails on each. A new one is worth a try
    then, and ends the matter, since its first transaction has no such excuse.
    """
    if dialogue.final is not None:
        return dialogue.final.code == 421
    if dialogue.sender is not None and dialogue.sender.code == 452:  # OpenSMTPD after 100 mails on a connection
        return _TOO_MANY.match(dialogue.sender.text) is not None
    return dialogue.lost is not None and not dialogue.handed_over


def _accepted(dialogue: Dialogue) -> Reply:
    """The reply to the final dot of a transaction with recipients. Raises what it says if it is not a yes."""
    if dialogue.data is None:
        raise _lost(dialogue)
    if dialogue.data.code != 354:
        raise fault(dialogue.data, "the message was refused")
    if dialogue.final is None and dialogue.handed_over:
        raise Uncertain(f"the answer to the message never came ({dialogue.lost}); it may have been sent")
    if dialogue.final is None:
        raise _lost(dialogue)
    if not dialogue.final.accepted:
        raise fault(dialogue.final, "the message was refused")
    return dialogue.final


def _lost(dialogue: Dialogue) -> ProviderError:
    """The connection ended before the message was handed over."""
    said = (dialogue.sender, *dialogue.recipients, dialogue.data, dialogue.final)
    for reply in said:
        if reply is not None and reply.code == 421:
            return fault(reply, "the server ended the connection")
    return Unavailable(f"the connection to the SMTP server was lost before the message was sent: {dialogue.lost}")


def _nobody(refused: dict[bytes, Reply]) -> ProviderError:
    """Every recipient was refused: for good, if all were; we are the problem, if one answer says so."""
    said = "; ".join(f"<{one.decode()}>: {reply}" for one, reply in refused.items())
    for reply in refused.values():
        if reply.code < 500:
            return fault(reply, "every recipient was refused, some for now")
        if reply.code in NOT_US:
            return Misconfigured(said)
    return Rejected(f"every recipient was refused: {said}")


def _is_dead(reply: Reply) -> bool:
    """Whether a recipient was refused because mail never arrives at its address."""
    return (
        reply.code >= 500
        and _DEAD.match(reply.text) is not None
        and _BORROWED.search(_ECHO.sub("", reply.text)) is None
    )


def _over_limit(reply: Reply) -> bool:
    return reply.code == 452 or _TOO_MANY.match(reply.text) is not None


@lru_cache(8192)
def _wire(email: str) -> bytes:
    """An address in the envelope; its domain in lower case, so that two spellings of one mailbox are one."""
    local, _, domain = mime.addr_spec(email, smtputf8=True).rpartition("@")
    return f"{local}@{domain.lower()}".encode()


# --- configuration


def server_of(url: str, *, timeout: float, ca_file: str = "") -> Server:
    """The server that a URL names. Raises ConfigurationError, without the password in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad_url("its host or port cannot be read") from None
    if parts.scheme not in PORTS:
        raise _bad_url("it has to begin with smtp:// or smtps://")
    if not parts.hostname:
        raise _bad_url("it names no host")
    if parts.path.strip("/") or parts.fragment:
        raise _bad_url("something follows the host; percent-encode '/', '#' and '?' in the password")
    if parts.password and not parts.username:
        raise _bad_url("it has a password but no user")
    tls = _tls(parts.scheme, parts.query)
    return Server(
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        tls=tls,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        timeout=timeout,
        context=None if tls == "none" else _context(ca_file),
    )


def _tls(scheme: str, query: str) -> Tls:
    options = dict(parse_qsl(query, keep_blank_values=True))
    tls = options.pop("tls", "implicit" if scheme == "smtps" else "auto")
    if options:
        raise _bad_url("only tls= may follow the '?'")
    if tls not in get_args(Tls) or (tls == "implicit") != (scheme == "smtps"):
        raise _bad_url("tls= has to be none, starttls or auto after smtp://, and is not needed after smtps://")
    return cast(Tls, tls)


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"MAILBOAT_SMTP_CA_FILE={ca_file!r} cannot be read as PEM certificates ({error}). Correct it, or unset it "
            "to use the system's."
        ) from None


def _bad_url(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"MAILBOAT_SMTP_URL is not usable: {reason}. Write smtp://user:password@host:587?tls=starttls, "
        "or smtps://user:password@host."
    )
