"""Accept: a message becomes a row, or nothing happened.

Concurrent requests share one statement (`statements.ACCEPT`), which books the quota, stores messages and queue rows and
commits; only then is anybody told 202.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeGuard
from uuid import UUID

import asyncpg
import msgspec

from mailboat import metrics
from mailboat.db import engine, partitions, statements
from mailboat.db.states import Lane, State
from mailboat.delivery import ring
from mailboat.delivery.batcher import Batcher
from mailboat.errors import Problem

FLUSHERS = 2
LIMIT = 512
MOST_WAITING = 20_000  # more than this cannot be stored before callers give up
ROUNDS = 8  # tries to fit a client's messages into what is left of its quota while others book too
# Everybody is answered within their sum, before callers give up and however slow Postgres is.
WAITING_SECONDS = 1.8  # for a connection to be free; nothing was stored then
STORING_SECONDS = 2.2  # for the answer of Postgres; after it nobody knows
LOOK_AGAIN_SECONDS = 0.1


class Draft(msgspec.Struct, frozen=True):
    """A valid message on its way in; the fields are the columns of `statements.ACCEPT`, JSON already encoded."""

    id: UUID
    client_id: int
    key: str | None
    digest: bytes | None
    lane: int
    run_at: datetime | None
    template: str | None
    revision: str | None
    locale: str | None
    envelope: str
    data: str
    content: str | None
    headers: str | None
    tags: str | None
    metadata: str | None
    attachments: str | None
    traceparent: str


class Accepted(msgspec.Struct, frozen=True):
    """The answer: `repeated` when the idempotency key had been used before with the same body."""

    id: UUID
    status: str
    repeated: bool = False


Answer = Accepted | Problem
_LANES = [lane.word for lane in Lane]


class Acceptor:
    """Stores drafts in batches over dedicated connections."""

    def __init__(self, dsn: str, doorbell: ring.Doorbell) -> None:
        self._stores = [_Store(dsn, doorbell) for _ in range(FLUSHERS)]
        self._whole, self._whole_turn = _Store(dsn, doorbell), asyncio.Lock()
        self._batcher: Batcher[Draft, Answer] = Batcher(
            [store.flush for store in self._stores], limit=LIMIT, patience=WAITING_SECONDS
        )

    async def start(self) -> None:
        """Open the connections. Raises what `engine.AWAY` names."""
        await asyncio.gather(*(store.connect() for store in self._stores))

    async def accept(self, draft: Draft) -> Accepted:
        """Store one message. Raises Problem: 403 suspended, 409 key reused, 429 quota, 503 away or overloaded."""
        answer = await self._answer(draft)
        if isinstance(answer, Problem):
            raise answer
        return answer

    async def accept_each(self, drafts: Sequence[Draft]) -> list[Answer]:
        """Store a batch, each message for itself: one answer per draft, in order."""
        return list(await asyncio.gather(*map(self._answer, drafts)))

    async def accept_all(self, drafts: Sequence[Draft]) -> list[Answer]:
        """Store a batch in one transaction: if any answer is a Problem, nothing of it was stored."""
        try:
            async with asyncio.timeout(WAITING_SECONDS):
                await self._whole_turn.acquire()
        except TimeoutError:
            return [_overloaded()] * len(drafts)
        try:
            answers = await self._whole.flush_whole(list(drafts))
        finally:
            self._whole_turn.release()
        if all(isinstance(answer, Accepted) for answer in answers):
            for draft, answer in zip(drafts, answers, strict=True):
                _count(draft, answer)
        return answers

    async def _answer(self, draft: Draft) -> Answer:
        if self._batcher.waiting > MOST_WAITING:
            return _overloaded()
        try:
            answer = await self._batcher.submit(draft)
        except TimeoutError:
            return _overloaded()
        _count(draft, answer)
        return answer

    @property
    def waiting(self) -> int:
        """Messages that no statement has taken up yet."""
        return self._batcher.waiting

    async def close(self) -> None:
        await self._whole.close()
        await self._batcher.close()
        await asyncio.gather(*(store.close() for store in self._stores))


async def earlier(pool: engine.Prompt, drafts: Sequence[Draft]) -> dict[UUID, Answer]:
    """What those are answered whose idempotency key was used before, without storing anything.

    Raises what `engine.AWAY` names.
    """
    keyed = {draft.id: draft for draft in drafts if draft.key is not None}
    if not keyed:
        return {}
    columns = list(keyed), [draft.client_id for draft in keyed.values()], [draft.key for draft in keyed.values()]
    answers = {row["id"]: _repeated(keyed[row["id"]], row) for row in await pool.fetch(statements.KNOWN_KEYS, *columns)}
    for number, answer in answers.items():
        _count(keyed[number], answer)
    return answers


def unavailable(why: str) -> Problem:
    """Nothing was accepted; the caller may come back."""
    return Problem(503, "unavailable", f"Nothing was accepted: {why}. Try again.", headers={"Retry-After": "1"})


def _overloaded() -> Problem:
    return unavailable("too many requests are waiting to be stored")


def _away(error: BaseException) -> Problem:
    return unavailable(f"the database is away ({type(error).__name__})")


def _unknown(error: BaseException) -> Problem:
    return Problem(
        503,
        "outcome_unknown",
        f"The database went away while the message was being stored ({type(error).__name__}), and has not come back: "
        "it may have been accepted. A repeat is safe with the same Idempotency-Key.",
        headers={"Retry-After": "1"},
    )


class _Store:
    """One connection that stores batches.

    What breaks is answered where it breaks, message by message. Not while a transaction holds a whole batch: then
    it breaks the whole.
    """

    def __init__(self, dsn: str, doorbell: ring.Doorbell) -> None:
        self._dsn = dsn
        self._doorbell = doorbell
        self._connection: asyncpg.Connection | None = None
        self._server_pid = 0
        self._deadline = 0.0  # by which the callers of what is being flushed have to be answered
        self._whole = False
        self._background: set[asyncio.Task[bool]] = set()

    async def connect(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            # The planner must not guess that a batch is large and read whole partitions.
            self._connection = await engine.connect(
                self._dsn,
                name="mailboat-accept",
                timeout=self._left() if self._deadline else STORING_SECONDS,
                patience=STORING_SECONDS,
                plan_cache_mode="force_generic_plan",
            )
            self._server_pid = self._connection.get_server_pid()
        return self._connection

    def _left(self) -> float:
        """Seconds until the deadline; a statement that comes too late fails at once."""
        return max(0.001, self._deadline - time.monotonic())

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=2)

    async def flush(self, drafts: list[Draft]) -> list[Answer]:
        """One answer per draft, in order."""
        if not self._whole:
            self._deadline = time.monotonic() + STORING_SECONDS
        metrics.ACCEPT_BATCH.observe(len(drafts))
        firsts, repeats = _split_repeats(drafts)
        answers = await self._store(firsts, rounds=ROUNDS)
        if repeats:
            answers |= await self._known(repeats)
        return [answers[draft.id] for draft in drafts]

    async def flush_whole(self, drafts: list[Draft]) -> list[Answer]:
        """All of the drafts or none."""
        answers: list[Answer] = []
        self._deadline = time.monotonic() + STORING_SECONDS
        try:
            connection = await self.connect()
        except engine.AWAY as error:
            return [_away(error)] * len(drafts)
        self._whole = True
        try:
            async with connection.transaction():
                answers = await self.flush(drafts)
                if any(isinstance(answer, Problem) for answer in answers):
                    raise _Unwanted
        except _Unwanted:
            return answers
        except engine.AWAY as error:
            self._whole = False
            looked = await self._look(drafts, error)
            if not any(isinstance(answer, Accepted) for answer in looked.values()):
                return [looked[draft.id] for draft in drafts]
        finally:
            self._whole = False
        self._ring([draft for draft in drafts if draft.run_at is None], [a.id for a in answers if _is_new(a)])
        return answers

    async def _store(self, drafts: list[Draft], rounds: int) -> dict[UUID, Answer]:
        columns = list(map(list, zip(*map(msgspec.structs.astuple, drafts), strict=True)))
        try:
            connection = await self.connect()
        except engine.AWAY as error:
            return _all(drafts, _away(error))
        try:
            # A savepoint, where a transaction has to outlive what fails here.
            async with connection.transaction() if self._whole else contextlib.nullcontext():
                stored, booked, known = await connection.fetchrow(statements.ACCEPT, *columns, timeout=self._left())
        except engine.AWAY as error:
            if self._whole:
                raise
            return await self._look(drafts, error)
        except asyncpg.CheckViolationError:  # "no partition of relation": the month's partition is missing
            await partitions.ensure(connection, datetime.now(UTC).date())
            return await self._store(drafts, rounds - 1) if rounds else _all(drafts, unavailable("no partition"))
        except asyncpg.PostgresError as error:
            return await self._isolate(drafts, error, rounds)
        if not self._whole:
            self._ring([draft for draft in drafts if draft.run_at is None], stored)
        answers: dict[UUID, Answer] = {d.id: Accepted(d.id, _status(d)) for d in drafts}
        if len(stored) < len(drafts):
            left = set(stored)
            answers |= await self._refused([d for d in drafts if d.id not in left], set(booked), set(known), rounds)
        return answers

    async def _isolate(self, drafts: list[Draft], error: asyncpg.PostgresError, rounds: int) -> dict[UUID, Answer]:
        """Postgres refuses something in this batch: halve it until the one at fault stands alone."""
        if len(drafts) == 1:
            return _all(drafts, Problem(422, "unstorable", f"The database refuses this message: {error}."))
        middle = len(drafts) // 2
        return await self._store(drafts[:middle], rounds) | await self._store(drafts[middle:], rounds)

    def _ring(self, drafts: list[Draft], stored: Sequence[UUID]) -> None:
        inside = set(stored)
        rings = ring.by_key((draft.id, draft.client_id, draft.lane) for draft in drafts if draft.id in inside)
        if rings:
            task = asyncio.create_task(self._doorbell.ring(rings))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def _look(self, drafts: list[Draft], error: BaseException) -> dict[UUID, Answer]:
        """The connection broke while these were being stored: they are in or they are not. Look until Postgres says."""
        if self._connection is not None:
            self._connection.terminate()
        broken, ids = self._server_pid, [draft.id for draft in drafts]
        while time.monotonic() < self._deadline:
            with contextlib.suppress(*engine.AWAY):
                connection = await self.connect()
                if not await connection.fetchval(statements.STILL_STORING, broken, timeout=self._left()):
                    rows = await connection.fetch(statements.STORED, ids, timeout=self._left())
                    inside = {row[0] for row in rows}
                    return {d.id: Accepted(d.id, _status(d)) if d.id in inside else _away(error) for d in drafts}
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        return _all(drafts, _unknown(error))

    async def _refused(
        self, drafts: list[Draft], booked: set[int], known: set[UUID], rounds: int
    ) -> dict[UUID, Answer]:
        """Why these were not stored: their key was known, another request was first with it, or the quota."""
        keyed = [d for d in drafts if d.id in known]
        raced = [d for d in drafts if d.id not in known and d.client_id in booked]
        short: dict[int, list[Draft]] = {}
        for draft in drafts:
            if draft.id not in known and draft.client_id not in booked:
                short.setdefault(draft.client_id, []).append(draft)
        answers = await self._known(keyed + raced, refunds=Counter(draft.client_id for draft in raced))
        for client_id, wanted in short.items():
            answers |= await self._within_quota(client_id, wanted, rounds)
        return answers

    async def _known(self, drafts: list[Draft], refunds: Mapping[int, int] | None = None) -> dict[UUID, Answer]:
        """What those are told whose key was used before; `refunds` gives back what was booked for them."""
        if not drafts:
            return {}
        keys = [d.id for d in drafts], [d.client_id for d in drafts], [d.key for d in drafts]
        try:
            connection = await self.connect()
            for client_id, count in sorted((refunds or {}).items()):
                await connection.execute(statements.REFUND, client_id, count, timeout=self._left())
            rows = await connection.fetch(statements.KNOWN_KEYS, *keys, timeout=self._left())
            first = {row["id"]: row for row in rows}
        except engine.AWAY as error:
            if self._whole:
                raise
            return _all(drafts, _away(error))
        return {draft.id: _repeated(draft, first.get(draft.id)) for draft in drafts}

    async def _within_quota(self, client_id: int, drafts: list[Draft], rounds: int) -> dict[UUID, Answer]:
        """As many as the quota still allows, the first ones first."""
        try:
            connection = await self.connect()
            row = await connection.fetchrow(statements.REMAINING_QUOTA, client_id, timeout=self._left())
        except engine.AWAY as error:
            if self._whole:
                raise
            return _all(drafts, _away(error))
        if row is None or row["suspended"]:
            return _all(drafts, Problem(403, "client_suspended", "This client is suspended; ask its operator."))
        remaining = row["remaining"]
        fit = drafts if remaining is None else drafts[: max(0, remaining)]
        if fit and not rounds:
            return _all(drafts, unavailable("the quota is contended"))
        answers = await self._store(fit, rounds - 1) if fit else {}
        return answers | _all(drafts[len(fit) :], _quota_exceeded())


def _count(draft: Draft, answer: Answer) -> None:
    if _is_new(answer):
        metrics.ACCEPTED.inc(_LANES[draft.lane])
    elif isinstance(answer, Accepted):
        metrics.REPEATED.inc()


class _Unwanted(Exception):
    """Rolls a whole batch back."""


def _is_new(answer: Answer) -> TypeGuard[Accepted]:
    return isinstance(answer, Accepted) and not answer.repeated


def _all(drafts: list[Draft], answer: Answer) -> dict[UUID, Answer]:
    return {draft.id: answer for draft in drafts}


def _status(draft: Draft) -> str:
    return (State.SCHEDULED if draft.run_at is not None else State.QUEUED).word


def _split_repeats(drafts: list[Draft]) -> tuple[list[Draft], list[Draft]]:
    """Two drafts with one idempotency key in one batch: the first goes in, the other is answered after it."""
    seen: set[tuple[int, str]] = set()
    firsts: list[Draft] = []
    repeats: list[Draft] = []
    for draft in drafts:
        if draft.key is None:
            firsts.append(draft)
            continue
        repeated = (draft.client_id, draft.key) in seen
        seen.add((draft.client_id, draft.key))
        (repeats if repeated else firsts).append(draft)
    return firsts, repeats


def _repeated(draft: Draft, first: asyncpg.Record | None) -> Answer:
    if first is None:
        return unavailable("the request that used this Idempotency-Key first was not stored")
    if bytes(first["digest"]) != draft.digest:
        return Problem(
            409,
            "idempotency_key_reused",
            "This Idempotency-Key was used with another body. Use a new key for a new message.",
            field="Idempotency-Key",
        )
    # The first answer again, not where the message is by now.
    return Accepted(first["message_id"], _status(draft), repeated=True)


def _quota_exceeded() -> Problem:
    now = datetime.now(UTC)
    month = partitions.month_after(now.date().replace(day=1))
    seconds = int((datetime(month.year, month.month, 1, tzinfo=UTC) - now).total_seconds()) + 1
    return Problem(
        429,
        "quota_exceeded",
        f"The client's monthly quota is used up. It begins anew on {month}.",
        headers={"Retry-After": str(seconds)},
    )
