"""DKIM signatures (RFC 6376, RFC 8463): relaxed/relaxed, rsa-sha256 or ed25519-sha256 as the key is.

dkimpy says the same in 20 times the time; the tests let it verify what is signed here. There is no `t=` and RSA
signatures are PKCS#1 v1.5, so the same mail gets the same signature in every attempt.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from mailboat.domain import address
from mailboat.errors import ConfigurationError
from mailboat.settings import Settings, variable

SMALLEST_RSA = 1024  # bits; verifiers ignore anything below (RFC 8301 §3.2)
# Signed once more than they occur, so that none can be added to a mail on its way (RFC 6376 §5.4.2).
OVERSIGNED = (
    "from", "to", "cc", "subject", "date", "message-id", "reply-to", "content-type", "mime-version", "feedback-id",
    "list-unsubscribe", "list-unsubscribe-post", "list-id", "in-reply-to", "references",
)  # fmt: skip
# Signed where it is there: relays add their own to a multipart that has none.
SIGNED = ("content-transfer-encoding",)

_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_BLANKS = re.compile(rb"[ \t]{2,}|\t")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_LABELS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
_KEY = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class Signer:
    """Signs for one domain and those below it."""

    def __init__(self, domain: str, selector: str, key: bytes) -> None:
        """`key` is PEM: RSA of at least 1024 bits, or Ed25519. Raises ConfigurationError naming what is wrong."""
        self.domain, self.selector = _domain(domain), selector
        if not _LABELS.fullmatch(selector):
            raise ConfigurationError(f"The DKIM selector {selector!r} has to be labels of a DNS name, like mail2026.")
        self._key = _private(key)
        algorithm = b"rsa-sha256" if isinstance(self._key, rsa.RSAPrivateKey) else b"ed25519-sha256"
        self._start = b"DKIM-Signature: v=1; a=%b; c=relaxed/relaxed;\r\n d=%b;\r\n s=%b;\r\n h=" % (
            algorithm,
            self.domain.encode(),
            selector.encode(),
        )

    @classmethod
    def from_file(cls, domain: str, selector: str, path: str) -> Signer:
        """Raises ConfigurationError naming the file."""
        try:
            key = Path(path).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"The DKIM key file {path!r} cannot be read: {error.strerror}.") from None
        try:
            return cls(domain, selector, key)
        except ConfigurationError as error:
            raise ConfigurationError(f"DKIM ({path}): {error}") from None

    @classmethod
    def from_settings(cls, settings: Settings) -> Signer | None:
        """None without a domain. Raises ConfigurationError naming the variable or the file."""
        if not settings.dkim_domain and not settings.dkim_key_file:
            return None
        for field in ("dkim_domain", "dkim_key_file"):
            if not getattr(settings, field):
                raise ConfigurationError(f"{variable(field)} is missing: DKIM needs a domain and a key file.")
        return cls.from_file(settings.dkim_domain, settings.dkim_selector, settings.dkim_key_file)

    @property
    def record(self) -> tuple[str, str]:
        """The name and the content of the TXT record that verifiers look for."""
        public = self._key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            kind, format_ = "rsa", serialization.PublicFormat.SubjectPublicKeyInfo
            octets = public.public_bytes(serialization.Encoding.DER, format_)
        else:
            kind, octets = "ed25519", public.public_bytes_raw()
        text = f"v=DKIM1; k={kind}; p={b2a_base64(octets, newline=False).decode()}"
        return f"{self.selector}._domainkey.{self.domain}", text

    def aligns(self, domain: str) -> bool:
        """Whether a signature counts for mail from this domain (RFC 7489 §3.1.1)."""
        return _aligns(domain, self.domain)

    def header(self, raw: bytes) -> bytes:
        """The DKIM-Signature field, with its CRLF, to stand before `raw`: a whole message with CRLF line ends only."""
        head, _, body = raw.partition(b"\r\n\r\n")
        names, fields = _signed(head)
        field = b"%b%b;\r\n bh=%b;\r\n b=" % (
            self._start,
            names,
            b2a_base64(sha256(relaxed_body(body)).digest(), newline=False),
        )
        signature = b2a_base64(self._sign(b"".join((*fields, relaxed_field(field)))), newline=False)
        lines = [signature[at : at + 72] for at in range(0, len(signature), 72)]
        return field + b"\r\n ".join(lines) + b"\r\n"

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(sha256(data).digest())  # RFC 8463 §3: the hash is what is signed


def relaxed_field(field: bytes) -> bytes:
    """RFC 6376 §3.4.2, without the CRLF at the end."""
    name, _, value = field.partition(b":")
    value = _BLANKS.sub(b" ", _FOLD.sub(b"", value) if b"\r" in value else value)
    return b"%b:%b" % (name.rstrip(b" \t").lower(), value.strip(b" "))


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 §3.4.4, of a body that is empty or ends with CRLF."""
    if b"  " in body or b"\t" in body:
        body = _BLANKS.sub(b" ", body)
    body = body.replace(b" \r\n", b"\r\n")
    if body.endswith(b"\r\n\r\n"):
        body = body.rstrip(b"\r\n") + b"\r\n"
    return b"" if body == b"\r\n" else body


def _signed(head: bytes) -> tuple[bytes, list[bytes]]:
    """The value of `h=`, and the fields that it names as they are hashed: of one name the last comes first."""
    found: dict[str, list[bytes]] = {}
    for field in _FIELD_END.split(head):
        canonical = relaxed_field(field)
        found.setdefault(canonical.partition(b":")[0].decode("latin-1"), []).append(canonical)
    counts = tuple(len(found.get(name, ())) for name in (*OVERSIGNED, *SIGNED))
    ordered = (field for name in (*OVERSIGNED, *SIGNED) for field in reversed(found.get(name, ())))
    return _names(counts), [field + b"\r\n" for field in ordered]


@lru_cache(256)
def _names(counts: tuple[int, ...]) -> bytes:
    """The names of the fields, folded."""
    times = [count + (place < len(OVERSIGNED)) for place, count in enumerate(counts)]
    lines = [":".join([name] * n) for name, n in zip((*OVERSIGNED, *SIGNED), times, strict=True) if n]
    return ":\r\n ".join(lines).encode()


@lru_cache(4096)
def _aligns(domain: str, signing: str) -> bool:
    try:
        plain = address.ascii_domain(domain.lower())
    except address.InvalidAddress:
        return False
    return plain == signing or plain.endswith(f".{signing}")


def _domain(domain: str) -> str:
    try:
        plain = address.ascii_domain(domain.lower())
    except address.InvalidAddress as error:
        raise ConfigurationError(f"The DKIM domain {domain!r} is not a domain: {error}.") from None
    if not _LABELS.fullmatch(plain):
        raise ConfigurationError(f"The DKIM domain {domain!r} is not a domain; write it like example.com.")
    return plain


def _private(pem: bytes) -> _KEY:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError("The DKIM key has to be an unencrypted private key in PEM format.") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= SMALLEST_RSA:
        return key
    raise ConfigurationError(f"The DKIM key has to be RSA with at least {SMALLEST_RSA} bits, or Ed25519.")
