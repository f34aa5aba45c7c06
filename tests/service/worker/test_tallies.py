"""The overview's month is kept in tallies, which say what a count of all messages would say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailboat.db.states import State
from mailboat.delivery import figures, tallies
from mailboat.domain import identifier
from mailboat.worker.housekeeping import Housekeeping


@pytest.fixture
async def housekeeping(settings_of: Any, pool: Any) -> Any:
    housekeeping = Housekeeping(settings_of(), pool)
    yield housekeeping
    await housekeeping.close()


@pytest.fixture
def tally(pool: Any) -> Any:
    """tally(): count what has changed, as it were at one moment, so that no quarter ends while a test looks."""
    now = datetime.now(UTC)

    async def tally(ago: timedelta = timedelta()) -> int:
        async with pool.acquire() as connection, connection.transaction():
            quarters = await tallies.due(connection, now - ago)
            return await tallies.count(connection, quarters)

    return tally


@pytest.fixture
def kept(query: Any, client: Any) -> Any:
    """kept(hours, state, event): a message that was accepted so long ago, and what was reported of it just now."""

    def kept(hours: float, state: State, *events: str) -> Any:
        at = datetime.now(UTC) - timedelta(hours=hours)
        number = identifier.at(int(at.timestamp() * 1000), identifier.new().bytes[:10])
        query("insert into queue (id, client_id, lane, state) values ($1, $2, 1, $3)", number, client.id, state)
        for event in events:
            report(number, event)
        return number

    def report(number: Any, event: str) -> None:
        query(
            """insert into events (provider, event_id, recipient, event, word, reason, message_id, client_id,
               provider_message_id, at, look_at) values ('ses', $1, '', $2, '', '', $3, $4, '', now(), null)""",
            f"{number}{event}", event, number, client.id,
        )  # fmt: skip

    kept.report = report  # type: ignore[attr-defined]
    return kept


async def totals(pool: Any, span: str = "30d") -> dict[str, int]:
    """The figures that are not nothing."""
    found = await figures.gather(pool, span, datetime.now(UTC))
    sums = {name: sum(getattr(found.series, name)) for name in found.series.__struct_fields__}
    return {name: count for name, count in sums.items() if count}


async def untallied(pool: Any) -> dict[str, int]:
    """What a count of all messages says."""
    rows = await pool.fetch("delete from tallies returning at, word, messages, counted_at")
    counted = await totals(pool)
    await pool.executemany("insert into tallies values ($1, $2, $3, $4)", [tuple(row) for row in rows])
    return counted


async def test_a_month_is_read_from_tallies_and_the_last_hour_from_the_messages(housekeeping, pool, query, kept):
    old = kept(100, State.SENT, "delivered")
    kept(100, State.DEAD)
    kept(30, State.SENT, "bounced")
    kept(3, State.SCHEDULED)
    kept(0, State.SENT)
    expected = {"accepted": 5, "delivered": 1, "bounced": 1, "failed": 1, "waiting": 1, "sent": 1}
    assert await totals(pool) == expected
    assert await housekeeping.tally() > 2900
    assert await totals(pool) == expected == await untallied(pool)
    assert await totals(pool, "24h") == {"accepted": 2, "waiting": 1, "sent": 1}
    assert await totals(pool, "1h") == {"accepted": 1, "sent": 1}
    query("delete from queue where id = $1", old)
    assert await totals(pool) == expected  # from the tallies indeed, not from the messages


async def test_what_changes_later_is_counted_again_and_nothing_else_is(tally, pool, query, kept):
    late, dead, waiting = kept(200, State.SENT), kept(300, State.DEAD), kept(400, State.SCHEDULED)
    kept(500, State.SENT)
    await tally()
    assert await tally() == 0
    kept.report(late, "delivered")
    query("update queue set state = 1 where id = $1", dead)
    query("update queue set state = 6 where id = $1", waiting)
    assert await tally() == 3
    expected = {"accepted": 4, "delivered": 1, "waiting": 1, "sent": 1}
    assert await totals(pool) == expected == await untallied(pool)
    query("update queue set state = 3 where id = $1", dead)
    await tally()
    expected = {"accepted": 4, "delivered": 1, "sent": 2}
    assert await totals(pool) == expected == await untallied(pool)


async def test_what_was_deleted_is_gone_from_the_tallies_after_a_day(housekeeping, pool, query, kept):
    gone, _ = kept(200, State.SENT), kept(200, State.SENT)
    await housekeeping.tally()
    query("delete from queue where id = $1", gone)
    await pool.execute("insert into tallies (at, word, messages) values (now() - interval '40 days', 'accepted', 7)")
    await housekeeping.tally_all()
    assert await totals(pool) == {"accepted": 1, "sent": 1} == await untallied(pool)
    assert await pool.fetchval("select min(at) > now() - interval '32 days' from tallies")


async def test_quarters_that_were_missed_are_counted_when_a_worker_is_back(tally, pool, kept):
    kept(48, State.SENT, "delivered")
    await tally(timedelta(days=4))
    assert await totals(pool) == {"accepted": 1, "delivered": 1}
    assert await tally() == 4 * 96
    assert await totals(pool) == {"accepted": 1, "delivered": 1} == await untallied(pool)
