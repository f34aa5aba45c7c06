"""Amazon's side of SNS: certificates are fetched from there, and subscriptions confirmed.

Only addresses that `sns` has checked come here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from mailboat.errors import ConfigurationError
from mailboat.webhooks.base import Forged, Unreachable
from mailboat.webhooks.sns import Envelope

SECONDS = 3.0  # for fetching a certificate or confirming a subscription
LARGEST = 64 * 1024  # octets of a certificate
KEPT, KEPT_SECONDS, REFUSED_SECONDS = 64, 86_400.0, 30.0
HASHES: dict[str, HashAlgorithm] = {"1": SHA1(), "2": SHA256()}  # noqa: S303 - topics begin with version 1


def origin(text: str) -> str:
    """The origin of an SNS simulator on this machine. Raises ConfigurationError."""
    parts = urlsplit(text)
    try:
        loopback = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
        port = parts.port
    except ValueError:
        loopback, port = False, None
    if parts.scheme != "http" or not loopback or port is None or parts.path.strip("/") or parts.query or parts.username:
        raise ConfigurationError(f"ses: snsOrigin: {text!r} has to be like http://127.0.0.1:8025, on this machine.")
    return text.rstrip("/")


class Amazon:
    """SNS as we call it: for certificates, which are kept, and for confirmations. Redirects are not followed.

    With `simulator`, an origin on this machine, the rightly named addresses are asked for there.
    """

    def __init__(self, simulator: str = "") -> None:
        self._simulator = origin(simulator) if simulator else ""
        self._keys: OrderedDict[str, tuple[float, RSAPublicKey | None]] = OrderedDict()
        self._turn = asyncio.Lock()  # one fetch at a time: made-up addresses must not become a flood

    async def check(self, found: Envelope) -> None:
        """Raises Forged unless the envelope is signed with the certificate that it names, and Unreachable."""
        key = await self._key(found.certificate_url)
        try:
            key.verify(found.signature, found.signed, PKCS1v15(), HASHES[found.version])
        except InvalidSignature:
            raise Forged("the signature is wrong") from None

    async def _key(self, url: str) -> RSAPublicKey:
        if not self._known(url):
            async with self._turn:
                if not self._known(url):
                    self._keep(url, _public_key(await self._get(url)))
        key = self._keys[url][1]
        if key is None:
            raise Forged("there is no certificate at SigningCertURL")
        return key

    async def confirm(self, url: str) -> None:
        """Confirm a subscription whose URL was checked. Raises Unreachable."""
        status, _ = await self._fetch(url)
        if status != 200:
            raise Unreachable(f"SNS answered {status} to the confirmation")

    async def _get(self, url: str) -> bytes | None:
        status, body = await self._fetch(url)
        if status == 200:
            return body
        if status in (403, 404):
            return None
        raise Unreachable(f"SNS answered {status} instead of its certificate")

    async def _fetch(self, url: str) -> tuple[int, bytes]:
        parts = urlsplit(url)
        place = f"{self._simulator}{parts.path or '/'}" if self._simulator else url
        if self._simulator and parts.query:
            place += f"?{parts.query}"
        try:
            async with (
                asyncio.timeout(SECONDS),
                httpx.AsyncClient(follow_redirects=False, trust_env=not self._simulator) as client,
                client.stream("GET", place) as answer,
            ):
                return answer.status_code, await _limited(answer)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Unreachable(f"SNS cannot be reached: {str(error) or type(error).__name__}") from None

    def _known(self, url: str) -> bool:
        until, _ = self._keys.get(url, (0.0, None))
        return until > time.monotonic()

    def _keep(self, url: str, key: RSAPublicKey | None) -> None:
        self._keys[url] = (time.monotonic() + (KEPT_SECONDS if key else REFUSED_SECONDS), key)
        self._keys.move_to_end(url)
        while len(self._keys) > KEPT:
            # Made-up addresses go first: they must not push a certificate out.
            empty = next((known for known, (_, held) in self._keys.items() if held is None), None)
            self._keys.pop(empty or next(iter(self._keys)))


async def _limited(answer: httpx.Response) -> bytes:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > LARGEST:
            raise Unreachable("SNS answered with more than a certificate")
    return body


def _public_key(pem: bytes | None) -> RSAPublicKey | None:
    """The RSA key of a certificate that is valid today; None for anything else."""
    if pem is None:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except ValueError:
        return None
    now = datetime.now(UTC)
    valid = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    return key if isinstance(key, RSAPublicKey) and valid else None
