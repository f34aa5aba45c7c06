"""What can go wrong, as one tree.

MailboatError
├── ConfigurationError     a setting is wrong: the text names it and the remedy
├── Problem                an answer to an HTTP caller (RFC 9457)
├── TemplateFault          a template failed, with file, line and column: permanent
├── RenderUnavailable      no render process could be had: the mail waits
└── ProviderError          a provider did not take the mail; the verdict is on the class
    ├── Unavailable        down, unreachable or timed out
    ├── Throttled          asks us to slow down
    ├── Rejected           refuses this message; the provider is well
    ├── Misconfigured      refuses us: credentials, TLS, domain
    └── Uncertain          the connection died after the body: it may have been sent
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
_PICTURES |= dict.fromkeys((*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)


def visible(text: str) -> str:
    """A stranger's text for a terminal: what would steer it, as an escape does, is a picture of itself (␛)."""
    return text.translate(_PICTURES)


class MailboatError(Exception):
    """The root of everything Mailboat raises on purpose."""


class ConfigurationError(MailboatError):
    """A setting is missing or wrong; the message names the setting and the remedy."""


class Problem(MailboatError):
    """An HTTP answer in the form of RFC 9457.

    `code` is stable and meant for programs; `detail` is for people; `field` is the path of the offending
    part of the body (`to[0]`, `data.order`); `headers` go out with the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.field = status, code, detail, field
        self.headers = dict(headers or {})
        self.extra = extra


class TemplateFault(MailboatError):
    """A template that cannot be compiled or rendered. Lines and columns count from 1; 0 means unknown."""

    def __init__(self, message: str, *, file: str = "", line: int = 0, column: int = 0) -> None:
        self.message, self.file, self.line, self.column = visible(message), file, line, column
        super().__init__(self.message)

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return f"{place}: {self.message}" if place else self.message


class RenderUnavailable(MailboatError):
    """The render processes could not be started; nothing is known about the template."""

    retryable = True
    counts = ambiguous = False


class ProviderError(MailboatError):
    """A provider did not take a message.

    retryable: would the same message succeed later?  counts: does it say that the provider is unwell?
    ambiguous: may the message have been sent all the same?
    dead: addresses of which the provider says that no mail will ever arrive there, with its words.
    """

    retryable = False
    counts = False
    ambiguous = False
    dead: Mapping[str, str] = MappingProxyType({})


class Unavailable(ProviderError):
    """The provider is down, unreachable or too slow; the message was not sent."""

    retryable = counts = True


class Throttled(ProviderError):
    """The provider asks us to slow down; `retry_after` is in seconds where it says so."""

    retryable = True

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Rejected(ProviderError):
    """This message was refused for good; the provider is well."""


class Misconfigured(ProviderError):
    """The provider refuses us, not the message: credentials, TLS, a domain that is not verified."""

    retryable = counts = True


class Uncertain(ProviderError):
    """The connection died after the message was handed over and before the answer came."""

    retryable = counts = ambiguous = True
