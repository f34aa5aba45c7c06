"""EmailClient: rows in `clients` and `client_keys`, and what its Secret holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import msgspec

from mailboat.db.states import Lane
from mailboat.declare import keys, store
from mailboat.declare.inputs import Inputs, secrets_of
from mailboat.declare.keys import Kept, Row
from mailboat.declare.outcome import Change, Finding, Outcome, changed, conditions, summary
from mailboat.declare.seal import Sealer
from mailboat.declare.store import Stored
from mailboat.delivery import endpoints, pairs, providers, senders
from mailboat.domain import leg
from mailboat.domain.address import InvalidAddress
from mailboat_crds.conditions import (
    CREDENTIALS_READY,
    QUOTA_EXCEEDED,
    READY,
    RECONCILE_REQUESTED_AT,
    ROTATE_REQUESTED_AT,
    ROUTE_INCOMPLETE,
    STALLED,
    SUSPENDED,
)
from mailboat_crds.models import EmailClient, EmailClientSpec, EmailClientStatus, UsageStatus, Webhook, seconds

COLUMNS = (
    "suspended",
    "senders",
    "templates",
    "route",
    "lane",
    "on_uncertain",
    "rate_per_minute",
    "rate_burst",
    "quota_monthly",
)
_NAMES = ", ".join(COLUMNS)
_LOAD = f"select id, {_NAMES} from clients where namespace = $1 and name = $2"
_MAKE = f"""
insert into clients (namespace, name, {_NAMES}) values ($1, $2, {", ".join(f"${n}" for n in range(3, 12))}) returning id
"""
_CHANGES = ", ".join(f"{name} = ${n}" for n, name in enumerate(COLUMNS, 2))
_CHANGE = f"update clients set {_CHANGES}, updated_at = now() where id = $1"
_KEYS = "select key, created_at, expires_at, revoked_at from client_keys where client_id = $1"
_KEPT = """
select secret_name, key, secret_check, previous_key, rotated_at, rotate_request from client_secrets where client_id = $1
"""
_ADD_KEY = "insert into client_keys (key, client_id, secret_hash, created_at) values ($1, $2, $3, $4)"
_END_KEYS = """
update client_keys set expires_at = $3 where client_id = $1 and key = any($2::text[]) and revoked_at is null
and (expires_at is null or expires_at > $3)
"""
_KEEP = """
insert into client_secrets (client_id, secret_name, key, secret_check, previous_key, rotated_at, rotate_request)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (client_id) do update set secret_name = excluded.secret_name, key = excluded.key,
    secret_check = excluded.secret_check, previous_key = excluded.previous_key, rotated_at = excluded.rotated_at,
    rotate_request = excluded.rotate_request
"""
_USED = "select accepted from usage where client_id = $1 and month = $2"
_AUDIT = "insert into audit (actor, action, subject, detail) values ($1, $2, $3, $4::jsonb)"
_REVOKE = "update client_keys set revoked_at = now() where client_id = $1 and revoked_at is null"
_SUSPEND = "update clients set suspended = true, updated_at = now() where id = $1"
_FORGET_SECRET = "delete from client_secrets where client_id = $1"  # noqa: S105 - a statement
_FORGET = "delete from clients where id = $1"
_FORGET_USAGE = "delete from usage where client_id = $1"


def columns(spec: EmailClientSpec) -> list[Any]:
    """A spec as the row of `clients`, in the order of COLUMNS."""
    return [
        spec.suspended,
        list(spec.senders),
        list(spec.templates),
        list(spec.route),
        int(Lane[spec.lane.upper()]),
        spec.on_uncertain,
        spec.rate_limit.per_minute,
        spec.rate_limit.burst,
        spec.quota.monthly if spec.quota else None,
    ]


def fault(spec: EmailClientSpec) -> str | None:
    """What only we can tell is wrong with a spec."""
    for number, pattern in enumerate(spec.senders):
        try:
            senders.check(pattern)
        except InvalidAddress as error:
            return f"spec.senders[{number}]: {pattern!r} can be nobody's address: {error}. Correct or remove it."
    if (name := leg.twice(spec.route)) is not None:
        return f"spec.route names {name!r} twice: keep one of them."
    return None


class Lack(NamedTuple):
    """What a webhook misses: the reason of a condition, and the sentence."""

    reason: str
    message: str


def lack(webhook: Webhook, inputs: Inputs) -> Lack | None:
    """Why the deliveries to a URL cannot be signed."""
    name, key = webhook.secret_ref.name, webhook.secret_ref.key
    if name not in inputs.secrets:
        text = f"Webhooks name the Secret {name!r}, which is not there: make it in the same namespace."
        return Lack("SecretNotFound", text)
    if not inputs.secrets[name].get(key):
        text = f"The webhook {webhook.url} needs the key {key!r} of Secret {name!r}, which is not there: add it."
        return Lack("SecretIncomplete", text)
    return None


def wanted_endpoints(spec: EmailClientSpec, inputs: Inputs) -> list[endpoints.Wanted]:
    """The URLs to tell; the Secrets are there, if perhaps not their keys."""
    wanted = []
    for webhook in spec.webhooks:
        missing = lack(webhook, inputs)
        secret = None if missing else inputs.secrets[webhook.secret_ref.name][webhook.secret_ref.key]
        wanted.append(endpoints.Wanted(webhook.url, tuple(webhook.events), secret, missing.message if missing else ""))
    return wanted


def findings(client: EmailClient, reason: str | None, lacks: Sequence[Lack], unknown: str, used: int) -> list[Finding]:
    """Every condition of a client whose spec is sound. `reason`: why its key was just replaced, None when it was not;
    `unknown`: what its route lacks."""
    spec = client.spec
    credentials = Finding(
        CREDENTIALS_READY, True, reason or "KeyIssued", f"Secret {spec.credentials.secret_name!r} has the key."
    )
    if lacks:
        found = [Finding(READY, False, *lacks[0]), credentials, Finding(STALLED, True, *lacks[0])]
    else:
        message = "The client may send." if not spec.suspended else "Suspended."
        found = summary([credentials], again=False, message=message)
    if spec.suspended:
        found.append(Finding(SUSPENDED, True, "Suspended", "spec.suspended is true: requests are answered with 403."))
    if unknown:
        found.append(Finding(ROUTE_INCOMPLETE, True, "ProviderNotFound", unknown))
    if spec.quota and spec.quota.monthly is not None and used >= spec.quota.monthly:
        text = f"{used} of {spec.quota.monthly} messages are used this month: raise spec.quota.monthly or wait."
        found.append(Finding(QUOTA_EXCEEDED, True, "QuotaUsed", text))
    return found


def invalid(wrong: str) -> list[Finding]:
    """The conditions of a client whose spec cannot be put in force."""
    return [Finding(READY, False, "SpecInvalid", wrong), Finding(STALLED, True, "SpecInvalid", wrong)]


class Clients:
    """Applies and removes EmailClients. `url` goes into their Secrets; `fixed` are the providers of the settings."""

    def __init__(self, pool: asyncpg.Pool, sealer: Sealer, url: str, actor: str, fixed: Collection[str]) -> None:
        self._pool, self._sealer, self._url, self._actor, self._fixed = pool, sealer, url, actor, fixed

    async def apply(
        self, client: EmailClient, inputs: Inputs, held: Mapping[str, str] | None, now: datetime | None = None
    ) -> Outcome:
        """`held` is what the client's Secret holds, None when it is not there. Raises what `engine.AWAY` names."""
        now = now or datetime.now(UTC)
        inputs = inputs.of(client)
        digest = store.digest(client, self._sealer.fingerprint(inputs.secrets))
        async with self._pool.acquire() as connection, connection.transaction():
            await store.lock(connection, client)
            before = await store.load(connection, "EmailClient", client.metadata.namespace, client.metadata.name)
            step = _Step(connection, client, before, now, self._actor)
            if (wrong := fault(client.spec)) is not None:
                status = step.status(invalid(wrong))
                secret, touched = None, False
            else:
                identifier, touched = await step.row()
                reason, secret, rows = await step.credentials(identifier, held, self._url)
                lacks = [missing for webhook in client.spec.webhooks if (missing := lack(webhook, inputs))]
                unknown = await self._unknown(connection, client)
                used = await connection.fetchval(_USED, identifier, now.date().replace(day=1)) or 0
                status = step.status(findings(client, reason, lacks, unknown, used), rows, used)
                touched = touched or reason is not None
                if all(name in inputs.secrets for name in secrets_of(client)):
                    told = wanted_endpoints(client.spec, inputs)
                    seal, unseal = self._sealer.seal, self._sealer.open
                    touched |= await endpoints.declare(connection, identifier, told, seal, unseal)
            sealed = self._sealer.seal(
                inputs.secrets, f"EmailClient {client.metadata.namespace}/{client.metadata.name}"
            )
            generation = store.generation(client, before)
            await store.save(
                connection, client, generation=generation, digest=digest, status=status, sealed=sealed, before=before
            )
        change: Change = "created" if before is None else "configured"
        if before is not None and before.digest == digest and not touched:
            change = "unchanged"
        was = before.status.conditions if before else client.status.conditions
        return Outcome(change, status, secret, events=changed(was, status.conditions))

    async def _unknown(self, connection: asyncpg.Connection, client: EmailClient) -> str:
        namespace, route = client.metadata.namespace, client.spec.route
        missing = await providers.unknown(connection, namespace, route, self._fixed)
        return providers.warning(namespace, missing, route) if missing else ""

    async def delete(self, namespace: str, name: str, policy: str) -> bool:
        """End the client's keys; with Retain keep it, suspended, with Delete forget it. True when it was declared."""
        async with self._pool.acquire() as connection, connection.transaction():
            there = await store.remove(connection, "EmailClient", namespace, name)
            row = await connection.fetchrow(_LOAD, namespace, name)
            if row is None or not there:
                return there
            statements = (_FORGET_USAGE, _FORGET) if policy == "Delete" else (_REVOKE, _SUSPEND, _FORGET_SECRET)
            for statement in statements:
                await connection.execute(statement, row["id"])
            await _note(connection, self._actor, f"client.delete.{policy.lower()}", f"{namespace}/{name}", {})
        return True


class _Step:
    """One client in one transaction."""

    def __init__(
        self, connection: asyncpg.Connection, client: EmailClient, before: Stored | None, now: datetime, actor: str
    ) -> None:
        self._connection, self._client, self._before, self._now, self._actor = connection, client, before, now, actor
        self._place = f"{client.metadata.namespace}/{client.metadata.name}"

    async def row(self) -> tuple[int, bool]:
        """The client's id, and whether its row is new or changed."""
        metadata, wanted = self._client.metadata, columns(self._client.spec)
        found = await self._connection.fetchrow(_LOAD, metadata.namespace, metadata.name)
        detail = dict(zip(COLUMNS, wanted, strict=True))
        if found is None:
            identifier: int = await self._connection.fetchval(_MAKE, metadata.namespace, metadata.name, *wanted)
            await _note(self._connection, self._actor, "client.create", self._place, detail)
            return identifier, True
        if [found[name] for name in COLUMNS] == wanted:
            return found["id"], False
        await self._connection.execute(_CHANGE, found["id"], *wanted)
        await _note(self._connection, self._actor, "client.update", self._place, detail)
        return found["id"], True

    async def credentials(
        self, identifier: int, held: Mapping[str, str] | None, url: str
    ) -> tuple[str | None, dict[str, str] | None, list[Row]]:
        """Why a key was issued, if one was; what the Secret has to hold, unless it does; and the client's keys."""
        spec, request = self._client.spec.credentials, self._client.metadata.annotations.get(ROTATE_REQUESTED_AT, "")
        row = await self._connection.fetchrow(_KEPT, identifier)
        kept = Kept(**row) if row else None
        if kept is not None and kept.secret_name != spec.secret_name:
            held = None  # a Secret of another name is another Secret
        held = keys.ours(held)
        reason = keys.reason_to_issue(spec, kept, await self._rows(identifier), held, request, self._now)
        issued = await self._issue(identifier, kept, request) if reason else None
        rows = await self._rows(identifier)
        wanted = keys.content(held, issued, rows, url, self._now)
        return reason, (wanted if wanted != held else None), rows

    async def _issue(self, identifier: int, kept: Kept | None, request: str) -> tuple[str, str]:
        """A new pair; the one before ends after the overlap."""
        spec = self._client.spec.credentials
        key, secret, hashed = pairs.new_pair()
        await self._connection.execute(_ADD_KEY, key, identifier, hashed, self._now)
        if kept is not None:
            ends = self._now + timedelta(seconds=seconds(spec.rotation.overlap))
            await self._connection.execute(_END_KEYS, identifier, [kept.key], ends)
        previous = kept.key if kept else None
        await self._connection.execute(
            _KEEP, identifier, spec.secret_name, key, keys.check(secret), previous, self._now, request
        )
        await _note(self._connection, self._actor, "key.rotate" if kept else "key.create", self._place, {"key": key})
        return key, secret

    async def _rows(self, identifier: int) -> list[Row]:
        return [Row(**row) for row in await self._connection.fetch(_KEYS, identifier)]

    def status(self, found: list[Finding], rows: Sequence[Row] = (), used: int = 0) -> EmailClientStatus:
        client, generation = self._client, store.generation(self._client, self._before)
        was = self._before.status if self._before else client.status
        quota = client.spec.quota.monthly if client.spec.quota else None
        annotations = client.metadata.annotations
        return EmailClientStatus(
            observed_generation=generation,
            conditions=conditions("EmailClient", was.conditions, found, generation, self._now),
            keys=keys.shown(rows, self._now),
            usage=UsageStatus(
                month=self._now.strftime("%Y-%m"),
                accepted=used,
                remaining=None if quota is None else max(0, quota - used),
            ),
            last_handled_rotate_at=annotations.get(ROTATE_REQUESTED_AT),
            last_handled_reconcile_at=annotations.get(RECONCILE_REQUESTED_AT),
        )


async def _note(connection: asyncpg.Connection, actor: str, action: str, subject: str, detail: dict[str, Any]) -> None:
    await connection.execute(_AUDIT, actor, action, subject, msgspec.json.encode(detail).decode())
