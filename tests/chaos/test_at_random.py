"""Faults at random, under load, until so many were kills. `make chaos KILLS=250 RATE=300 SEED=7` is the long version.

At 300 mails a second and a fault every 1.4 s, 250 kills take six minutes and 100,000 mails.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable

import psutil
import pytest
from tests.chaos.clocks import PARTS
from tests.chaos.conftest import APIS, LEASE, WORKERS, Fleet
from tests.chaos.harness import Load, write_templates

pytestmark = pytest.mark.asyncio(loop_scope="session")
KILLS = int(os.environ.get("CHAOS_KILLS") or 5)
RATE = float(os.environ.get("CHAOS_RATE") or 250)
SEED = int(os.environ.get("CHAOS_SEED") or time.time_ns() % 1_000_000)
ONLY = os.environ.get("CHAOS_ONLY") or ""  # a part of the names of the faults wanted
MANNERS = ("stall", "drop", "cut_after_body", "tempfail", "garbage", "nonsense")
HOUR = 3600.0
# Mails that may come twice per kill of a worker: on average, and of few kills, since one may strike every connection.
PER_KILL = 0.5 if KILLS >= 100 else 8
SESSIONS = 16  # mails that may be between a yes and its booking when all of a worker's lines or clocks stop


class Chaos:
    """Picks and does. `done` counts what was done, `open` how many mails that may have brought twice besides kills;
    `ends` has each act with the moment at which it was over."""

    def __init__(self, fleet: Fleet, dice: random.Random) -> None:
        self.fleet, self.dice = fleet, dice
        self.done: collections.Counter[str] = collections.Counter()
        self.open = 0
        self.ends: list[tuple[float, str]] = []
        self.kills: dict[str, Callable[[], Awaitable[None]]] = {
            "kill api": self.kill_api,
            "kill worker": self.kill_worker,
            "kill render process or zygote": self.kill_render,
            "kill and wipe valkey": self.wipe_valkey,
            "crash postgres": self.crash_postgres,
        }
        self.others: dict[str, Callable[[], Awaitable[None]]] = {
            "stop a worker": self.stop_worker,
            "cut a line": self.cut_line,
            "misbehave": self.misbehave,
            "empty the dist folder": self.empty_dist,
        }
        if fleet.dist.there:
            self.others["fill the disk of the dist folder"] = self.fill_dist
        if fleet.clocks is not None and fleet.clocks.there:
            self.others["set a clock"] = self.set_clock

    async def act(self) -> None:
        """A kill, or one of the others, or one of each at once."""
        which = self.dice.choice(["kill", "kill", "kill", "other", "both"])
        kills, others = (sorted(name for name in faults if ONLY in name) for faults in (self.kills, self.others))
        names = [self.dice.choice(kills)] if kills and which != "other" else []
        names += [self.dice.choice(others)] if others and which != "kill" else []
        await asyncio.gather(*((self.kills | self.others)[name]() for name in names))
        self.done.update(names)
        self.ends.append((time.monotonic(), " and ".join(names)))

    def blame(self, load: Load) -> collections.Counter[str]:
        """Duplicates by the act that came after the first yes: that one kept it from being booked."""
        mailbox, blamed = self.fleet.mailbox, collections.Counter[str]()
        for message in load.accepted:
            if (repeats := mailbox.taken[message] - 1) > 0:
                name = next((name for end, name in self.ends if end >= mailbox.first[message]), "the end")
                blamed[name] += repeats
        return blamed

    @property
    def killed(self) -> int:
        return sum(self.done[name] for name in self.kills)

    async def kill_api(self) -> None:
        await asyncio.to_thread(self.fleet.kill, f"api-{self.dice.randrange(APIS)}")

    async def kill_worker(self) -> None:
        await asyncio.to_thread(self.fleet.kill, f"worker-{self.dice.randrange(WORKERS)}")

    async def kill_render(self) -> None:
        name, which = f"worker-{self.dice.randrange(WORKERS)}", self.dice.random()
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            pids = self.fleet.pids(name)
            psutil.Process(pids[int(which * len(pids))]).kill()

    async def wipe_valkey(self) -> None:
        await asyncio.to_thread(self.fleet.wipe_valkey)

    async def crash_postgres(self) -> None:
        await asyncio.to_thread(self.fleet.crash_postgres)
        self.open += SESSIONS // 8

    async def stop_worker(self) -> None:
        role = self.fleet.roles[f"worker-{self.dice.randrange(WORKERS)}"]
        self.open += SESSIONS
        role.tell(signal.SIGSTOP)
        await asyncio.sleep(self.dice.uniform(0.2, 2) * LEASE)
        role.tell(signal.SIGCONT)

    async def cut_line(self) -> None:
        name = self.dice.choice(sorted(self.fleet.lines))
        self.open += SESSIONS * name.startswith("worker")
        self.fleet.lines[name].cut(self.dice.choice(["freeze", "reset"]))
        await asyncio.sleep(self.dice.uniform(0.1, 1.5) * LEASE)
        self.fleet.lines[name].cut("pass")

    async def misbehave(self) -> None:
        self.fleet.mailbox.manner = self.dice.choice(MANNERS)
        await asyncio.sleep(self.dice.uniform(0.2, 1.5))
        self.fleet.mailbox.manner = "good"

    async def empty_dist(self) -> None:
        self.fleet.dist.empty()
        write_templates(self.fleet.templates, f"<!-- {self.dice.random()} -->")

    async def fill_dist(self) -> None:
        """There are new revisions, for which there is no room."""
        self.fleet.dist.fill()
        write_templates(self.fleet.templates, f"<!-- {self.dice.random()} -->")
        await asyncio.sleep(self.dice.uniform(0.5, 2))
        self.fleet.dist.empty()

    async def set_clock(self) -> None:
        """By up to an hour, and back; Valkey's only forward, since an open circuit is dated by it."""
        clocks, name = self.fleet.clocks, self.dice.choice(PARTS)
        assert clocks is not None
        step = self.dice.choice([3, 60, HOUR]) * self.dice.uniform(-1, 1)
        clocks.set(name, clocks.ahead[name] + abs(step) if name == "valkey" else step)


async def test_whatever_happens_every_accepted_mail_is_sent(fleet: Fleet) -> None:
    print(f"CHAOS_SEED={SEED} CHAOS_KILLS={KILLS} CHAOS_RATE={RATE:g}")
    chaos, ended = Chaos(fleet, random.Random(SEED)), []
    async with fleet.load(RATE).flowing() as load:
        while chaos.killed < KILLS:
            await chaos.act()
            ended += fleet.revive()
            await asyncio.sleep(chaos.dice.uniform(0.3, 1.5))
            _say(chaos, load)
    report = await fleet.audit(load)
    print(f"{report}, worker kills {fleet.worker_kills}, {dict(chaos.done)}, {dict(load.statuses)}")
    print(f"duplicates by what came between: {dict(chaos.blame(load))}")
    assert not ended, f"they ended by themselves: {ended}"
    report.check(3 + PER_KILL * fleet.worker_kills + chaos.open)


def _say(chaos: Chaos, load: Load) -> None:
    if sum(chaos.done.values()) % 10 == 0:
        print(f"{chaos.killed} kills, {len(load.accepted)} accepted, {sum(load.statuses.values())} answers", flush=True)
