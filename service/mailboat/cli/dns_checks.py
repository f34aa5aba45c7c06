"""What receivers ask DNS about a sender's domain: SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mailboat.cli.findings import Finding, fail, ok, skip, warn

SECONDS = 4.0
MOST_DOMAINS = 50
POLICY = re.compile(r"(?:^|;)\s*p\s*=\s*(\w+)")


class NoDns(Exception):
    """Nobody answers questions about names here; the text says why."""


class Resolver(Protocol):
    async def texts(self, name: str) -> list[str]:
        """The TXT records of a name, [] when there are none. Raises NoDns."""


class Signature(NamedTuple):
    """Whose mail is signed, with which selector; `key_file` is the private key where it can be read here."""

    domain: str
    selector: str
    key_file: str = ""


class Dns:
    """dnspython on this machine's resolver, or on `nameserver` (HOST or HOST:PORT)."""

    def __init__(self, nameserver: str = "") -> None:
        """Raises NoDns."""
        from dns import asyncresolver, exception

        try:
            self._resolver = asyncresolver.Resolver(configure=not nameserver)
        except (exception.DNSException, OSError) as error:
            raise NoDns(f"this machine has no resolver ({error})") from None
        if nameserver:
            host, _, port = nameserver.partition(":")
            self._resolver.nameservers, self._resolver.port = [host], int(port or 53)
        self._resolver.lifetime = SECONDS

    async def texts(self, name: str) -> list[str]:
        from dns import exception, resolver

        try:
            answer = await self._resolver.resolve(name, "TXT")
        except (resolver.NXDOMAIN, resolver.NoAnswer):
            return []
        except (exception.DNSException, OSError) as error:
            raise NoDns(f"no answer about {name} ({str(error) or type(error).__name__})") from None
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


async def check(resolver: Resolver, domains: Iterable[str], signatures: list[Signature]) -> AsyncIterator[Finding]:
    """Three findings a domain; one for all when there is no DNS."""
    wanted = sorted(set(domains))
    for domain in wanted[:MOST_DOMAINS]:
        try:
            found = await asyncio.gather(
                _spf(resolver, domain), _dkim(resolver, domain, signatures), _dmarc(resolver, domain)
            )
        except NoDns as error:
            yield skip("dns", f"{error}; SPF, DKIM and DMARC were not looked at from {domain} on")
            return
        for finding in found:
            yield finding
    if len(wanted) > MOST_DOMAINS:
        yield skip("dns", f"{len(wanted) - MOST_DOMAINS} further sender domains were not looked at")
    if not wanted:
        yield skip("dns", "no client has a sender with a domain")


async def _spf(resolver: Resolver, domain: str) -> Finding:
    name = f"spf {domain}"
    found = [text for text in await resolver.texts(domain) if text.lower().split(" ")[0] == "v=spf1"]
    if not found:
        return warn(name, "no record", f"add a TXT record to {domain}: v=spf1 include:YOUR-PROVIDER ~all")
    if len(found) > 1:
        return fail(name, f"{len(found)} records, which receivers take for an error", "merge them into one")
    if found[0].lower().endswith("+all"):
        return fail(name, "it ends in +all: anybody may send as this domain", "end it in ~all or -all")
    return ok(name, found[0])


async def _dmarc(resolver: Resolver, domain: str) -> Finding:
    """The domain's own, else that of the nearest domain above it."""
    name, labels = f"dmarc {domain}", domain.split(".")
    for start in range(max(1, len(labels) - 1)):
        place = ".".join(labels[start:])
        found = [text for text in await resolver.texts(f"_dmarc.{place}") if text.lower().startswith("v=dmarc1")]
        if len(found) > 1:
            return fail(name, f"{len(found)} records at _dmarc.{place}", "keep one")
        if found:
            policy = POLICY.search(found[0])
            if policy is None:
                return fail(name, f"_dmarc.{place} has no policy: {found[0]}", "add p=none, quarantine or reject")
            return ok(name, f"p={policy[1]} at _dmarc.{place}")
    return warn(name, "no record", f"add a TXT record to _dmarc.{domain}: v=DMARC1; p=none; rua=mailto:…")


async def _dkim(resolver: Resolver, domain: str, signatures: list[Signature]) -> Finding:
    name = f"dkim {domain}"
    own = next((each for each in signatures if domain == each.domain or domain.endswith(f".{each.domain}")), None)
    if own is None:
        return skip(name, "not signed here; a provider that signs itself says so in its own console")
    place = f"{own.selector}._domainkey.{own.domain}"
    found = [text for text in await resolver.texts(place) if "p=" in text]
    public = public_key(own.key_file)
    if not found:
        return fail(name, f"no key at {place}", f"add a TXT record there: {public or 'v=DKIM1; p=…'}")
    offered = tags(found[0]).get("p", "")
    if not offered:
        return fail(name, f"the key at {place} is revoked (p= is empty)", "publish the key, or change the selector")
    if public and offered != tags(public)["p"]:
        return fail(name, f"the key at {place} is not that of {own.key_file}", f"publish {public}")
    return ok(name, f"{place} {'is our key' if public else 'has a key'}")


def tags(record: str) -> dict[str, str]:
    """The tag list of a record, blanks taken out (RFC 6376 §3.2)."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip(): "".join(value.split()) for name, _, value in pairs if name.strip()}


def public_key(key_file: str) -> str:
    """The record that belongs to a private key; "" when the key cannot be read here."""
    try:
        key = serialization.load_pem_private_key(Path(key_file).read_bytes(), None) if key_file else None
    except (OSError, ValueError, TypeError):
        return ""
    if key is None:
        return ""
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
