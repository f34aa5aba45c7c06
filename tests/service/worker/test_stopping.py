"""Workers that stop, die, sleep and start: whose mail goes on, and what is never sent twice without need."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import Any

import pytest

from mailboat.db.states import State
from mailboat.domain import identifier, revision
from mailboat.domain.revision import Sources, revise


class Gate:
    """A mail server's answer to whole mails: none, until it is opened."""

    def __init__(self, sink: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._opened = loop, asyncio.Event()
        sink.on_body = self._answer

    async def _answer(self, _: Any) -> None:
        await self._opened.wait()

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._opened.set)


@pytest.fixture
def gate(sink: Any, aside: Any) -> Gate:
    return Gate(sink, aside.loop)


@pytest.fixture
def one_by_one(settings_of: Any, sink: Any) -> Any:
    """Settings for a worker that sends one mail at a time."""
    return lambda **changes: settings_of(smtp_url=sink.url, smtp_connections=1, **changes)


@pytest.fixture
def states(query: Any) -> Any:
    """states(): how many messages are where."""
    return lambda: Counter(State(row[0]) for row in query("select state from queue"))


def test_a_stopping_worker_finishes_what_it_has_claimed(start_role, one_by_one, sink, gate, put, states, until):
    for _ in range(5):
        put()
    worker = start_role("worker", one_by_one())
    until(lambda: sink.taken)
    worker.tell(signal.SIGTERM)
    gate.open()
    assert worker.wait() == 0
    assert states() == {State.SENT: 5}
    assert len(sink.taken) == 5


def test_what_cannot_be_finished_in_time_is_given_back_uncounted_and_sent_once_by_the_next_one(
    start_role, one_by_one, sink, gate, put, row, states, until, query
):
    ids = [put() for _ in range(6)]
    worker = start_role("worker", one_by_one(drain_seconds=0.3))
    until(lambda: sink.taken and states()[State.SENDING] == 6)
    (on_its_way,) = sink.ids
    assert worker.stop() == 0
    waiting = [one for one in ids if one != on_its_way]
    assert {(row(one)["state"], row(one)["owner"], row(one)["attempts"]) for one in waiting} == {
        (State.QUEUED, None, 0)
    }
    assert query("select count(*) from attempts") == [(0,)]
    assert query("select count(*) from workers") == [(0,)]
    gate.open()
    start_role("worker", one_by_one())
    until(lambda: states() == {State.SENT: 6})
    assert {count for one, count in Counter(sink.ids).items() if one != on_its_way} == {1}
    assert Counter(sink.ids)[on_its_way] == 2  # nobody could know whether it had arrived


@pytest.mark.parametrize(("policy", "ends"), [("resend", State.SENT), ("hold", State.HELD)])
def test_mail_that_was_on_its_way_out_of_a_killed_worker_ends_as_its_client_wants(
    policy, ends, start_role, one_by_one, sink, gate, put, new_client, row, until, query
):
    message_id = put(client_id=new_client(on_uncertain=policy).id)
    worker = start_role("worker", one_by_one())
    until(lambda: sink.taken)
    worker.tell(signal.SIGKILL)
    worker.wait()
    gate.open()
    start_role("worker", one_by_one(lease_seconds=0.5))
    until(lambda: row(message_id)["state"] == ends)
    rows = query("select number, outcome from attempts where message_id = $1 order by number", message_id)
    assert tuple(rows[0]) == (1, "abandoned")
    assert len(sink.taken) == (2 if policy == "resend" else 1)


def test_a_worker_that_starts_under_the_name_of_a_killed_one_goes_on_at_once(
    start_role, one_by_one, sink, gate, put, states, until
):
    """The lease is longer than any test: only the name tells that the earlier one is gone."""
    settings = one_by_one(worker_name="mailboat-worker-0", lease_seconds=600.0)
    for _ in range(3):
        put()
    worker = start_role("worker", settings)
    until(lambda: sink.taken and states()[State.SENDING] == 3)
    worker.tell(signal.SIGKILL)
    worker.wait()
    gate.open()
    start_role("worker", settings)
    until(lambda: states() == {State.SENT: 3})


def test_a_worker_that_slept_longer_than_its_lease_starts_no_send_when_it_wakes(
    start_role, one_by_one, sink, gate, put, states, until
):
    ids = [put() for _ in range(6)]
    sleeper = start_role("worker", one_by_one(lease_seconds=1.0))
    until(lambda: sink.taken and states()[State.SENDING] == 6)
    (on_its_way,) = sink.ids
    sleeper.tell(signal.SIGSTOP)
    other = start_role("worker", one_by_one(lease_seconds=1.0))
    gate.open()
    until(lambda: states() == {State.SENT: 6})
    sleeper.tell(signal.SIGCONT)
    until(lambda: sleeper.lines("the lease was over"))
    assert [sleeper.stop(), other.stop()] == [0, 0]
    assert states() == {State.SENT: 6}
    counts = Counter(sink.ids)
    assert set(counts) == set(ids)
    assert {counts[one] for one in ids if one != on_its_way} == {1}


def test_postgres_that_goes_away_between_send_and_verdict_gets_the_verdict_later_and_once(
    own_postgres, start_role, settings_of, sink, aside, until, client
):
    import asyncpg

    async def ask(sql: str, *values: Any) -> Any:
        connection = await asyncpg.connect(own_postgres.dsn())
        try:
            return await connection.fetch(sql, *values)
        finally:
            await connection.close()

    async def stop_postgres(_: Any) -> None:
        await asyncio.to_thread(own_postgres.stop, signal.SIGQUIT)

    message_id = identifier.new()
    sink.on_body = stop_postgres
    worker = start_role("worker", settings_of(database_url=own_postgres.dsn(), smtp_url=sink.url))
    aside.run(
        ask(
            """with message as (insert into messages (id, client_id, envelope, data, content, traceparent)
            values ($1, 1, '{"sender":{"email":"a@b.c"},"to":[{"email":"d@e.f"}]}', '{}',
            '{"subject":"x","text":"x"}', ''))
            insert into queue (id, client_id, lane, state) values ($1, 1, 1, 1)""",
            message_id,
        )
    )
    until(lambda: worker.lines("booking waits for postgres"))
    sink.on_body = lambda _: None
    own_postgres.start()
    until(lambda: aside.run(ask("select from queue where state = 3")))
    assert [tuple(row) for row in aside.run(ask("select number, outcome from attempts"))] == [(1, "sent")]
    assert sink.ids == [message_id]
    assert worker.stop() == 0


def test_without_valkey_mail_is_found_in_postgres(own_valkey, start_role, settings_of, sink, put, states, until):
    worker = start_role("worker", settings_of(smtp_url=sink.url, redis_url=own_valkey.url()))
    own_valkey.stop()
    for _ in range(5):
        put()
    until(lambda: states() == {State.SENT: 5})
    assert len(sink.taken) == 5
    assert worker.stop() == 0


def test_a_worker_that_starts_before_postgres_waits_for_it(own_postgres, start_role, settings_of, sink, until):
    own_postgres.stop()
    worker = start_role("worker", settings_of(database_url=own_postgres.dsn(), smtp_url=sink.url), ready=False)
    until(lambda: worker.lines("postgres is away"))
    own_postgres.start()
    worker.until_ready()
    assert worker.stop() == 0


def test_a_worker_that_still_waits_for_postgres_can_be_stopped(tmp_path, start_role, settings_of, until):
    worker = start_role("worker", settings_of(database_url=f"postgresql://u@/x?host={tmp_path}"), ready=False)
    until(lambda: worker.lines("postgres is away"))
    assert worker.stop() == 0


def test_nothing_is_left_of_a_worker_that_was_stopped(start_role, settings_of, sink, put, until, query):
    import psutil

    message_id = put(state=State.SCHEDULED)
    found = revise("x", Sources(engine="jinja", entry="x.j2", files={"x.j2": "<p>Hello</p>"}, subject="x"))
    body = revision.encode(found.sources).decode()
    query("insert into template_sources (digest, name, body) values ($1, 'x', $2::json)", found.digest, body)
    query("update messages set revision = $1, content = null", found.digest)
    worker = start_role("worker", settings_of(smtp_url=sink.url))
    until(lambda: sink.ids == [message_id])
    children = psutil.Process(worker.process.pid).children(recursive=True)
    assert children  # it renders in processes of their own
    assert worker.stop(signal.SIGINT) == 0
    until(lambda: not any(child.is_running() for child in children))
    assert query("select count(*) from workers") == [(0,)]
    assert "Traceback" not in worker.log.read_text()
