"""Brings records, Secrets and statuses in line with one object at a time: what handlers, watches and the sweep call.

Level-triggered: a call names an object, and its newest state is read. Failures are tried again from here, with growing
pauses, and a change of the object does not wait for that.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import structlog

from mailboat.db import engine
from mailboat.declare.inputs import Inputs, config_maps_of, secrets_of
from mailboat.declare.outcome import Outcome, changed
from mailboat.errors import ConfigurationError
from mailboat_crds.check import Invalid
from mailboat_crds.conditions import READY
from mailboat_crds.models import KINDS, Condition, EmailClient, Resource
from mailboat_operator import status
from mailboat_operator.kube import Kube, KubeError
from mailboat_operator.reconcile import objects
from mailboat_operator.reconcile.objects import Key, Object
from mailboat_operator.reconcile.references import Reference, References
from mailboat_operator.records import FENCED, Records

log = structlog.get_logger()
AT_ONCE = 8
CLOSE_SECONDS = 10.0
FORBIDDEN = 403
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
TRIED_AGAIN = "It is tried again."


class Sight(NamedTuple):
    """An object as a listing had it that was asked for at this time (monotonic). It does for its newest state as long
    as nothing has been done about the object since. `told`: whether it is worth an event that it is good."""

    body: Object
    at: float
    told: bool = True


def taken(name: str) -> str:
    return (
        f"Secret {name!r} is there and was not made for this client: choose another spec.credentials.secretName, or "
        "delete the Secret."
    )


class Reconciler:
    """One term of leadership. `step_down` is called when another operator leads, `settled` after each object."""

    def __init__(
        self, kube: Kube, records: Records, step_down: Callable[[], None], settled: Callable[[Key], None]
    ) -> None:
        self._kube, self._records, self._step_down, self._settled = kube, records, step_down, settled
        self.references = References()
        self.counts: Counter[tuple[str, str]] = Counter()  # by kind and outcome
        self._locks: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._gone: dict[Key, str] = {}
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._failures: Counter[Key] = Counter()
        self._touched: dict[Key, float] = {}  # when something was written about an object, or was to be
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def reconcile(self, key: Key, sight: Sight | None = None) -> None:
        """Never raises: what went wrong is in the object's conditions, and is tried again."""
        if sight is None:
            self._touched[key] = time.monotonic()
        self._cancel(key)
        async with self._locks[key], self._slots:
            wait = None if self._closing else await self._guarded(key, self._if_newest(key, sight))
            self._touched[key] = time.monotonic()
        if wait is not None and not self._closing:
            self.soon(key, wait)

    async def follow_circuit(self, key: Key) -> None:
        """Say what a provider's circuit is, and nothing else of it. Raises KubeError, and what `engine.AWAY` names."""
        async with self._locks[key]:
            body = await self._kube.get(objects.path_of(*key))
            declarer = await self._records.declarer()
            found = await self._fenced(declarer.follow_circuit(key.namespace, key.name))
            if body is None or found is None or body["metadata"]["generation"] != found.observed_generation:
                return  # whoever reconciles it says it
            await self._write(body, status.as_json(found))
            self._touched[key] = time.monotonic()
            await self._tell(body, objects.conditions_of(body), found.conditions)

    def gone(self, key: Key, uid: str) -> None:
        """The object with this uid has been deleted."""
        self._gone[key] = uid
        self._touched[key] = time.monotonic()
        self.soon(key)

    def soon(self, key: Key, seconds: float = 0.0) -> None:
        """Reconcile without waiting for it, after so many seconds unless something asks for it before."""
        self._cancel(key)
        if not seconds:
            self._touched[key] = time.monotonic()
        self._later[key] = asyncio.get_running_loop().call_later(seconds, self._spawn, key)

    def forget_before(self, moment: float) -> None:
        """No listing that began before this (monotonic) will be used any more."""
        self._touched = {key: at for key, at in self._touched.items() if at >= moment}

    async def close(self) -> None:
        """Finish what is being done, for a while, and begin nothing."""
        self._closing = True
        for handle in self._later.values():
            handle.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- one object

    def _if_newest(self, key: Key, sight: Sight | None) -> Sight | None:
        """What was seen, unless something has been written, or asked for, since the listing began."""
        return None if sight is None or self._touched.get(key, 0.0) >= sight.at else sight

    async def _guarded(self, key: Key, sight: Sight | None) -> float | None:
        """Seconds until it is to be looked at again, if it is."""
        again, wait, asked = True, None, 0.0
        try:
            again, wait = await self._step(key, sight)
        except KubeError as error:
            log.warning("the API server is away", resource=str(key), error=str(error))
            asked = error.wait
        except Exception:
            log.exception("a fault of the operator", resource=str(key))
        self.counts[key.kind, "again" if again else "done"] += 1
        self._settled(key)
        if not again:
            self._failures.pop(key, None)
            return wait
        self._failures[key] += 1
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures[key], 10))
        return asked + longest * random.uniform(0.5, 1.0)

    async def _step(self, key: Key, sight: Sight | None) -> tuple[bool, float | None]:
        """Whether to try again soon, and else when a date comes that is known today."""
        gone = self._gone.get(key)
        if gone is not None and await self._remove(key, gone):
            return True, None
        self._gone.pop(key, None)
        try:
            body = sight.body if sight is not None else await self._kube.get(objects.path_of(*key))
        except KubeError as error:
            if gone is not None and error.status == FORBIDDEN:  # our rights went with the namespace
                return False, None
            raise
        if body is None:
            return await self._remove(key, None), None
        if body["metadata"].get("deletionTimestamp"):
            return False, None
        before = objects.conditions_of(body)
        generation = body["metadata"]["generation"]
        try:
            resource = objects.resource_of(body)
            outcome = await self._declare(key, resource, body)
        except Invalid as error:
            found = status.refused(key.kind, before, generation, "SpecInvalid", str(error))
            return await self._say(body, before, found), None
        except ConfigurationError as error:
            found = status.refused(key.kind, before, generation, "OperatorMisconfigured", str(error))
            await self._say(body, before, found)
            return True, None
        except (*engine.AWAY, asyncpg.PostgresError) as error:
            text = f"PostgreSQL did not answer ({type(error).__name__}). {TRIED_AGAIN}"
            await self._say(body, before, status.waiting(key.kind, before, generation, "DatabaseAway", text))
            return True, None
        if outcome is None:
            return False, None
        await self._write(body, status.as_json(outcome.status))
        await self._tell(body, before, outcome.status.conditions, good=sight is None or sight.told)
        return outcome.again, status.due(resource, outcome.status, datetime.now(UTC))

    async def _remove(self, key: Key, uid: str | None) -> bool:
        """Take back the records of an object that is gone, of any with this name or the one with this uid.

        Whether to try again: Postgres is away.
        """
        self.references.forget(key)
        try:
            declarer = await self._records.declarer()
            stored = await self._records.stored(key)
            if stored is not None and uid in (None, stored.metadata["uid"]):
                policy = stored.spec.get("deletionPolicy", "Retain")
                await self._fenced(declarer.delete(*key, policy))
                log.info("deleted", resource=str(key), policy=policy)
        except (*engine.AWAY, asyncpg.PostgresError) as error:
            log.warning("records could not be removed", resource=str(key), error=type(error).__name__)
            return True
        return False

    async def _declare(self, key: Key, resource: Resource, body: Object) -> Outcome | None:
        """None: the client's Secret is somebody else's, and its status says so."""
        read: dict[Reference, str] = {}
        inputs = await self._inputs(resource, read)
        if not isinstance(resource, EmailClient):
            self.references.put(key, read)
            return await self._apply(resource, inputs, None)
        own = Reference("secrets", key.namespace, resource.spec.credentials.secret_name)
        secret = await self._read(own, read)
        self.references.put(key, read)
        if secret is not None and not objects.is_of(secret, resource):
            before, generation = objects.conditions_of(body), body["metadata"]["generation"]
            await self._say(body, before, status.refused(key.kind, before, generation, "SecretTaken", taken(own.name)))
            return None
        await self._forget_namesake(key, resource)
        outcome = await self._apply(resource, inputs, None if secret is None else objects.texts(secret))
        if outcome.secret is not None:
            written = await self._kube.apply(objects.core(*own), objects.secret_of(resource, outcome.secret))
            self.references.put(key, read | {own: written["metadata"]["resourceVersion"]})
        return outcome

    async def _apply(self, resource: Resource, inputs: Inputs, held: Mapping[str, str] | None) -> Outcome:
        declarer = await self._records.declarer()
        outcome: Outcome = await self._fenced(declarer.apply(resource, inputs, held))
        return outcome

    async def _forget_namesake(self, key: Key, resource: EmailClient) -> None:
        """A client that was deleted and made again is another one: the keys of the first must not outlive it."""
        stored = await self._records.stored(key)
        if stored is not None and stored.metadata["uid"] != resource.metadata.uid:
            declarer = await self._records.declarer()
            await self._fenced(declarer.delete(*key, stored.spec.get("deletionPolicy", "Retain")))

    async def _inputs(self, resource: Resource, read: dict[Reference, str]) -> Inputs:
        """The Secrets and ConfigMaps that it refers to, as far as they are there; their versions go into `read`."""
        namespace = resource.metadata.namespace
        secrets, maps = {}, {}
        for name in secrets_of(resource):
            if (found := await self._read(Reference("secrets", namespace, name), read)) is not None:
                secrets[name] = objects.texts(found)
        for name in config_maps_of(resource):
            if (found := await self._read(Reference("configmaps", namespace, name), read)) is not None:
                maps[name] = found.get("data") or {}
        return Inputs(secrets, maps)

    async def _read(self, reference: Reference, read: dict[Reference, str]) -> Object | None:
        found = await self._kube.get(objects.core(*reference))
        read[reference] = found["metadata"]["resourceVersion"] if found else ""
        return found

    async def _fenced(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await work
        except asyncpg.PostgresError as error:
            if error.sqlstate == FENCED:
                log.warning("another operator leads")
                self._step_down()
            raise

    # --- what is said about it

    async def _say(self, body: Object, before: tuple[Condition, ...], after: tuple[Condition, ...]) -> bool:
        """Conditions and events alone; always False."""
        current = body.get("status") or {}
        wanted = {**current, **status.as_json(KINDS[body["kind"]].status(conditions=after))}
        wanted["observedGeneration"] = body["metadata"]["generation"]
        await self._write(body, wanted)
        await self._tell(body, before, after)
        return False

    async def _write(self, body: Object, wanted: Object) -> None:
        patch = status.merge_patch(body.get("status") or {}, wanted)
        if patch:
            key = Key(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])
            await self._kube.patch(f"{objects.path_of(*key)}/status", {"status": patch}, metadata=True)

    async def _tell(
        self, body: Object, before: tuple[Condition, ...], after: tuple[Condition, ...], *, good: bool = True
    ) -> None:
        """Events about what changed, also of what is `good` or not. One that is not taken is not worth another try."""
        namespace = body["metadata"]["namespace"]
        for condition in objects.events_of(before, after):
            event = objects.event_of(body, condition, socket.gethostname(), datetime.now(UTC))
            if event["type"] == "Normal" and not good:
                continue
            try:
                await self._kube.create(objects.core("events", namespace), event)
            except KubeError as error:
                log.warning("an event was not taken", error=str(error))
        ready = next((one for one in changed(before, after) if one.type == READY), None)
        if ready is not None:
            name = f"{body['kind']} {namespace}/{body['metadata']['name']}"
            log.info("condition", resource=name, ready=ready.status, reason=ready.reason, message=ready.message)

    def _cancel(self, key: Key) -> None:
        if (handle := self._later.pop(key, None)) is not None:
            handle.cancel()

    def _spawn(self, key: Key) -> None:
        task = asyncio.get_running_loop().create_task(self.reconcile(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
