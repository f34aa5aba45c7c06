"""Fairness inside a lane where nothing but Postgres says whose turn it is; test_broker has the doorbell's turns."""

from __future__ import annotations

from mailboat.db import statements
from mailboat.db.states import Lane


async def test_a_sweep_takes_the_oldest_and_the_newest_of_each_lane_the_first_lane_first(pool, put, query, new_client):
    bulk, other = new_client().id, new_client().id
    lanes = {}
    for lane in reversed(Lane):
        million = [put(lane=lane, client_id=bulk) for _ in range(12)]
        query("update queue set run_at = now() - interval '1 hour' where id = any($1)", million)
        lanes[lane] = (million, put(lane=lane, client_id=other))
    rows = await pool.fetch(statements.WAITING, 2)
    assert [row["lane"] for row in rows] == sorted(row["lane"] for row in rows)
    for lane, (million, fresh) in lanes.items():
        found = [row["id"] for row in rows if row["lane"] == lane]
        assert len(found) == len(set(found)) == 4
        assert fresh in found
        assert len(set(found) & set(million)) == 3


async def test_a_sweep_of_few_takes_each_once(pool, put):
    ids = {put(lane=Lane.HIGH), put(lane=Lane.BULK)}
    rows = await pool.fetch(statements.WAITING, 64)
    assert len(rows) == 2
    assert {row["id"] for row in rows} == ids
