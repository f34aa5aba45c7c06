"""Each fault on its own, under load: whatever was answered 202 is sent, nothing is stuck, and the accounts add up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any

import psutil
import pytest
from tests.chaos.conftest import LEASE, Fleet
from tests.chaos.harness import Load, at_length

pytestmark = pytest.mark.asyncio(loop_scope="session")
SLACK = 8  # mails that may come twice by chance: as many as one worker has connections
LINES = ("api-postgres", "api-valkey", "worker-postgres", "worker-valkey", "worker-smtp")


def _later(*values: str) -> Any:
    return pytest.param(*values, marks=at_length)


async def _done(fleet: Fleet, load: Load, allowed: float) -> None:
    report = await fleet.audit(load)
    print(report, dict(load.statuses), f"slowest {load.slowest:.2f} s")
    report.check(allowed)


@pytest.mark.parametrize("name", ["api-0", "worker-0"])
async def test_a_killed_process_loses_nothing(fleet: Fleet, name: str) -> None:
    async with fleet.load().flowing() as load:
        for _ in range(2):
            await load.until_accepted(150)
            await asyncio.to_thread(fleet.kill, name)
            await load.until_accepted(150)
    await _done(fleet, load, SLACK * max(1, fleet.worker_kills))


@pytest.mark.parametrize("name", ["api-0", "worker-0"])
async def test_a_process_that_is_told_to_stop_ends_in_order_and_sends_nothing_twice(fleet: Fleet, name: str) -> None:
    async with fleet.load().flowing() as load:
        await load.until_accepted(150)
        fleet.roles[name].tell(signal.SIGTERM)
        assert await asyncio.to_thread(fleet.roles[name].wait) == 0
        assert fleet.revive() == [f"{name}: 0"]
        await load.until_accepted(150)
    await _done(fleet, load, 0)


@at_length
@pytest.mark.parametrize("name", ["api-0", "worker-0"])
async def test_a_process_stops_although_postgres_is_silent(fleet: Fleet, name: str) -> None:
    async with fleet.load().flowing() as load:
        await load.until_accepted(100)
        fleet.lines[f"{name.partition('-')[0]}-postgres"].cut("freeze")
        fleet.roles[name].tell(signal.SIGTERM)
        assert await asyncio.to_thread(fleet.roles[name].wait) == 0
        fleet.lines[f"{name.partition('-')[0]}-postgres"].cut("pass")
        fleet.revive()
        await load.until_accepted(100)
    await _done(fleet, load, SLACK + 16)


@at_length
async def test_a_valkey_that_is_silent_for_long_slows_nothing_down(fleet: Fleet) -> None:
    async with fleet.load().flowing() as load:
        await load.until_accepted(100)
        fleet.lines["worker-valkey"].cut("freeze")
        await asyncio.sleep(5)
        sent = sum(fleet.mailbox.taken.values())
        await asyncio.sleep(3)
        swept = sum(fleet.mailbox.taken.values()) - sent
        fleet.lines["worker-valkey"].cut("pass")
    await _done(fleet, load, 0)
    assert swept > 450, f"{swept} mails in three seconds at 300 a second"


async def test_a_killed_render_process_or_zygote_costs_no_mail_and_no_failure(fleet: Fleet) -> None:
    async with fleet.load().flowing() as load:
        for _ in range(6):
            await load.until_accepted(50)
            for pid in fleet.pids("worker-0")[:1] + fleet.pids("worker-1")[-1:]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).kill()
    await _done(fleet, load, 0)


async def test_a_wiped_valkey_costs_a_moment_and_nothing_else(fleet: Fleet) -> None:
    async with fleet.load().flowing() as load:
        for _ in range(2):
            await load.until_accepted(200)
            await asyncio.to_thread(fleet.wipe_valkey)
    await _done(fleet, load, 0)


async def test_a_crashed_postgres_takes_nothing_with_it(fleet: Fleet) -> None:
    async with fleet.load().flowing() as load:
        for _ in range(2):
            await load.until_accepted(200)
            await asyncio.to_thread(fleet.crash_postgres)
        await load.until_accepted(100)
    await _done(fleet, load, SLACK)


async def test_a_worker_that_sleeps_through_its_lease_sends_nothing_afterwards(fleet: Fleet) -> None:
    async with fleet.load().flowing() as load:
        await load.until_accepted(200)
        sleeper = fleet.roles["worker-0"].process.pid
        os.kill(sleeper, signal.SIGSTOP)
        await asyncio.sleep(LEASE * 1.5)
        os.kill(sleeper, signal.SIGCONT)
        await load.until_accepted(100)
    await _done(fleet, load, SLACK)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, "freeze") for name in LINES),
        *((name, "reset") if "postgres" in name else _later(name, "reset") for name in LINES),
    ],
)
async def test_a_cut_line_loses_nothing(fleet: Fleet, name: str, mode: str) -> None:
    async with fleet.load().flowing() as load:
        await load.until_accepted(100)
        fleet.lines[name].cut(mode)
        await asyncio.sleep(LEASE * (1.2 if name == "worker-postgres" else 0.6))
        fleet.lines[name].cut("pass")
        await load.until_accepted(100)
    await _done(fleet, load, SLACK + 8 * (name in ("worker-postgres", "worker-smtp")))


@pytest.mark.parametrize(
    "manner", ["stall", "tempfail", "nonsense", *map(_later, ("drop", "cut_after_body", "garbage"))]
)
async def test_a_server_without_manners_gets_every_mail_in_the_end(fleet: Fleet, manner: str) -> None:
    async with fleet.load().flowing() as load:
        await load.until_accepted(100)
        fleet.mailbox.manner = manner
        await asyncio.sleep(1.2)
        fleet.mailbox.manner = "good"
        await load.until_accepted(100)
    await _done(fleet, load, SLACK)
