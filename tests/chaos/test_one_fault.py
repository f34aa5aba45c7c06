"""Each fault on its own, under load: whatever was answered 202 is sent, nothing is stuck, and the accounts add up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import psutil
import pytest
from tests.chaos.conftest import LEASE, Fleet
from tests.chaos.harness import Load

pytestmark = pytest.mark.asyncio(loop_scope="session")
SLACK = 3  # mails that may come twice where nothing but chance decides


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
    await _done(fleet, load, SLACK + fleet.worker_kills / 2)


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


@pytest.mark.parametrize("mode", ["freeze", "reset"])
@pytest.mark.parametrize("name", ["api-postgres", "api-valkey", "worker-postgres", "worker-valkey", "worker-smtp"])
async def test_a_cut_line_loses_nothing(fleet: Fleet, name: str, mode: str) -> None:
    async with fleet.load().flowing() as load:
        await load.until_accepted(150)
        fleet.lines[name].cut(mode)
        await asyncio.sleep(LEASE * 1.2)
        fleet.lines[name].cut("pass")
        await load.until_accepted(150)
    await _done(fleet, load, SLACK + 8 * (name in ("worker-postgres", "worker-smtp")))


@pytest.mark.parametrize("manner", ["stall", "drop", "cut_after_body", "tempfail", "garbage", "nonsense"])
async def test_a_server_without_manners_gets_every_mail_in_the_end(fleet: Fleet, manner: str) -> None:
    async with fleet.load().flowing() as load:
        await load.until_accepted(100)
        fleet.mailbox.manner = manner
        await asyncio.sleep(1.5)
        fleet.mailbox.manner = "good"
        await load.until_accepted(100)
    await _done(fleet, load, SLACK)
