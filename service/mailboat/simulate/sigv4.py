"""Whether a request carries a signature of AWS, version 4, made with a secret that we know.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

SKEW = timedelta(minutes=5)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,]+)/(?P<scope>(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)"
    r"/aws4_request), ?SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


class Fault(NamedTuple):
    """AWS's code for it and what AWS says; the status is 403."""

    code: str
    message: str


def fault(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, *, key: str, secret: str
) -> Fault | None:
    """None when the signature is right. Header names are in lower case."""
    given = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if given is None:
        return Fault("MissingAuthenticationTokenException", "Missing Authentication Token")
    if given["key"] != key:
        return Fault("UnrecognizedClientException", "The security token included in the request is invalid.")
    stamp = headers.get("x-amz-date", "")
    if not _fresh(stamp):
        return Fault("InvalidSignatureException", f"Signature expired: {stamp} is not now")
    signed = given["headers"].split(";")
    canonical = "\n".join((
        method,
        quote(path, safe="/-_.~"),
        "&".join(sorted(f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in parse_qsl(query, True))),
        *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed),
        "",
        given["headers"],
        hashlib.sha256(body).hexdigest(),
    ))  # fmt: skip
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, given["scope"], hashlib.sha256(canonical.encode()).hexdigest()))
    signer = f"AWS4{secret}".encode()
    for word in (given["day"], given["region"], given["service"], "aws4_request"):
        signer = hmac.digest(signer, word.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(signer, text.encode(), "sha256").hex(), given["signature"]):
        return Fault(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        )
    return None


def _fresh(stamp: str) -> bool:
    try:
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(datetime.now(UTC) - at) <= SKEW
