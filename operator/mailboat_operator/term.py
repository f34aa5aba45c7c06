"""One term of leadership: kopf, the sweep and the watches, in a thread with an event loop of its own.

kopf cancels what it finds in its loop when it ends, and a slow handler must not keep the Lease from being renewed.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import kopf
import structlog
import uvloop

from mailboat.settings import Settings
from mailboat_crds.models import KINDS
from mailboat_operator import handlers
from mailboat_operator import settings as kopf_settings
from mailboat_operator.kube import Kube, KubeError
from mailboat_operator.reconcile.marks import Marks
from mailboat_operator.reconcile.objects import Key, path_of
from mailboat_operator.reconciler import Reconciler
from mailboat_operator.records import Records
from mailboat_operator.shards import Shards
from mailboat_operator.sweep import Sweep

log = structlog.get_logger()
BEAT_SECONDS = 1.0
STOP_SECONDS = 0.1  # between two looks whether to stop


class Term:
    """`ended` is called in the thread when it is over, whatever the reason."""

    def __init__(self, settings: Settings, ended: Callable[[], object]) -> None:
        self._settings, self._ended = settings, ended
        self._stop, self._ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="term", daemon=True)
        self._beat = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.reconciler: Reconciler | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being done, begin nothing."""
        self._stop.set()

    def abort(self) -> None:
        """Drop what is being done: transactions are rolled back."""
        self._stop.set()
        if self._loop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has closed meanwhile
                self._loop.call_soon_threadsafe(self._cancel_all)

    def is_over(self, within: float) -> bool:
        """Whether it ends within so many seconds. Blocks."""
        self._thread.join(within)
        return not self._thread.is_alive()

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    @property
    def silence(self) -> float:
        """Seconds since the loop did anything."""
        return time.monotonic() - self._beat

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._lead())
        except asyncio.CancelledError:
            log.info("the term was cut short")
        except Exception:
            log.exception("the term ended in a fault")
        finally:
            self._ended()

    def _cancel_all(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    async def _lead(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with Kube() as kube:
            records = Records(self._settings)
            shards = Shards(kube, records, self._settings.shards, self._settings.sweep_seconds)
            self.reconciler = Reconciler(kube, records, self.stop, lambda key: _touch(shards, key))
            marks = Marks()
            sweep = Sweep(
                kube, records, self.reconciler, marks, self._settings.namespaces, self._settings.sweep_seconds
            )
            meanwhile = (
                self._keep_beating(),
                sweep.run(),
                sweep.look_at_secrets(),
                sweep.follow_circuits(),
                shards.run(),
                *(sweep.follow_config_maps(namespace) for namespace in sweep.namespaces),
            )
            try:
                async with _beside(*meanwhile):
                    if await self._kinds_are_there(kube) and await self._before(sweep.first()):
                        await self._kopf(self.reconciler, marks)
            finally:
                await self.reconciler.close()
                await records.close()

    async def _before(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do this, unless told to stop. False: told."""
        task = asyncio.create_task(work)
        while not task.done() and not self._stop.is_set():
            await asyncio.wait({task}, timeout=STOP_SECONDS)
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        return not self._stop.is_set()

    async def _kopf(self, reconciler: Reconciler, marks: Marks) -> None:
        registry = kopf.OperatorRegistry()
        kopf_settings.sign_in(registry)
        handlers.register(registry, reconciler, marks)
        everywhere = not self._settings.namespaces
        await kopf.operator(
            registry=registry,
            settings=kopf_settings.configured(),
            clusterwide=everywhere,
            namespaces=[] if everywhere else self._settings.namespaces,
            stop_flag=self._stop,
            ready_flag=self._ready,
        )

    async def _kinds_are_there(self, kube: Kube) -> bool:
        """Wait for the definitions: kopf does not see those that come after its start. False: told to stop."""
        told = False
        namespace = next(iter(self._settings.namespaces), None)
        while not self._stop.is_set():
            try:
                if all([await kube.serves(path_of(kind, namespace)) for kind in KINDS]):
                    return True
            except KubeError as error:
                log.warning("the API server is away", error=str(error))
            if not told:
                log.warning(
                    "waiting for the custom resource definitions: apply crds/, or set crds.enabled in the chart"
                )
                told = True
            await asyncio.sleep(1.0)
        return False

    async def _keep_beating(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)


def _touch(shards: Shards, key: Key) -> None:
    if key.kind == "EmailTemplate":
        shards.touch()


@contextlib.asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these meanwhile. They never end by themselves; a fault in one is a fault of the operator, and is logged."""
    tasks = [asyncio.create_task(one) for one in work]
    for task in tasks:
        task.add_done_callback(_report)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a part of the operator ended in a fault", exc_info=error)
