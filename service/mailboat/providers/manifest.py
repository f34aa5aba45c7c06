"""Providers as manifests: the list in MAILBOAT_PROVIDERS_FILE, each item shaped like an EmailProvider.

    - name: ses-eu
      ses: {region: eu-west-1, configurationSet: mailboat}
      credentials: {access-key-id: AKIA…, secret-access-key: …}
      limits: {maxPerSecond: 50, maxConcurrent: 20, timeout: 10s}
      circuitBreaker: {failures: 5, window: 60s, cooldown: 5s}

What a kind has to say about itself (`ses: …`) and its credentials are read by the kind's own module.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import yaml
from msgspec import Meta

from mailboat.errors import ConfigurationError

T = TypeVar("T")
Endpoint = Annotated[str, Meta(pattern=r"^(https?://[A-Za-z0-9.\[\]:_-]+(/[A-Za-z0-9._~/-]*)?)?$")]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OWN = ("name", "credentials", "limits", "circuitBreaker", "webhook")  # the last is read by `webhooks.endpoints`
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The base of what a kind says about itself."""


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The base of what a kind has to be told in secret; named as the keys of a Secret are."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Limits(Spec, frozen=True):
    """How hard a provider may be used, per process; `timeout` is for one whole call."""

    max_per_second: Annotated[float, Meta(gt=0)] | None = None
    max_concurrent: Annotated[int, Meta(ge=1, le=1000)] = 20
    timeout: Annotated[str, Meta(pattern=r"^[0-9]{1,6}(\.[0-9]{1,3})?(ms|s|m)$")] = "30s"

    @property
    def seconds(self) -> float:
        number, unit = re.fullmatch(r"([0-9.]+)(\D+)", self.timeout).groups()  # type: ignore[union-attr]
        return max(float(number) * _UNITS[unit], 0.001)


_Span = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,5}[smh]$")]


class CircuitBreaker(Spec, frozen=True):
    """When mail takes the next provider of its route; `limits.breaker` has the defaults."""

    failures: Annotated[int, Meta(ge=1, le=1000)] | None = None
    window: _Span | None = None
    cooldown: _Span | None = None


class Manifest(msgspec.Struct, frozen=True):
    """One item of the list. `place` names it in errors."""

    name: str
    kind: str
    limits: Limits
    place: str
    raw: dict[str, Any]
    breaker: dict[str, Any] = {}
    """What is said about its circuit."""

    def spec(self, model: type[T]) -> T:
        """What stands under the kind. Raises ConfigurationError naming the field."""
        return _convert(self.raw[self.kind] or {}, model, f"{self.place}: {self.kind}")

    def credentials(self, model: type[T]) -> T:
        """What stands under `credentials`. Raises ConfigurationError naming the field, never showing a value."""
        return _convert(self.raw.get("credentials") or {}, model, f"{self.place}: credentials")

    def fault(self, field: str, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{self.place}: {field}: {reason}")

    def __repr__(self) -> str:
        return f"Manifest({self.name!r}, {self.kind!r})"


def read(path: str, kinds: Collection[str]) -> list[Manifest]:
    """The manifests in a file. Raises ConfigurationError naming the file, the item and the field."""
    try:
        listed = yaml.safe_load(Path(path).read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"MAILBOAT_PROVIDERS_FILE={path!r} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: this is not YAML{_where(error)}.") from None
    if not isinstance(listed, list):
        raise ConfigurationError(f"{path}: this has to be a list of providers, each beginning with '- name: '.")
    found = [_manifest(item, f"{path}: item {number}", kinds) for number, item in enumerate(listed, 1)]
    names = [manifest.name for manifest in found]
    for manifest in found:
        if names.count(manifest.name) > 1:
            raise ConfigurationError(f"{manifest.place}: name: another item has the same name.")
    return found


def _manifest(item: Any, place: str, kinds: Collection[str]) -> Manifest:
    if not isinstance(item, dict) or not isinstance(name := item.get("name"), str) or not _NAME.fullmatch(name):
        raise ConfigurationError(f"{place}: name: has to be 1 to 63 lower-case letters, digits or hyphens.")
    place = f"{place} ({name})"
    if unknown := [str(field) for field in item if field not in _OWN and field not in kinds]:
        raise ConfigurationError(f"{place}: {unknown[0]}: is no field of a provider. Use {', '.join((*_OWN, *kinds))}.")
    chosen = [kind for kind in kinds if kind in item]
    if len(chosen) != 1:
        raise ConfigurationError(f"{place}: needs exactly one of {', '.join(kinds)}; it has {len(chosen)}.")
    limits = _convert(item.get("limits") or {}, Limits, f"{place}: limits")
    breaker = _convert(item.get("circuitBreaker") or {}, CircuitBreaker, f"{place}: circuitBreaker")
    said = {field: value for field, value in msgspec.structs.asdict(breaker).items() if value is not None}
    return Manifest(name, chosen[0], limits, place, item, said)


def _convert(raw: Any, model: type[T], place: str) -> T:
    try:
        return msgspec.convert(raw, model)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise ConfigurationError(f"{place}{path.rstrip('`')}: {reason}.") from None


def _where(error: yaml.YAMLError) -> str:
    """The line only: a mark's snippet would show what stands there, and that may be a key."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f": line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {error.problem}"
    return ""
