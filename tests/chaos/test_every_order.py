"""A state machine: every step of a mail's road in any order, by several workers, through the statements themselves.

Beside the database stands a model of it, a few lines of Python. After every step the two say the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.conftest import Loop

from mailboat.db import partitions, statements
from mailboat.db.states import State
from mailboat.delivery import query, stopped
from mailboat.delivery.accept import Acceptor, Draft
from mailboat.delivery.book import Booker, Booking
from mailboat.delivery.claim import Claimer
from mailboat.delivery.ring import Doorbell
from mailboat.domain import identifier
from mailboat.domain.verdict import Verdict

WORKERS = 2
FEW = 4  # messages: they should meet
ATTEMPTS = 4  # then a message that is taken over is dead
FOREVER = datetime(2100, 1, 1, tzinfo=UTC)
OUTCOMES = {"sent": "sent", "scheduled": "retryable", "failed": "failed", "dead": "retryable", "held": "uncertain"}


@dataclasses.dataclass
class Row:
    """What the model knows of a message; `owner` is a worker's id."""

    state: State
    hold: bool
    attempts: int = 0
    forgiven: int = 0
    owner: int | None = None
    booked: dict[int, str] = dataclasses.field(default_factory=dict)  # outcome by number of attempt


@dataclasses.dataclass
class Worker:
    id: int
    name: str
    claimer: Claimer
    booker: Booker
    hands: set[tuple[UUID, int]]  # ids with the number of the attempt; of the same id two, when one of them was lost


class Road(RuleBasedStateMachine):
    def __init__(self, dsn: str, loop: Loop) -> None:
        super().__init__()
        self.dsn, self.run = dsn, loop.run
        self.rows: dict[UUID, Row] = {}
        self.workers: list[Worker] = []

    @initialize()
    def begin(self) -> None:
        self.run(self._begin())

    async def _begin(self) -> None:
        self.pool = await asyncpg.create_pool(self.dsn, min_size=1, max_size=2)
        await self.pool.execute("truncate messages, queue, attempts, workers, idempotency, usage, clients cascade")
        async with self.pool.acquire() as connection:
            await partitions.ensure(connection, datetime.now(UTC).date())
        self.clients = [
            await self.pool.fetchval(
                "insert into clients (namespace, name, on_uncertain) values ('default', $1, $1) returning id", policy
            )
            for policy in ("resend", "hold")
        ]
        self.acceptor = Acceptor(self.dsn, Doorbell())
        self.workers = [await self._life(f"slot-{n}") for n in range(WORKERS)]

    async def _life(self, name: str) -> Worker:
        owner = await self.pool.fetchval(statements.REGISTER, name)
        return Worker(owner, name, Claimer(self.dsn, owner), Booker(self.dsn, owner), set())

    def teardown(self) -> None:
        if self.workers:
            self.run(self._end())

    async def _end(self) -> None:
        await self.acceptor.close()
        for worker in self.workers:
            await worker.claimer.close()
            await worker.booker.close()
        await self.pool.close()

    # --- accept

    @precondition(lambda self: len(self.rows) < FEW)
    @rule(hold=st.booleans(), later=st.booleans())
    def accept(self, hold: bool, later: bool) -> None:
        draft = _draft(self.clients[hold], FOREVER if later else None)
        answer = self.run(self.acceptor.accept(draft))
        assert (answer.id, answer.status) == (draft.id, "scheduled" if later else "queued")
        self.rows[draft.id] = Row(State.SCHEDULED if later else State.QUEUED, hold)

    @precondition(lambda self: len(self.rows) < FEW)
    @rule(hold=st.booleans(), count=st.integers(2, 4))
    def accept_under_one_key(self, hold: bool, count: int) -> None:
        key = str(identifier.new())
        drafts = [_draft(self.clients[hold], None, key) for _ in range(count)]
        answers = self.run(self.acceptor.accept_each(drafts))
        assert len({answer.id for answer in answers}) == 1
        self.rows[answers[0].id] = Row(State.QUEUED, hold)

    # --- a worker's day

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), n=st.integers(0, WORKERS - 1))
    def claim(self, data: st.DataObject, n: int) -> None:
        worker = self.workers[n]
        ids = data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, max_size=4, unique=True))
        claimed = self.run(worker.claimer.claim(ids))
        assert {message.id for message in claimed} == {i for i in ids if self.rows[i].state == State.QUEUED}
        for message in claimed:
            row = self.rows[message.id]
            row.state, row.owner, row.attempts = State.SENDING, worker.id, row.attempts + 1
            assert (message.attempt, message.forgiven) == (row.attempts, row.forgiven)
            worker.hands.add((message.id, message.attempt))

    @precondition(lambda self: any(worker.hands for worker in self.workers))
    @rule(data=st.data(), ends=st.sampled_from(sorted(OUTCOMES)), times=st.integers(1, 2))
    def book(self, data: st.DataObject, ends: Any, times: int) -> None:
        """In time or late, once or twice."""
        worker, hands = self._some_hands(data)
        for i, number in hands:
            verdict = Verdict(ends, OUTCOMES[ends], "it said", delay=3600.0)  # type: ignore[arg-type]
            booking = Booking(i, number, "smtp", None, verdict, datetime.now(UTC), 0.1)
            for _ in range(times):
                self.run(worker.booker.book(booking))
            worker.hands.remove((i, number))
            self._booked(worker, self.rows[i], number, State[ends.upper()], OUTCOMES[ends])

    def _booked(self, worker: Worker, row: Row, number: int, state: State, outcome: str) -> None:
        mine = self._is_mine(worker, row, number)
        idle = row.state in (State.SCHEDULED, State.QUEUED, State.DEAD, State.HELD) and state == State.SENT
        if mine or idle:
            row.state, row.owner = state, None
        if row.booked.get(number, "abandoned") == "abandoned" or outcome == "sent":
            row.booked[number] = outcome

    def _is_mine(self, worker: Worker, row: Row, number: int) -> bool:
        return row.state == State.SENDING and row.owner == worker.id and row.attempts == number

    @precondition(lambda self: any(worker.hands for worker in self.workers))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """What was claimed last and not sent."""
        worker, hands = self._some_hands(data)
        ids = {i for i, number in hands if number == self.rows[i].attempts}
        self.run(self.pool.fetch(statements.GIVE_BACK, list(ids), worker.id, None))
        worker.hands -= {(i, self.rows[i].attempts) for i in ids}
        for row in map(self.rows.__getitem__, ids):
            if row.state == State.SENDING and row.owner == worker.id:
                row.state, row.owner, row.attempts = State.QUEUED, None, row.attempts - 1

    @precondition(lambda self: any(worker.hands for worker in self.workers))
    @rule(data=st.data(), outcome=st.sampled_from(["retryable", "uncertain"]))
    def move_on(self, data: st.DataObject, outcome: str) -> None:
        """The next provider of the route is asked at once; the try before keeps its row."""
        worker, hands = self._some_hands(data)
        for i, number in hands:
            row = self.rows[i]
            values = ("smtp", outcome, "it said", datetime.now(UTC), 0.1)
            moved = self.run(self.pool.fetchrow(statements.MOVE_ON, i, worker.id, number, *values)) is not None
            assert moved == self._is_mine(worker, row, number)
            worker.hands.remove((i, number))
            row.booked.setdefault(number, outcome)
            if moved:
                row.attempts, row.forgiven = row.attempts + 1, row.forgiven + 1
                worker.hands.add((i, number + 1))

    @precondition(lambda self: any(worker.hands for worker in self.workers))
    @rule(data=st.data())
    def postpone(self, data: st.DataObject) -> None:
        """No provider may be asked now: the limits of all are reached, or their breakers are open."""
        worker, hands = self._some_hands(data)
        ids, numbers = [i for i, _ in hands], [number for _, number in hands]
        delays, reasons = [3600.0] * len(hands), ["all are busy"] * len(hands)
        self.run(self.pool.execute(statements.POSTPONE, ids, numbers, delays, reasons, worker.id))
        for i, number in hands:
            row = self.rows[i]
            worker.hands.remove((i, number))
            if self._is_mine(worker, row, number):
                row.state, row.owner, row.attempts = State.SCHEDULED, None, row.attempts - 1

    # --- a worker's death

    @rule(n=st.integers(0, WORKERS - 1))
    def restart(self, n: int) -> None:
        """kill -9, and a new life in the same slot."""
        dead = self.workers[n]
        self.run(dead.claimer.close())
        self.run(dead.booker.close())
        worker = self.workers[n] = self.run(self._life(dead.name))
        self._taken_over(dead.id, self._take(statements.TAKE_OVER_NAMESAKES, worker.name, worker.id))

    @rule(n=st.integers(0, WORKERS - 1))
    def be_taken_for_dead(self, n: int) -> None:
        """Its heartbeat stops for longer than the lease, and it goes on afterwards."""
        worker = self.workers[n]
        beats = {row["id"]: row["heartbeat_at"] for row in self.run(self.pool.fetch(statements.HEARTBEATS))}
        self._taken_over(worker.id, self._take(statements.TAKE_OVER_DEAD, [worker.id], [beats[worker.id]]))
        self.run(self.pool.execute(statements.HEARTBEAT, worker.id))

    @precondition(lambda self: any(worker.hands for worker in self.workers))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """The reconciler does not find some of what is in hand, which may be booked all the same later."""
        worker, hands = self._some_hands(data)
        kept = {i for i, _ in worker.hands} - {i for i, _ in hands}
        self._taken_over(worker.id, self._take(statements.TAKE_OVER_LOST, worker.id, list(kept), FOREVER), kept)

    def _take(self, statement: str, *values: Any) -> dict[UUID, State]:
        return {row["id"]: State(row["state"]) for row in self.run(self.pool.fetch(statement, ATTEMPTS, *values))}

    def _taken_over(self, owner: int, moved: dict[UUID, State], kept: Collection[UUID] = ()) -> None:
        expected: dict[UUID, State] = {}
        for i, row in self.rows.items():
            if row.state == State.SENDING and row.owner == owner and i not in kept:
                spent = row.attempts - row.forgiven >= ATTEMPTS
                row.state = State.HELD if row.hold else State.DEAD if spent else State.QUEUED
                row.owner = None
                row.booked.setdefault(row.attempts, "abandoned")
                expected[i] = row.state
        assert moved == expected

    # --- time and people

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def fall_due(self, data: st.DataObject) -> None:
        ids = self._some_rows(data)
        self.run(self.pool.execute("update queue set run_at = now() where id = any($1) and state = 0", ids))
        released = {row["id"] for row in self.run(self.pool.fetch(statements.RELEASE_DUE, 100))}
        assert released == {i for i in ids if self.rows[i].state == State.SCHEDULED}
        for i in released:
            self.rows[i].state = State.QUEUED

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        for i in self._some_rows(data):
            row = self.rows[i]
            fresh = row.state == State.SCHEDULED and row.attempts == 0
            assert self.run(query.cancel(self.pool, self.clients[row.hold], i)) == fresh
            if fresh:
                row.state = State.CANCELLED

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), how=st.sampled_from(["replay", "release", "give_up"]))
    def decide(self, data: st.DataObject, how: str) -> None:
        """A person looks at what stopped."""
        for i in self._some_rows(data):
            row = self.rows[i]
            wanted = (State.DEAD, State.FAILED) if how == "replay" else (State.HELD,)
            act = {
                "replay": lambda i=i: stopped.replay_one(self.pool, Doorbell(), i),
                "release": lambda i=i: stopped.release(self.pool, Doorbell(), i),
                "give_up": lambda i=i: stopped.give_up(self.pool, i),
            }[how]
            assert self.run(act()) == (row.state in wanted)
            if row.state in wanted and how == "give_up":
                row.state = State.FAILED
            elif row.state in wanted:
                row.state, row.forgiven = State.QUEUED, row.attempts

    # --- what always holds

    @invariant()
    def the_database_says_what_the_model_says(self) -> None:
        if not self.workers:
            return
        found = self.run(self.pool.fetch("select id, state, attempts, forgiven, owner from queue"))
        said = {row["id"]: (row["state"], row["attempts"], row["forgiven"], row["owner"]) for row in found}
        assert said == {i: (r.state, r.attempts, r.forgiven, r.owner) for i, r in self.rows.items()}
        attempts: dict[UUID, dict[int, str]] = {}
        for row in self.run(self.pool.fetch("select message_id, number, outcome from attempts")):
            attempts.setdefault(row["message_id"], {})[row["number"]] = row["outcome"]
        assert attempts == {i: row.booked for i, row in self.rows.items() if row.booked}
        assert self.run(self.pool.fetchval("select count(*) from messages")) == len(self.rows)

    @invariant()
    def a_message_is_in_one_place(self) -> None:
        for row in self.rows.values():
            assert (row.owner is None) == (row.state != State.SENDING)
            # Whatever was sent by its last attempt stays sent, unless a later one was given back or postponed.
            if row.booked.get(row.attempts) == "sent":
                assert row.state in (State.SENT, State.QUEUED, State.SCHEDULED), row

    # --- choices

    def _some_rows(self, data: st.DataObject) -> list[UUID]:
        return data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, max_size=3, unique=True))

    def _some_hands(self, data: st.DataObject) -> tuple[Worker, list[tuple[UUID, int]]]:
        worker = data.draw(st.sampled_from([worker for worker in self.workers if worker.hands]))
        return worker, data.draw(st.lists(st.sampled_from(sorted(worker.hands)), min_size=1, max_size=3, unique=True))


def _draft(client: int, run_at: datetime | None, key: str | None = None) -> Draft:
    content = '{"subject": "Hello", "html": null, "text": "Hello"}'
    return Draft(
        id=identifier.new(),
        client_id=client,
        key=key,
        digest=b"same" if key else None,
        lane=1,
        run_at=run_at,
        template=None,
        revision=None,
        locale=None,
        envelope='{"sender": {"email": "a@example.com"}, "to": [{"email": "b@example.com"}]}',
        data="{}",
        content=content,
        headers=None,
        tags=None,
        metadata=None,
        attachments=None,
        traceparent="",
    )


def test_in_any_order_the_database_says_what_the_model_says(dsn: str, aside: Loop) -> None:
    run_state_machine_as_test(
        lambda: Road(dsn, aside),
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=False,
        ),
    )
