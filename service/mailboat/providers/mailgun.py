"""The provider `mailgun`: Mailgun's Messages API, with the mail as MIME, so that what we write is what arrives.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages
"""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Literal

from msgspec import Meta

from mailboat.domain.message import Mail, Receipt
from mailboat.errors import Misconfigured, ProviderError, Rejected
from mailboat.providers import fields, http, manifest, mime
from mailboat.providers.http import Answer, Api, Request

REGIONS = {"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}
MOST_RECIPIENTS, MOST_TAGS, LONGEST_TAG = 1000, 10, 128
LARGEST = 25_000_000  # octets of a message
VERDICTS = http.STATUSES  # 402 and 403 are limits of the plan, 404 is a domain that the account does not have

_FORM = "application/x-www-form-urlencoded"


class Spec(manifest.Spec, frozen=True):
    """`mailgun: {domain}` of a manifest: the sending domain. `endpoint` is for a simulator or a proxy."""

    domain: Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")]
    region: Literal["us", "eu"] = "us"
    endpoint: manifest.Endpoint = ""


class Credentials(manifest.Credentials, frozen=True):
    api_key: str


class Mailgun:
    """Hands mail to Mailgun. The API has no idempotency: an answer that never came is uncertain."""

    kind = "mailgun"

    def __init__(self, name: str, spec: Spec, credentials: Credentials, limits: manifest.Limits) -> None:
        self.name, self.concurrency = name, limits.max_concurrent
        self._path = f"/v3/{spec.domain}"
        token = b64encode(f"api:{credentials.api_key}".encode()).decode()
        base = spec.endpoint or REGIONS[spec.region]
        self._api = Api(base, {"Authorization": f"Basic {token}"}, limits, secrets=(credentials.api_key, token))

    @classmethod
    def from_manifest(cls, given: manifest.Manifest) -> Mailgun:
        return cls(given.name, given.spec(Spec), given.credentials(Credentials), given.limits)

    def build(self, mail: Mail) -> Request:
        """A form of `to`, once per recipient in the envelope, and the file `message`."""
        found = fields.recipients(mail)
        fields.at_most(found, MOST_RECIPIENTS, "Mailgun")
        raw = mime.encode(mail)
        if len(raw) > LARGEST:
            raise Rejected(f"The message has {len(raw)} octets; Mailgun takes {LARGEST} at most.")
        pairs = [("to", one.email) for some in found.values() for one in some]
        pairs += [("o:tag", tag) for tag in fields.labels(mail.tags, most=MOST_TAGS, longest=LONGEST_TAG)]
        pairs.append((f"v:{fields.MESSAGE_KEY}", str(mail.id)))
        boundary = f"mailboat-{mail.id.hex}"
        while boundary.encode() in raw:
            boundary += "-"
        return Request(
            f"{self._path}/messages.mime", _form(pairs, raw, boundary), f"multipart/form-data; boundary={boundary}"
        )

    async def send(self, request: Request) -> Receipt:
        """The id comes in angle brackets, and without them in events: it is kept without."""
        answer = await self._api.post(request)
        body = answer.json()
        identifier = body.get("id")
        known = fields.one_line(identifier, longest=200).strip("<>") if isinstance(identifier, str) else ""
        if answer.status != 200 or not known:
            raise self._fault(answer)
        return Receipt(fields.one_line(f"200 {body.get('message', '')}"), known)

    async def check(self) -> str:
        """A message without a word of who and what: 400 says that it was the only thing wrong. Nothing is sent, and
        it works for a key that may do nothing but send, which cannot read the domain."""
        answer = await self._api.post(Request(f"{self._path}/messages", b"o:testmode=yes", _FORM))
        if answer.status != 400:
            raise self._fault(answer)
        return f"{self._api.host} accepts the API key for {self._path.rpartition('/')[2]}"

    async def close(self) -> None:
        await self._api.close()

    def _fault(self, answer: Answer) -> ProviderError:
        words = answer.json().get("message")
        if answer.status == 200:  # "Mailgun Magnificent API" greets whoever has the wrong URL
            return Misconfigured(f"{self._api.host} answered 200 without an id: is mailgun.endpoint Mailgun's API?")
        return self._api.fault(answer, words if isinstance(words, str) else "", http.verdict(answer.status, VERDICTS))


def _form(pairs: list[tuple[str, str]], raw: bytes, boundary: str) -> bytes:
    """multipart/form-data (RFC 7578)."""
    mark = f"--{boundary}".encode()
    parts = [
        b'%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (mark, name.encode(), value.encode())
        for name, value in pairs
    ]
    head = b'%b\r\nContent-Disposition: form-data; name="message"; filename="message.eml"\r\n' % mark
    return b"".join((*parts, head, b"Content-Type: message/rfc822\r\n\r\n", raw, b"\r\n%b--\r\n" % mark))
