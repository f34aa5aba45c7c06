"""EmailProvider: a sealed record for the workers, and whether the provider answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from mailboat.declare import store
from mailboat.declare.inputs import Inputs, secrets_of
from mailboat.declare.outcome import Change, Finding, Outcome, changed, conditions, stamp, stated, summary
from mailboat.declare.seal import Sealer
from mailboat.delivery import circuits
from mailboat.errors import ConfigurationError, Misconfigured, ProviderError, Rejected
from mailboat.limits.breaker import State
from mailboat.providers import records
from mailboat.providers.base import Provider
from mailboat.providers.records import Record
from mailboat_crds.check import manifest
from mailboat_crds.conditions import CIRCUIT_OPEN, REACHABLE, RECONCILE_REQUESTED_AT, SECRET_READY
from mailboat_crds.models import EmailProvider, EmailProviderStatus

CHECK_SECONDS = 10.0
_LOAD = "select kind, spec, sealed, allowed from providers where namespace = $1 and name = $2"
_SAVE = """
insert into providers (namespace, name, kind, spec, sealed, allowed) values ($1, $2, $3, $4::json, $5, $6)
on conflict (namespace, name) do update set kind = excluded.kind, spec = excluded.spec, sealed = excluded.sealed,
    allowed = excluded.allowed, updated_at = now()
"""
_REMOVE = "delete from providers where namespace = $1 and name = $2"
_LAST_EVENT = "select max(received_at) from events where provider = $1"


def record(provider: EmailProvider, inputs: Inputs) -> Record:
    """What the workers need to know."""
    spec = manifest(provider)["spec"]
    parts = {
        name: spec[name]
        for name in (provider.spec.kind, "credentials", "limits", "circuitBreaker", "webhook")
        if name in spec
    }
    allowed = provider.spec.allowed_namespaces.names
    metadata = provider.metadata
    return Record(metadata.namespace, metadata.name, provider.spec.kind, parts, dict(inputs.secrets), allowed)


def secret_ready(provider: EmailProvider, inputs: Inputs) -> Finding:
    """Whether every Secret is there; whether it is complete shows when the provider is made."""
    names = secrets_of(provider)
    for name in names:
        if name not in inputs.secrets:
            text = f"Secret {name!r} is not there: make it in namespace {provider.metadata.namespace}."
            return Finding(SECRET_READY, False, "SecretNotFound", text)
    if not names:
        return Finding(SECRET_READY, True, "NoSecretNeeded", "The spec names no Secret.")
    return Finding(SECRET_READY, True, "SecretsRead", f"{', '.join(names)}: read and sealed.")


def reachable(answer: str | ProviderError | None) -> Finding:
    """What `check` said, as a condition; None: it was not asked."""
    match answer:
        case None:
            return Finding(REACHABLE, None, "NotChecked", "The provider was not asked.")
        case str():
            return Finding(REACHABLE, True, "Answered", answer)
        case Misconfigured() | Rejected():
            return Finding(REACHABLE, False, "Refused", f"{answer}. Correct the credentials or the spec.")
        case _:
            return Finding(REACHABLE, False, "Unreachable", f"{answer or type(answer).__name__}; it is tried again.")


def circuit_open(state: State, why: str) -> Finding:
    """Whether mail is kept from the provider, as a condition; `why` is what was noted of the last change."""
    text = f"The circuit is {state} ({why}): mail takes the next provider of its route." if state != "closed" else ""
    return Finding(CIRCUIT_OPEN, state != "closed", "BreakerOpen", text)


class Providers:
    """Applies and removes EmailProviders."""

    def __init__(self, pool: asyncpg.Pool, sealer: Sealer, check_seconds: float = CHECK_SECONDS) -> None:
        self._pool, self._sealer, self._check_seconds = pool, sealer, check_seconds

    async def apply(self, provider: EmailProvider, inputs: Inputs, now: datetime | None = None) -> Outcome:
        """Record what is usable, and ask the provider. Raises what `engine.AWAY` names, and ConfigurationError where
        there is something to seal and no key."""
        namespace, name = provider.metadata.namespace, provider.metadata.name
        inputs = inputs.of(provider)
        digest = store.digest(provider, self._sealer.fingerprint(inputs.secrets))
        before = await store.load(self._pool, "EmailProvider", namespace, name)
        secret, touched, answer = secret_ready(provider, inputs), False, None
        if secret.holds:
            wanted = record(provider, inputs)
            try:
                made = records.build(wanted, self._pool)
            except ConfigurationError as error:
                secret = Finding(SECRET_READY, False, "SecretIncomplete", _without_place(str(error), wanted))
            else:
                touched = await self._record(wanted)
                answer = await self._ask(made)
        found = [secret, reachable(answer)]
        again = found[1].reason == "Unreachable"
        found = summary(found, again=again, message=found[1].message)
        status = await self._status(provider, before, found, now)
        generation = store.generation(provider, before)
        await store.save(self._pool, provider, generation=generation, digest=digest, status=status, before=before)
        change: Change = "created" if before is None else "configured"
        if before is not None and before.digest == digest and not touched:
            change = "unchanged"
        was = before.status.conditions if before else provider.status.conditions
        return Outcome(change, status, again=again, events=changed(was, status.conditions))

    async def _record(self, wanted: Record) -> bool:
        """Store the record, if it differs or is sealed with an old key. True when it was stored."""
        row = await self._pool.fetchrow(_LOAD, wanted.namespace, wanted.name)
        spec: dict[str, Any] = msgspec.json.decode(row["spec"]) if row else {}
        if row is not None and self._sealer.is_current(row["sealed"]):
            kept = self._sealer.open(row["sealed"], wanted.place)
            if (row["kind"], spec, kept, tuple(row["allowed"])) == (
                wanted.kind,
                wanted.spec,
                wanted.secrets,
                wanted.allowed,
            ):
                return False
        await self._pool.execute(
            _SAVE,
            wanted.namespace,
            wanted.name,
            wanted.kind,
            msgspec.json.encode(wanted.spec).decode(),
            self._sealer.seal(wanted.secrets, wanted.place),
            list(wanted.allowed),
        )
        return True

    async def _ask(self, made: Provider) -> str | ProviderError:
        try:
            return await asyncio.wait_for(made.check(), self._check_seconds)
        except ProviderError as error:
            return error
        except TimeoutError:
            return ProviderError(f"no answer within {self._check_seconds:g} s")
        finally:
            await made.close()

    async def _status(
        self, provider: EmailProvider, before: store.Stored | None, found: list[Finding], now: datetime | None
    ) -> EmailProviderStatus:
        was = before.status if before else provider.status
        generation = store.generation(provider, before)
        name = records.reported(provider.metadata.namespace, provider.metadata.name)
        last = await self._pool.fetchval(_LAST_EVENT, name)
        circuit, circuit_found = await self._circuit(provider.metadata.namespace, provider.metadata.name)
        found = [*found, circuit_found]
        return EmailProviderStatus(
            observed_generation=generation,
            conditions=conditions("EmailProvider", was.conditions, found, generation, now or datetime.now(UTC)),
            kind=provider.spec.kind,
            circuit=circuit,
            last_event_at=stamp(last) if last else None,
            last_handled_reconcile_at=provider.metadata.annotations.get(RECONCILE_REQUESTED_AT),
        )

    async def follow_circuit(self, namespace: str, name: str) -> EmailProviderStatus | None:
        """The status with what the circuit is now, and else as it was found last: the provider is not asked. None when
        it was never declared. Raises what `engine.AWAY` names."""
        before = await store.load(self._pool, "EmailProvider", namespace, name)
        if before is None:
            return None
        was: EmailProviderStatus = before.status
        state, found = await self._circuit(namespace, name)
        others = [stated(one) for one in was.conditions if one.type != CIRCUIT_OPEN]
        now = datetime.now(UTC)
        after = conditions("EmailProvider", was.conditions, [*others, found], before.generation, now)
        status = msgspec.structs.replace(was, conditions=after, circuit=state)
        await store.save_status(self._pool, before, status)
        return status

    async def _circuit(self, namespace: str, name: str) -> tuple[State, Finding]:
        key = f"{namespace}/{name}"
        state, held = (await circuits.states(self._pool, [key]))[key]
        last = (await circuits.history(self._pool, [key]))[key][:1]
        why = "opened by hand" if held else next((change["reason"] for change in last), "")
        return state, circuit_open(state, why)

    async def delete(self, namespace: str, name: str) -> bool:
        """Take the provider from the workers; mail that is routed to it takes the next one. True when it was there."""
        await self._pool.execute(_REMOVE, namespace, name)
        return await store.remove(self._pool, "EmailProvider", namespace, name)


def _without_place(text: str, wanted: Record) -> str:
    return text.removeprefix(f"{wanted.place}: ")
