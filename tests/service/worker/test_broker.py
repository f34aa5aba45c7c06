"""The doorbell's broker: the first lane first, room for it always, and Postgres when nobody rings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
import pytest

from mailboat.db import valkey
from mailboat.db.states import Lane
from mailboat.delivery import ring
from mailboat.domain import identifier
from mailboat.worker.broker import DoorbellBroker


class Listener:
    """Takes tasks from a broker, one at a time."""

    def __init__(self, redis: Any, *, slots: int = 4, batch: int = 8) -> None:
        self.broker = DoorbellBroker(redis, slots=slots, batch=batch)
        self._tasks = self.broker.listen()
        self._waiting: asyncio.Task[Any] | None = None
        self.last: Any = None

    async def take(self, patience: float = 10.0) -> tuple[str, list[UUID]] | None:
        """The next task with its ids; None when there is none that may run."""
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(anext(self._tasks))
        done, _ = await asyncio.wait([self._waiting], timeout=patience)
        if not done:
            return None
        self.last, self._waiting = self._waiting.result(), None
        message = msgspec.json.decode(self.last.data)
        (args,) = message["args"]
        return message["task_name"], [UUID(hex=one) for one in args] if isinstance(args, list) else []

    async def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)
        await self._tasks.aclose()


@pytest.fixture
async def listening(redis_url: str) -> AsyncIterator[Any]:
    redis = valkey.client(redis_url, blocking=True)
    yield redis
    await redis.aclose()


@pytest.fixture
async def listener(listening: Any) -> AsyncIterator[Listener]:
    listener = Listener(listening)
    yield listener
    await listener.close()


@pytest.fixture
def rung(redis: Any) -> Any:
    """await rung(lane, count, client=id): so many new ids, rung for."""

    async def rung(lane: Lane, count: int = 1, client: int = 1) -> list[UUID]:
        ids = [identifier.new() for _ in range(count)]
        assert await ring.Doorbell(redis).ring(ring.by_key((one, client, lane) for one in ids))
        return ids

    return rung


async def test_a_ring_becomes_a_task_with_its_ids(listener, rung):
    ids = await rung(Lane.NORMAL, 3)
    assert await listener.take() == ("deliver", ids)


async def test_a_ring_wakes_who_waits(listener, rung):
    waiting = asyncio.ensure_future(listener.take())
    await asyncio.sleep(0.05)
    ids = await rung(Lane.BULK)
    assert await waiting == ("deliver", ids)


async def test_the_first_lane_goes_first_whoever_rang_first(listener, rung):
    rings = [await rung(lane) for lane in (Lane.BULK, Lane.NORMAL, Lane.HIGH)]
    assert [(await listener.take())[1] for _ in range(3)] == list(reversed(rings))


async def test_a_hint_that_came_meanwhile_in_a_higher_lane_overtakes_what_is_in_hand(listener, rung):
    bulk = await rung(Lane.BULK, 12)
    assert (await listener.take())[1] == bulk[:8]
    high = await rung(Lane.HIGH)
    assert (await listener.take())[1] == high
    assert (await listener.take())[1] == bulk[8:]


async def test_many_ids_are_handed_out_in_batches(listening, rung):
    listener = Listener(listening, slots=100, batch=50)
    ids = await rung(Lane.NORMAL, 330)
    taken: list[UUID] = []
    while len(taken) < len(ids):
        batch = (await listener.take())[1]
        assert len(batch) <= 50
        taken += batch
    assert taken == ids
    await listener.close()


async def test_lower_lanes_never_fill_every_slot(listener, rung):
    """Of four slots bulk gets two, bulk and normal together three; high may have all."""
    for _ in range(6):
        await rung(Lane.BULK, 8)
    assert [(await listener.take())[0] for _ in range(2)] == ["deliver"] * 2
    assert await listener.take(0.3) is None
    normal = await rung(Lane.NORMAL)
    assert (await listener.take())[1] == normal
    await rung(Lane.NORMAL)
    assert await listener.take(0.3) is None
    high = await rung(Lane.HIGH)
    assert (await listener.take())[1] == high
    await rung(Lane.HIGH)
    assert await listener.take(0.3) is None


async def test_a_slot_that_is_freed_is_used_again(listener, rung):
    for _ in range(3):
        await rung(Lane.BULK, 8)
    await listener.take()
    await listener.take()
    assert await listener.take(0.3) is None
    listener.last.ack()
    assert (await listener.take())[0] == "deliver"


async def test_a_client_with_much_mail_does_not_hold_up_another_of_the_same_lane(listening, rung):
    listener = Listener(listening, slots=1000, batch=64)
    await rung(Lane.NORMAL, 64 * 40, client=1)
    others = [await rung(Lane.NORMAL, 1, client=client) for client in (2, 3, 30)]
    early = [one for _ in range(16) for one in (await listener.take())[1]]
    assert all(other in early for (other,) in others)
    await listener.close()


async def test_clients_with_much_mail_take_turns_of_one_batch(listening, rung):
    """So that what another one sends waits for a batch of each, however much they have."""
    listener = Listener(listening, slots=1000, batch=64)
    many = [set(await rung(Lane.NORMAL, 64 * 20, client=client)) for client in (1, 2, 3)]
    for _ in range(4):
        await listener.take()  # what was taken before it was known that hints are full
    (other,) = await rung(Lane.NORMAL, 1, client=30)
    batches = [(await listener.take())[1] for _ in range(4)]
    assert any(other in batch for batch in batches)
    assert all(len(set(batch) & of_one) in (0, len(batch)) for batch in batches for of_one in many)
    await listener.close()


async def test_a_damaged_hint_harms_nobody(listener, redis, rung):
    await redis.rpush(ring.key(Lane.NORMAL, 0), b"short")
    ids = await rung(Lane.NORMAL, 2)
    assert await listener.take() == ("deliver", ids)


async def test_while_valkey_is_away_postgres_is_swept_and_hints_count_again_when_it_is_back(own_valkey, eventually):
    redis, ringing = valkey.client(own_valkey.url(), blocking=True), valkey.client(own_valkey.url())
    listener = Listener(redis, slots=1000)
    await asyncio.to_thread(own_valkey.stop)
    assert [(await listener.take())[0] for _ in range(2)] == ["sweep", "sweep"]
    await asyncio.to_thread(own_valkey.start)
    ids = [identifier.new()]
    await eventually(lambda: ring.Doorbell(ringing).ring(ring.by_key([(ids[0], 1, Lane.HIGH)])))
    while (task := await listener.take())[0] == "sweep":
        pass
    assert task == ("deliver", ids)
    await listener.close()
    await redis.aclose()
    await ringing.aclose()


async def test_mail_never_goes_through_the_queue_of_taskiq(listener):
    with pytest.raises(NotImplementedError):
        await listener.broker.kick(None)
