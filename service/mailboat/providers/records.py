"""Declared providers, as the table `providers` has them, beside those of the settings.

A change is followed by NOTIFY, with a look every few seconds behind it. A provider that was replaced finishes what it
is sending, and is closed then.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
import msgspec
import structlog

from mailboat.db import engine, listen
from mailboat.errors import ConfigurationError
from mailboat.providers.base import Provider
from mailboat.providers.manifest import Limits, Manifest
from mailboat.providers.pace import Paced
from mailboat.providers.registry import KINDS
from mailboat.providers.seats import Seats

log = structlog.get_logger()
CHANNEL = "mailboat_providers"
POLL_SECONDS = 5.0
HOME = "default"
"""The namespace whose providers others may use."""

Secrets = Mapping[str, Mapping[str, str]]
Unseal = Callable[[bytes | None, str], Secrets]

LIVE_SECONDS = 15.0  # without a heartbeat, and a worker's share of a provider is left to the others
_WORKERS = "select count(*) from workers where heartbeat_at > now() - $1 * interval '1 second'"
_LOAD = "select namespace, name, kind, spec, sealed, allowed from providers"
# The providers of the settings are as a rule alone on their route: their mail has nowhere else to go, so one that
# failed is asked again soon.
FIXED_BREAKER = {"cooldown": "5s"}


class Record(msgspec.Struct, frozen=True):
    """A declared provider: the spec of its EmailProvider, and the Secrets that the spec names."""

    namespace: str
    name: str
    kind: str
    spec: dict[str, Any]
    secrets: Secrets = {}
    allowed: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return place(self.namespace, self.name)

    @property
    def reported(self) -> str:
        """Under which name its webhooks come, and its events are kept."""
        return reported(self.namespace, self.name)

    def serves(self, namespace: str) -> bool:
        """Whether clients of this namespace may route to it."""
        return namespace == self.namespace or (self.namespace == HOME and bool({namespace, "*"} & set(self.allowed)))

    def __repr__(self) -> str:
        return f"Record({self.place!r}, {self.kind!r})"


def reported(namespace: str, name: str) -> str:
    """A name that no provider of another namespace has."""
    return name if namespace == HOME else f"{namespace}/{name}"


def place(namespace: str, name: str) -> str:
    """What errors call a provider, and what its secrets are sealed for."""
    return f"EmailProvider {namespace}/{name}"


async def load(pool: asyncpg.Pool, unseal: Unseal) -> list[Record]:
    """Every declared provider whose secrets can be opened. Raises what `engine.AWAY` names."""
    found = []
    for row in await pool.fetch(_LOAD):
        try:
            found.append(_record(row, unseal))
        except ConfigurationError as error:
            log.warning("declared provider cannot be used", provider=row["name"], error=str(error))
    return found


def _record(row: asyncpg.Record, unseal: Unseal) -> Record:
    return Record(
        row["namespace"],
        row["name"],
        row["kind"],
        msgspec.json.decode(row["spec"]),
        unseal(row["sealed"], place(row["namespace"], row["name"])),
        tuple(row["allowed"]),
    )


def build(record: Record, pool: asyncpg.Pool) -> Provider:
    """The provider of a record. Raises ConfigurationError naming the field, never showing a secret."""
    limits = msgspec.convert(record.spec.get("limits") or {}, Limits)
    reference = (record.spec.get("credentials") or {}).get("secretRef")
    credentials = dict(_secret(record, reference["name"])) if reference else {}
    with contextlib.ExitStack() as stack:
        raw = {record.kind: _spec(record, stack), "credentials": credentials}
        provider = KINDS[record.kind](Manifest(record.name, record.kind, limits, record.place, raw), pool)
    return provider if limits.max_per_second is None else Paced(provider, limits.max_per_second)


def webhook(record: Record) -> dict[str, Any] | None:
    """The record as an item of a list of providers, for `webhooks.endpoints`; None when it expects no webhooks."""
    reference = (record.spec.get("webhook") or {}).get("secretRef")
    if not reference:
        return None
    return {
        "name": record.reported,
        record.kind: record.spec[record.kind],
        "webhook": dict(_secret(record, reference["name"])),
    }


def _spec(record: Record, stack: contextlib.ExitStack) -> dict[str, Any]:
    """The part under the kind, as its module reads it. What it wants in files is there until the stack ends."""
    spec = dict(record.spec[record.kind])
    spec.pop("snsOrigin", None)  # about webhooks alone
    if (authority := spec.pop("caSecretRef", None)) is not None:
        spec["caFile"] = _file(record, authority, stack)
    if (dkim := spec.pop("dkim", None)) is not None:
        reference = dkim["secretRef"]
        spec["dkim"] = {"domain": dkim["domain"], "selector": dkim["selector"]}
        spec["dkim"]["keyFile"] = _file(record, reference, stack)
    return spec


def _file(record: Record, reference: Mapping[str, str], stack: contextlib.ExitStack) -> str:
    path = Path(stack.enter_context(tempfile.TemporaryDirectory()), reference["key"])
    path.write_text(_value(record, reference["name"], reference["key"]))
    return str(path)


def _secret(record: Record, name: str) -> Mapping[str, str]:
    if name not in record.secrets:
        raise ConfigurationError(f"{record.place}: Secret {name!r} is not there: make it in the same namespace.")
    return record.secrets[name]


def _value(record: Record, name: str, key: str) -> str:
    secret = _secret(record, name)
    if key not in secret:
        raise ConfigurationError(f"{record.place}: Secret {name!r} has no key {key!r}: add it.")
    return secret[key]


class Line:
    """A provider with its turns: how many sends may run at once. `async with` it to send.

    `key` is its name among all providers; `breaker` is the spec's circuitBreaker, empty for the defaults. `shared`: its
    turns are those of all workers together.
    """

    def __init__(
        self, provider: Provider, key: str, breaker: Mapping[str, Any] | None = None, *, shared: bool = False
    ) -> None:
        self.provider, self.key, self.breaker = provider, key, breaker or {}
        self.per_second = provider.per_second if isinstance(provider, Paced) else None
        self._shared, self._turns = shared, Seats(provider.concurrency)
        self._users = 0
        self._free = asyncio.Event()
        self._free.set()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[Provider]:
        self._users += 1
        self._free.clear()
        try:
            async with self._turns:
                yield self.provider
        finally:
            self._users -= 1
            if not self._users:
                self._free.set()

    def share(self, workers: int) -> None:
        """This worker's part of the turns, and at least one."""
        if self._shared:
            self._turns.resize(max(1, self.provider.concurrency // max(1, workers)))

    async def close(self) -> None:
        """Once nobody sends any more."""
        await self._free.wait()
        await self.provider.close()


class Directory:
    """Every provider that this process may use. `fixed` are those of the settings, `breakers` what is said there of
    their circuits."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        fixed: Mapping[str, Provider],
        breakers: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        *,
        unseal: Unseal,
    ) -> None:
        self._pool, self._unseal = pool, unseal
        self._fixed = {
            # Those of the list of providers have an entry in `breakers`, and limits; `inbox` and `smtp` have neither.
            name: Line(provider, name, {**FIXED_BREAKER, **breakers.get(name, {})}, shared=name in breakers)
            for name, provider in fixed.items()
        }
        self._records: dict[tuple[str, str], tuple[asyncpg.Record, Record, Line]] = {}
        self._stale = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self._faults: dict[tuple[str, str], asyncpg.Record] = {}

    def find(self, namespace: str, name: str) -> Line | None:
        """The provider that a client of this namespace means: its own, then one of `default` that allows it, then the
        settings'."""
        for home in (namespace, HOME):
            if (found := self._records.get((home, name))) is not None and found[1].serves(namespace):
                return found[2]
        return self._fixed.get(name)

    @property
    def names(self) -> list[str]:
        declared = [f"{namespace}/{name}" for namespace, name in self._records]
        return sorted([*self._fixed, *declared])

    async def follow(self, dsn: str) -> None:
        """Keep up with the table, for ever."""
        listening = asyncio.create_task(
            listen.follow(
                dsn, "mailboat-providers", {CHANNEL: lambda _: self._stale.set()}, lambda _: self._stale.set()
            )
        )
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._stale.wait()
                self._stale.clear()
                try:
                    await self.refresh()
                except engine.AWAY as error:
                    log.warning("declared providers wait for postgres", error=str(error) or type(error).__name__)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def refresh(self) -> None:
        """Read the table now. Raises what `engine.AWAY` names."""
        rows = {(row["namespace"], row["name"]): row for row in await self._pool.fetch(_LOAD)}
        workers = await self._pool.fetchval(_WORKERS, LIVE_SECONDS)
        for key in self._records.keys() - rows.keys():
            self._retire(key)
            log.info("provider gone", provider="/".join(key))
        for key, row in rows.items():
            if key not in self._records or self._records[key][0] != row:
                self._replace(key, row)
        for line in (*self._fixed.values(), *(line for _, _, line in self._records.values())):
            line.share(workers)

    def _replace(self, key: tuple[str, str], row: asyncpg.Record) -> None:
        """A record that makes no provider leaves the last good one in use."""
        if self._faults.get(key) == row:
            return
        try:
            record = _record(row, self._unseal)
            line = Line(
                build(record, self._pool),
                "/".join(key),
                record.spec.get("circuitBreaker"),
                shared=record.kind != "inbox",
            )
        except (ConfigurationError, msgspec.ValidationError) as error:
            self._faults[key] = row
            log.warning("declared provider cannot be used", provider="/".join(key), error=str(error))
            return
        self._faults.pop(key, None)
        self._retire(key)
        self._records[key] = (row, record, line)
        log.info("provider", provider="/".join(key), kind=record.kind)

    def _retire(self, key: tuple[str, str]) -> None:
        if (old := self._records.pop(key, None)) is not None:
            task = asyncio.create_task(old[2].close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        for key in list(self._records):
            self._retire(key)
        await asyncio.gather(*self._closing, *(line.provider.close() for line in self._fixed.values()))
