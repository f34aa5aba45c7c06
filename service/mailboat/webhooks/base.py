"""What every provider's webhook is: `verify` proves where bytes come from, `parse` says what they mean."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Protocol

import msgspec

from mailboat.domain.events import Event
from mailboat.errors import MailboatError

Secret = Annotated[str, msgspec.Meta(min_length=1)]
AHEAD = timedelta(minutes=5)  # how far a sender's clock may be ahead of ours


class Forged(MailboatError):
    """The bytes are not proven to come from the provider. The text is for our log; the caller learns nothing."""


class Malformed(MailboatError):
    """The bytes are not what this provider sends."""


class Unreachable(MailboatError):
    """Something that the verification needs could not be fetched; the provider may try again."""


class Verified(msgspec.Struct, frozen=True):
    """A proven delivery. `key` is the same in each repeat of it; where the signature does not cover the body, `digest`
    is the body's. `confirm` is the address that confirms a subscription; without `facts` there is nothing to keep."""

    key: str
    digest: bytes = b""
    confirm: str = ""
    facts: bool = True


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The base of what a kind needs to verify: a provider's `webhook: …`, named as the keys of a Secret are.

    What has a `previous-…` beside it is valid under both, so that it can be changed without losing an event.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Webhook(Protocol):
    """One provider's module."""

    MOST_OCTETS: int
    Secrets: type[Secrets]

    async def verify(
        self, raw: bytes, headers: Mapping[str, str], secrets: Any, now: datetime, **more: Any
    ) -> Verified:
        """Raises Forged, Malformed or Unreachable. Header names are lower-case."""

    def parse(self, raw: bytes) -> list[Event]:
        """The facts in a body, verified or not. Raises Malformed; never for a word or a value that it does not know."""


def decode(raw: bytes) -> Any:
    """JSON. Raises Malformed."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"this is not JSON: {error}") from None
    except RecursionError:
        raise Malformed("this is nested too deep") from None


def fresh(sent: datetime | None, now: datetime, window: timedelta) -> None:
    """Raises Forged for a signature that is too old, dated ahead or not dated."""
    if sent is None:
        raise Forged("the signature has no date")
    if not -AHEAD <= now - sent <= window:
        raise Forged(f"the signature is dated {sent:%Y-%m-%dT%H:%M:%SZ}")


def current_and_previous(*secrets: str) -> list[str]:
    """Those that are set."""
    return [secret for secret in secrets if secret]


def fingerprint(*parts: bytes) -> str:
    """A key for deliveries that bring none."""
    return hashlib.sha256(b"\n".join(parts)).hexdigest()
