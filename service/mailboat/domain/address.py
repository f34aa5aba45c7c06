"""Mail addresses as a client writes them: `ada@example.com` or `Ada Lovelace <ada@example.com>`.

Stricter than RFC 5322 on purpose: no comments, no routes, no groups, no address literals, no controls. What
passes here can be written into a header and into an SMTP envelope without changing its meaning.
"""

from __future__ import annotations

import re
from functools import lru_cache

import idna
import msgspec

LOCAL_OCTETS, DOMAIN_OCTETS, TOTAL_OCTETS = 64, 255, 254  # RFC 5321 §4.5.3.1, erratum 1690

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"')
_SIMPLE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*"
                     r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # fmt: skip
# C0, DEL, C1, line and paragraph separators: none may reach a header.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidAddress(ValueError):
    """The text is not a mail address; the message says why."""


class Address(msgspec.Struct, frozen=True):
    """One mailbox: `email` is the addr-spec with the domain as the client wrote it, `name` the display name or ""."""

    email: str
    name: str = ""

    @property
    def local(self) -> str:
        return self.email.rpartition("@")[0]

    @property
    def domain(self) -> str:
        """The domain, lower-cased, Unicode kept."""
        return self.email.rpartition("@")[2].lower()

    @property
    def key(self) -> str:
        """What two spellings of the same mailbox share: for comparing, never for sending."""
        return f"{self.local}@{ascii_domain(self.domain)}".lower()

    def __str__(self) -> str:
        if not self.name:
            return self.email
        quoted = self.name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{self.email}>'


@lru_cache(4096)
def ascii_domain(domain: str) -> str:
    """A domain as DNS knows it: lower case, IDNA 2008 A-labels.

    Raises InvalidAddress. UTS 46 mapping only folds case and width; it keeps ß and ς as IDNA 2008 does.
    """
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode("ascii").lower()
    except idna.IDNAError as error:
        raise InvalidAddress(f"the domain {domain!r} is not a valid international domain: {error}") from None


@lru_cache(8192)
def parse(text: str) -> Address:
    """The address in `text`. Raises InvalidAddress with the reason."""
    if _CONTROL.search(text):
        raise InvalidAddress("it contains a line break or another control character")
    if _SURROGATE.search(text):
        raise InvalidAddress("it contains half a surrogate pair")
    text = text.strip()
    if len(text) > 1000:
        raise InvalidAddress("it is longer than 1,000 characters")
    name = ""
    email = text
    if text.endswith(">"):
        head, opened, email = text[:-1].rpartition("<")
        if not opened:
            raise InvalidAddress("it ends with '>' but has no '<'")
        name = _display_name(head.strip())
        email = email.strip()
    _check(email)
    return Address(email, name)


def _display_name(text: str) -> str:
    if text.startswith('"'):
        if not _QUOTED.fullmatch(text):
            raise InvalidAddress("the quoted display name is not closed, or something follows it")
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if '"' in text or "<" in text or ">" in text:
        raise InvalidAddress("a display name with '\"', '<' or '>' in it has to be quoted")
    return text


def _check(email: str) -> None:
    if "@" not in email:
        raise InvalidAddress("it has no '@'")
    local, _, domain = email.rpartition("@")
    if not local or not domain:
        raise InvalidAddress(f"the part {'before' if not local else 'after'} '@' is missing")
    if not _SIMPLE.fullmatch(email):
        _check_unusual(local, domain)
    elif local[0] == "." or local[-1] == "." or ".." in local:
        raise InvalidAddress("the part before '@' may not begin or end with a dot or have two in a row")
    if len(email.encode()) > TOTAL_OCTETS or len(local.encode()) > LOCAL_OCTETS:
        raise InvalidAddress(f"it is longer than {LOCAL_OCTETS} octets before or {TOTAL_OCTETS} octets in all")


def _check_unusual(local: str, domain: str) -> None:
    if not _DOT_ATOM.fullmatch(local) and not _QUOTED.fullmatch(local):
        raise InvalidAddress(f"the part before '@' ({local!r}) has characters that an address may not have")
    if domain.startswith("["):
        raise InvalidAddress("an address literal in brackets is not supported; use a domain name")
    ascii_form = ascii_domain(domain)
    labels = ascii_form.split(".")
    if len(ascii_form) > DOMAIN_OCTETS or not all(
        re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", label) for label in labels
    ):
        raise InvalidAddress(f"the domain {domain!r} is not a valid domain name")
