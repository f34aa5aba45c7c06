"""Endpoints: whose webhooks are expected here, and the secrets that prove them.

They stand in the list of providers (MAILBOAT_PROVIDERS_FILE) beside what else is said about each:

    - name: mailgun-eu
      mailgun: {domain: mail.example.com, region: eu}
      webhook: {signing-key: …, previous-signing-key: …}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from mailboat.errors import ConfigurationError
from mailboat.webhooks import registry
from mailboat.webhooks.base import Forged, Verified

if TYPE_CHECKING:
    from mailboat.webhooks.amazon import Amazon

SIMULATED = "ses.snsOrigin stands in for Amazon, which only MAILBOAT_SIMULATORS=1 allows"


class Endpoint:
    """One provider whose webhooks are expected. `amazon` is SES's alone."""

    def __init__(self, name: str, kind: str, secrets: Any, amazon: Amazon | None = None, closed: str = "") -> None:
        self.name, self.kind = name, kind
        self._secrets, self._amazon, self._closed = secrets, amazon, closed
        self._provider = registry.of(kind)

    @property
    def most_octets(self) -> int:
        return self._provider.MOST_OCTETS

    async def verify(self, raw: bytes, headers: Mapping[str, str], now: datetime | None = None) -> Verified:
        """Raises Forged, Malformed or Unreachable."""
        if self._closed:
            raise Forged(self._closed)
        more = {"amazon": self._amazon} if self._amazon is not None else {}
        return await self._provider.verify(raw, headers, self._secrets, now or datetime.now(UTC), **more)

    async def confirm(self, url: str) -> None:
        """Confirm the subscription of a verified delivery. Raises Unreachable."""
        assert self._amazon is not None
        await self._amazon.confirm(url)


class Endpoints:
    """All of them."""

    def __init__(self, endpoints: Iterable[Endpoint] = ()) -> None:
        self._by_name = {endpoint.name: endpoint for endpoint in endpoints}

    def of(self, kind: str, name: str = "") -> list[Endpoint]:
        """Those that a path means: the one of this name, or all of the kind."""
        if not name:
            return [endpoint for endpoint in self._by_name.values() if endpoint.kind == kind]
        found = self._by_name.get(name)
        return [found] if found is not None and found.kind == kind else []


def read(path: str, *, simulators: bool) -> Endpoints:
    """The endpoints in a list of providers: those with a `webhook: …`. Raises ConfigurationError naming the place."""
    try:
        listed = yaml.safe_load(Path(path).read_bytes())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        # Not the error's own words: they would show the line, and what stands there may be a key.
        raise ConfigurationError(f"MAILBOAT_PROVIDERS_FILE={path!r} cannot be read: {type(error).__name__}.") from None
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return Endpoints(of_manifest(item, path, simulators=simulators) for item in items if item.get("webhook"))


def of_manifest(item: Mapping[str, Any], place: str, *, simulators: bool) -> Endpoint:
    """The endpoint of one provider, which has a `webhook: …`. Raises ConfigurationError."""
    name = str(item.get("name", ""))
    kind = next((kind for kind in registry.KINDS if kind in item), "")
    if not kind:
        raise ConfigurationError(f"{place} ({name}): webhook: only {', '.join(registry.KINDS)} have webhooks.")
    origin = str((item[kind] or {}).get("snsOrigin") or "")
    try:
        secrets = msgspec.convert(item["webhook"], registry.of(kind).Secrets)
        return Endpoint(name, kind, secrets, _amazon(kind, origin), SIMULATED if origin and not simulators else "")
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{place} ({name}): webhook: {error}.") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{place} ({name}): {error}") from None


def _amazon(kind: str, origin: str) -> Amazon | None:
    if kind != "ses":
        return None
    from mailboat.webhooks.amazon import Amazon

    return Amazon(origin)
