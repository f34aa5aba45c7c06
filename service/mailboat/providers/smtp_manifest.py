"""The provider `smtp` as a manifest names it; as a URL names it, `Smtp.from_url`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

from msgspec import Meta

from mailboat.errors import ConfigurationError
from mailboat.providers import manifest
from mailboat.providers.smtp import PORTS, Smtp

if TYPE_CHECKING:
    from mailboat.providers.dkim import Signer  # needs cryptography, which is large: only for those who sign


class Dkim(manifest.Spec, frozen=True):
    """Who signs, and the PEM file of the private key."""

    domain: str
    key_file: str
    selector: str = "mailboat"


class Spec(manifest.Spec, frozen=True):
    """`smtp: {host}` of a manifest. `caFile` is a PEM file of the authorities that sign the server's certificate."""

    host: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]+$")]
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    tls: Literal["none", "auto", "starttls", "implicit"] = "auto"
    ca_file: str = ""
    dkim: Dkim | None = None


class Credentials(manifest.Credentials, frozen=True):
    username: str = ""
    password: str = ""


def from_manifest(given: manifest.Manifest) -> Smtp:
    spec, credentials = given.spec(Spec), given.credentials(Credentials)
    if credentials.password and not credentials.username:
        raise given.fault("credentials", "has a password but no username.")
    try:
        return Smtp.from_url(
            given.name,
            _url(spec, credentials),
            connections=given.limits.max_concurrent,
            timeout=given.limits.seconds,
            ca_file=spec.ca_file,
            dkim=_signer(spec.dkim) if spec.dkim else None,
        )
    except ConfigurationError as error:
        raise given.fault("smtp", str(error)) from None


def _signer(dkim: Dkim) -> Signer:
    from mailboat.providers.dkim import Signer

    return Signer.from_file(dkim.domain, dkim.selector, dkim.key_file)


def _url(spec: Spec, credentials: Credentials) -> str:
    scheme, query = ("smtps", "") if spec.tls == "implicit" else ("smtp", f"?tls={spec.tls}")
    host = f"[{spec.host}]" if ":" in spec.host else spec.host
    user = ""
    if credentials.username:
        user = f"{quote(credentials.username, safe='')}:{quote(credentials.password, safe='')}@"
    return f"{scheme}://{user}{host}:{spec.port or PORTS[scheme]}{query}"
