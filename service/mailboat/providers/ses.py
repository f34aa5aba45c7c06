"""The provider `ses`: Amazon SES, API version 2, with the mail as MIME.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Annotated, Any

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore import exceptions as boto
from msgspec import Meta

from mailboat.domain.message import Mail, Receipt
from mailboat.errors import Misconfigured, ProviderError, Rejected, Throttled, Unavailable, Uncertain
from mailboat.providers import fields, http, manifest, mime

MOST_RECIPIENTS, MOST_TAGS, LONGEST_TAG = 50, 48, 256
LARGEST = 40_000_000 * 3 // 4  # octets of a message: 40 MB after base64
CONNECT_SECONDS = 5.0

CODES: dict[str, type[ProviderError]] = {
    "TooManyRequestsException": Throttled,
    "ThrottlingException": Throttled,
    "Throttling": Throttled,
    "LimitExceededException": Misconfigured,
    "SendingPausedException": Misconfigured,
    "AccountSuspendedException": Misconfigured,
    "MailFromDomainNotVerifiedException": Misconfigured,
    "NotFoundException": Misconfigured,
    "MessageRejected": Rejected,
    "BadRequestException": Rejected,
    "InternalServiceErrorException": Unavailable,
}
"""Codes, since half of them share status 400. Beyond the table the status decides, and 400 alone is a refusal of us:
signatures that are expired, keys that are unknown."""
_STATUSES = {413: Rejected, 429: Throttled}

# Said under codes that mean something else most of the time.
_OF_US = re.compile(r"Daily message quota exceeded|is not verified|sending (?:is )?(?:paused|disabled)", re.IGNORECASE)

_BEFORE_SENDING = (
    boto.EndpointConnectionError,
    boto.ConnectTimeoutError,
    boto.ProxyConnectionError,
    boto.SSLError,
)
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
)
# What botocore's parser dies of when a body is not the JSON object that it expects.
_UNREADABLE = (AttributeError, TypeError, ValueError, RecursionError)
_NOT_A_TAG = re.compile(r"[^A-Za-z0-9_-]")


class Spec(manifest.Spec, frozen=True):
    """`ses: {region}` of a manifest. SES reports events only for a configuration set; `snsOrigin` is read by the
    webhooks, and stands in for Amazon's hosts when a simulator sends them."""

    region: Annotated[str, Meta(pattern=r"^[a-z]{2,}(-[a-z]+)+-[0-9]$")]
    configuration_set: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = ""
    endpoint: manifest.Endpoint = ""
    sns_origin: manifest.Endpoint = ""


class Credentials(manifest.Credentials, frozen=True):
    """Without any, boto finds its own: web identity, instance role, environment."""

    access_key_id: str = ""
    secret_access_key: str = ""
    session_token: str = ""


class Ses:
    """Hands mail to SES. The API has no idempotency: an answer that never came is uncertain."""

    kind = "ses"

    def __init__(self, name: str, spec: Spec, credentials: Credentials, limits: manifest.Limits) -> None:
        self.name, self.concurrency = name, limits.max_concurrent
        self._configuration_set = spec.configuration_set
        self._secrets = (credentials.secret_access_key, credentials.session_token)
        self._seconds = limits.seconds
        self._options: dict[str, Any] = {
            "service_name": "sesv2",
            "region_name": spec.region,
            "endpoint_url": spec.endpoint or None,
            "aws_access_key_id": credentials.access_key_id or None,
            "aws_secret_access_key": credentials.secret_access_key or None,
            "aws_session_token": credentials.session_token or None,
            # Its own retries would send a mail twice without our knowledge.
            "config": AioConfig(
                http_session_cls=_Http,
                retries={"total_max_attempts": 1},
                # Less than for the whole call, so that it is told apart: nothing was sent.
                connect_timeout=min(CONNECT_SECONDS, limits.seconds / 2),
                read_timeout=limits.seconds,
                max_pool_connections=limits.max_concurrent,
            ),
        }
        self._host = f"SES {spec.region}"
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None

    @classmethod
    def from_manifest(cls, given: manifest.Manifest) -> Ses:
        credentials = given.credentials(Credentials)
        if bool(credentials.access_key_id) != bool(credentials.secret_access_key):
            raise given.fault("credentials", "give both access-key-id and secret-access-key, or neither.")
        return cls(given.name, given.spec(Spec), credentials, given.limits)

    def build(self, mail: Mail) -> dict[str, Any]:
        """The parameters of SendEmail. The destination is the envelope; From stays what the headers say."""
        found = fields.recipients(mail)
        fields.at_most(found, MOST_RECIPIENTS, "SES")
        raw = mime.encode(mail)
        if len(raw) > LARGEST:
            raise Rejected(f"The message has {len(raw)} octets; SES takes {LARGEST} at most.")
        request = {
            "Destination": {
                f"{kind.capitalize()}Addresses": [one.email for one in some] for kind, some in found.items() if some
            },
            "Content": {"Raw": {"Data": raw}},
            "EmailTags": _tags(mail),
        }
        if self._configuration_set:
            request["ConfigurationSetName"] = self._configuration_set
        return request

    async def send(self, request: dict[str, Any]) -> Receipt:
        answer = await self._call("send_email", **request)
        identifier = answer.get("MessageId")
        if not isinstance(identifier, str) or not identifier:
            raise Misconfigured(f"{self._host} answered without a MessageId: is ses.endpoint SES?")
        return Receipt("accepted by SES", fields.one_line(identifier, longest=200))

    async def check(self) -> str:
        """The account's quota. A key that may do nothing but send is refused that, by name: so it is a good key."""
        try:
            answer = await self._call("get_account")
        except Misconfigured as error:
            if "not authorized to perform" in str(error):
                return f"{self._host} knows the credentials, which may not read the account"
            raise
        if not answer.get("SendingEnabled"):
            raise Misconfigured(f"{self._host} has paused sending for this account: see its Account dashboard.")
        quota = answer.get("SendQuota") or {}
        return f"{self._host}: {quota.get('Max24HourSend', '?')} mails a day, {quota.get('MaxSendRate', '?')} a second"

    async def close(self) -> None:
        await self._stack.aclose()

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Raises the ProviderError for whatever goes wrong."""
        client = self._client or await self._open()
        try:
            async with asyncio.timeout(self._seconds):
                answer: dict[str, Any] = await getattr(client, operation)(**parameters)
        except boto.ClientError as error:
            raise self._refusal(error) from None
        except (boto.BotoCoreError, boto.HTTPClientError, TimeoutError) as error:
            raise self._lost(error) from None
        except _UNREADABLE as error:
            said = type(error).__name__
            raise Uncertain(f"{self._host} answered with something that SES never says ({said})") from None
        return answer

    async def _open(self) -> Any:
        async with self._opening:
            if self._client is None:
                self._client = await self._stack.enter_async_context(aioboto3.Session().client(**self._options))
        return self._client

    def _refusal(self, error: boto.ClientError) -> ProviderError:
        said = error.response.get("Error", {})
        code, status = str(said.get("Code", "")), _status(error)
        words = fields.one_line(f"{code}: {said.get('Message', '')}", secrets=self._secrets)
        detail = f"{self._host} answered HTTP {status}: {words}"
        chosen = Misconfigured if _OF_US.search(words) else CODES.get(code) or http.verdict(status, _STATUSES)
        return chosen(detail)

    def _lost(self, error: Exception) -> ProviderError:
        words = fields.one_line(str(error) or "it did not answer in time", secrets=self._secrets)
        if isinstance(error, _NO_CREDENTIALS):
            return Misconfigured(f"{self._host}: {words}. Set credentials, or give the pod a role.")
        if isinstance(error, boto.ParamValidationError):
            return Rejected(f"{self._host}: {words}")
        if isinstance(error, _BEFORE_SENDING):
            return Unavailable(f"{self._host} could not be reached: {words}")
        return Uncertain(f"{self._host}: {words}; it may have taken the request")


class _Http(AIOHTTPSession):  # type: ignore[misc]
    """botocore's way to HTTP, which would follow redirects, with the mail and our signature, and read without end."""

    async def _get_session(self, proxy_url: str | None) -> _Straight:
        return _Straight(await super()._get_session(proxy_url))


class _Straight:
    """A session that goes where it is sent and no further."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, **options: Any) -> _Whole:
        async with self._session.request(method, allow_redirects=False, **options) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > http.LARGEST_ANSWER:
                    response.close()
                    raise aiohttp.ClientPayloadError("the answer does not end")
            return _Whole(response, bytes(body))


class _Whole:
    """An answer that was read: what aiobotocore asks of one."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.url, self.status, self.raw_headers, self._body = response.url, response.status, response.raw_headers, body

    async def read(self) -> bytes:
        return self._body


def _tags(mail: Mail) -> list[dict[str, str]]:
    """Our id first, then the client's tags in SES's alphabet; one with an empty value has nothing to say there."""
    pairs = {fields.MESSAGE_KEY: str(mail.id)}
    for name, value in mail.tags.items():
        pairs.setdefault(_word(name), _word(value))
    return [{"Name": name, "Value": value} for name, value in list(pairs.items())[:MOST_TAGS] if value]


def _word(text: str) -> str:
    return _NOT_A_TAG.sub("_", text)[:LONGEST_TAG]


def _status(error: boto.ClientError) -> int:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else 0
