"""DoorbellBroker: taskiq as the worker's shell, with hints in place of tasks on the wire.

What lies in Valkey are ids, not tasks: `listen` turns hints into `deliver` tasks of a whole batch, made in this
process. So nothing that taskiq or Valkey loses, repeats or reorders is mail.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq import AckableMessage, AsyncBroker, BrokerMessage

from mailboat.db.states import Lane
from mailboat.delivery import ring

log = structlog.get_logger()
HINTS_AT_ONCE = 4  # from one turn, before the next one has its go; of full ones, as a bulk run has them, one
WAIT_SECONDS = 1.0  # in BLMPOP while every lane may run
WAIT_SECONDS_RESERVED = 0.05  # while some lanes may not: their turn may come at any time
LOOK_SECONDS = 0.3  # between looks for a Valkey that is away
SHARES = {Lane.HIGH: 1.0, Lane.NORMAL: 0.75, Lane.BULK: 0.5}  # of the slots, for a lane and those below it


class DoorbellBroker(AsyncBroker):
    """Lanes share `slots`; each lane and those below it hold at most its share, so that a bulk run leaves room.

    `deliver` gets the ids of a batch as hexadecimal text; `sweep` is asked for when Valkey is away.
    """

    def __init__(self, redis: Redis, *, slots: int, batch: int) -> None:
        super().__init__()
        self._redis, self._batch = redis, batch
        self._most = {lane: max(1, int(slots * share)) for lane, share in SHARES.items()}
        self._running = dict.fromkeys(Lane, 0)
        self._waiting: dict[Lane, deque[UUID]] = {lane: deque() for lane in Lane}
        self._freed = asyncio.Event()
        self._turns = dict.fromkeys(Lane, 0)
        self._full = False  # was the hint that was taken last
        self._returning: asyncio.Task[None] | None = None  # while Valkey is away

    async def kick(self, message: BrokerMessage) -> None:
        """Mail is never kicked: it is a row, and the doorbell rings."""
        raise NotImplementedError("mail goes through delivery.ring, not through a task queue")

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Batches, the first lane first; while Valkey is away, sweeps of Postgres."""
        while True:
            allowed = [lane for lane in Lane if self._has_room(lane)]
            if not allowed:
                self._freed.clear()
                await self._freed.wait()
                continue
            if self._returning is not None:
                yield self._task("sweep", [self._batch * 4], Lane.NORMAL)
                await asyncio.sleep(0.2 + random.random() * 0.3)
                continue
            try:
                await self._listen_once(allowed)
            except (RedisError, OSError) as error:
                log.warning("valkey is away, sweeping postgres", error=str(error) or type(error).__name__)
                self._returning = asyncio.create_task(self._return())
                continue
            lane = next((lane for lane in allowed if self._waiting[lane]), None)
            if lane is not None:
                waiting = self._waiting[lane]
                ids = [waiting.popleft().hex for _ in range(min(self._batch, len(waiting)))]
                yield self._task("deliver", [ids], lane)

    async def _return(self) -> None:
        """Look for Valkey aside, until it answers: one that is silent must not hold up the sweeps."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(RedisError, OSError):
                await self._redis.ping()
                log.info("valkey is back")
                self._returning = None
                return

    def _has_room(self, lane: Lane) -> bool:
        return sum(self._running[below] for below in Lane if below >= lane) < self._most[lane]

    async def _listen_once(self, allowed: Sequence[Lane]) -> None:
        """Take hints: wait for any when none is in hand, else look whether a higher lane has some."""
        count = 1 if self._full else HINTS_AT_ONCE
        in_hand = next((lane for lane in allowed if self._waiting[lane]), None)
        if in_hand is None:
            wait = WAIT_SECONDS if len(allowed) == len(Lane) else WAIT_SECONDS_RESERVED
            keys = self._keys(allowed)
            found: Any = await self._redis.blmpop(wait, len(keys), *keys, direction="LEFT", count=count)
        else:
            keys = self._keys([lane for lane in allowed if lane < in_hand])
            if not keys:
                return
            found = await self._redis.lmpop(len(keys), *keys, direction="LEFT", count=count)
        if found:
            name, hints = found[0].decode(), found[1]
            self._full = len(hints[-1]) >= 16 * ring.IDS_PER_HINT
            lane = ring.LANES[name]
            self._turns[lane] = ring.KEYS[lane].index(name) + 1
            self._waiting[lane].extend(identifier for hint in hints for identifier in ring.unpack(hint))

    def _keys(self, lanes: Sequence[Lane]) -> list[str]:
        """The lists of these lanes, each lane beginning after the one that had its turn last."""
        turns = [(ring.KEYS[lane], self._turns[lane]) for lane in lanes]
        return [key for keys, turn in turns for key in keys[turn:] + keys[:turn]]

    def _task(self, name: str, args: list[Any], lane: Lane) -> AckableMessage:
        self._running[lane] += 1

        def done() -> None:
            self._running[lane] -= 1
            self._freed.set()

        message = {
            "task_id": uuid.uuid4().hex,
            "task_name": name,
            "labels": {},
            "labels_types": {},
            "args": args,
            "kwargs": {},
        }
        return AckableMessage.model_construct(data=msgspec.json.encode(message), ack=done)
