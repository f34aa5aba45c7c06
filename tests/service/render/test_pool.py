"""The pool: batches, loops, deaths of children and of the zygote, cancellation, renewal."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import psutil
import pytest
import uvloop

from mailboat.domain.message import Rendered
from mailboat.errors import RenderUnavailable, TemplateFault
from mailboat.render import limits, wire
from mailboat.render.base import Job, Outcome
from mailboat.render.child import Child
from mailboat.render.pool import Pool
from mailboat.render.process import Process
from mailboat.render.work import Work

JobMaker = Callable[..., Job]
PoolMaker = Callable[..., Pool]

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
STUCK = "{{ ('a' * 1000000).rfind('ab' ~ 'a' * 400000) }}"  # one long call in C: no timer interrupts it
BUSY = "{% for a in range(60) %}{{ range(9999)|sum }}{% endfor %}{{ n }}"  # some milliseconds


def texts(outcomes: Sequence[Outcome]) -> list[str | None]:
    return [each.text if isinstance(each, Rendered) else None for each in outcomes]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 (what is waited for happens in the kernel)
            await asyncio.sleep(0.002)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_outcomes_come_in_the_order_of_the_jobs(pool: Pool, job: JobMaker) -> None:
    jobs = [job("{{ n }}", {"n": n}, subject=str(n % 7)) for n in range(300)]
    assert texts(await pool.render(jobs)) == [str(n) for n in range(300)]


async def test_no_jobs_are_no_outcomes(pool: Pool) -> None:
    assert await pool.render([]) == []


async def test_the_spare_starts_when_the_first_mail_is_under_way(good: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailboat.render.pool.SPARE_SECONDS", 60)
    begun: list[int] = []  # processes at each answer

    class Watched(Pool):
        def answered(self, process: Process, work: Work, answer: wire.Answer) -> None:
            begun.append(len(self.pids))
            super().answered(process, work, answer)

    pool = Watched(1)
    try:
        await pool.render([good])
        await until(lambda: len(pool.pids) == 2)
    finally:
        await pool.close()
    assert begun[0] == 1


async def test_a_pool_starts_by_itself_at_its_first_render(make_pool: PoolMaker, good: Job) -> None:
    pool = make_pool(1)
    assert isinstance((await pool.render([good]))[0], Rendered)


@pytest.mark.parametrize("source", [LOOP, STUCK], ids=["interrupted", "killed"])
async def test_of_64_mails_the_one_that_loops_fails_alone(source: str, pool: Pool, job: JobMaker) -> None:
    jobs = [job("{{ n }}", {"n": n}) for n in range(64)]
    jobs[20] = job(source)
    found = await pool.render(jobs)
    assert isinstance(found[20], TemplateFault)
    assert "took longer than 200 ms" in found[20].message
    assert texts(found) == [str(n) if n != 20 else None for n in range(64)]
    await until(lambda: len(pool.pids) == 3)


async def test_many_loops_in_one_batch_are_each_their_own_fault(pool: Pool, job: JobMaker) -> None:
    jobs = [job(STUCK if n % 4 == 0 else "{{ n }}", {"n": n}) for n in range(16)]
    found = await pool.render(jobs)
    assert texts(found) == [None if n % 4 == 0 else str(n) for n in range(16)]
    assert pool.killed == 4


async def test_what_a_process_had_no_time_for_is_rendered_by_another(make_pool: PoolMaker, good: Job) -> None:
    pool = make_pool(1)
    await pool.start()
    os.kill(pool._idle[-1].pid, signal.SIGSTOP)
    assert isinstance((await pool.render([good]))[0], Rendered)
    assert pool.killed == 1
    await until(lambda: len(pool.pids) == 2)


async def test_mail_that_no_process_had_time_for_waits_and_does_not_fail(make_pool: PoolMaker, good: Job) -> None:
    pool = make_pool(1)
    await pool.start()
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    (found,) = await pool.render([good])
    assert isinstance(found, RenderUnavailable)
    assert limits.STARVED in str(found)
    assert pool.killed == 2
    assert isinstance((await pool.render([good]))[0], Rendered)


def test_a_parent_that_was_kept_waiting_reads_before_it_judges(good: Job) -> None:
    class Held(selectors.DefaultSelector):
        """Looks at once whether there is anything to read, and tells half a second later: the CPU was elsewhere."""

        armed = False

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if not self.armed:
                return super().select(timeout)
            self.armed = False
            found = super().select(0)
            time.sleep(0.5)
            return found

    async def kept_waiting() -> None:
        pool = Pool(1)
        try:
            await pool.start()
            await pool.render([good])
            rendering = asyncio.create_task(pool.render([good]))
            await asyncio.sleep(0)  # it has been sent
            held.armed = True
            assert isinstance((await rendering)[0], Rendered)
            assert pool.killed == 0
        finally:
            await pool.close()

    held = Held()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(held)) as runner:
        runner.run(kept_waiting())


async def test_a_broken_revision_fails_every_mail_of_it_and_no_other(pool: Pool, job: JobMaker) -> None:
    jobs = [job("{% if %}" if n % 2 else "{{ n }}", {"n": n}) for n in range(40)]
    found = await pool.render(jobs)
    assert texts(found) == [None if n % 2 else str(n) for n in range(40)]
    assert all(isinstance(each, TemplateFault) and each.line == 1 for each in found[1::2])


async def test_a_killed_child_costs_no_mail(pool: Pool, job: JobMaker) -> None:
    jobs = [job(BUSY, {"n": n}) for n in range(64)]
    rendering = asyncio.create_task(pool.render(jobs))
    await asyncio.sleep(0.02)
    os.kill(pool.pids[0], signal.SIGKILL)  # once: a mail whose process ends twice is taken for the cause
    assert all(isinstance(each, Rendered) for each in await rendering)
    assert pool.died == 1
    await until(lambda: len(pool.pids) == 3)


async def test_a_killed_zygote_costs_no_mail(pool: Pool, job: JobMaker) -> None:
    zygote, before = pool.zygote_pid, pool.pids
    rendering = asyncio.create_task(pool.render([job(BUSY, {"n": n}) for n in range(64)]))
    await asyncio.sleep(0.03)
    assert zygote is not None
    os.kill(zygote, signal.SIGKILL)
    assert all(isinstance(each, Rendered) for each in await rendering)
    await until(lambda: len(pool.pids) == 3)
    assert pool.zygote_pid != zygote
    assert not any(is_alive(pid) for pid in [zygote, *before])


async def test_a_job_that_ends_its_process_twice_is_given_up(make_pool: PoolMaker, job: JobMaker, good: Job) -> None:
    pool = make_pool(1)
    await pool.start()
    deadly = job(LOOP)
    rendering = asyncio.create_task(pool.render([good, deadly, good]))
    for _ in range(2):
        deaths = pool.died
        await until(lambda: len(pool.pids) == 2)
        await asyncio.sleep(0.05)
        for pid in pool.pids:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.died > deaths)  # noqa: B023 (awaited in the same turn)
    found = await rendering
    assert isinstance(found[0], Rendered)
    assert isinstance(found[1], TemplateFault)
    assert isinstance(found[2], Rendered)


async def test_a_cancelled_call_disturbs_no_other(pool: Pool, job: JobMaker) -> None:
    cancelled = [asyncio.create_task(pool.render([job(BUSY, {"n": n}) for n in range(64)])) for _ in range(4)]
    await asyncio.sleep(0.01)
    others = asyncio.create_task(pool.render([job("{{ n }}", {"n": n}) for n in range(64)]))
    for task in cancelled:
        task.cancel()
    assert texts(await others) == [str(n) for n in range(64)]
    ended = await asyncio.gather(*cancelled, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)
    assert len(pool.pids) == 3


async def test_more_revisions_than_a_process_keeps_are_all_rendered(make_pool: PoolMaker, job: JobMaker) -> None:
    pool = make_pool(1)
    await pool.start()
    before = pool.pids
    jobs = [job(f"{n} {{{{ n }}}}", {"n": n}) for n in range(300)]
    for _ in range(2):
        assert texts(await pool.render(jobs)) == [f"{n} {n}" for n in range(300)]
    assert pool.pids == before


async def test_a_process_is_renewed_after_enough_renders(make_pool: PoolMaker, good: Job) -> None:
    pool = make_pool(1, recycle=10)
    await pool.start()
    before = pool.pids
    for _ in range(10):
        assert all(isinstance(each, Rendered) for each in await pool.render([good] * 8))
    await until(lambda: len(pool.pids) == 2)
    assert not set(before) & set(pool.pids)
    assert (pool.killed, pool.died) == (0, 0)


async def test_jobs_too_large_for_one_frame_are_rendered_too(pool: Pool, job: JobMaker) -> None:
    jobs = [job("{{ text|length }}", {"text": "x" * 900_000}) for _ in range(20)]
    assert texts(await pool.render(jobs)) == ["900000"] * 20


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_an_answer_that_waits_unread_is_not_late(
    new_loop: Callable[[], asyncio.AbstractEventLoop], job: JobMaker
) -> None:
    """The loop was blocked past the deadline: it must see the answer before the deadline."""

    async def main() -> None:
        pool = Pool(1)
        await pool.start()
        rendering = asyncio.create_task(pool.render([job("{{ n }}", {"n": n}) for n in range(64)]))
        await asyncio.sleep(0.001)
        late = asyncio.create_task(pool.render([job("{{ n }}", {"n": 1})]))
        await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251 (the loop is what is slow here)
        assert texts(await rendering) == [str(n) for n in range(64)]
        assert texts(await late) == ["1"]
        assert pool.killed == 0
        await pool.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


async def test_a_zygote_that_hangs_is_replaced(make_pool: PoolMaker, good: Job) -> None:
    pool = make_pool(1, patience=2.0)
    await pool.start()
    zygote = pool.zygote_pid
    assert zygote is not None
    os.kill(zygote, signal.SIGSTOP)
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: pool.zygote_pid not in (None, zygote) and len(pool.pids) == 2)
    assert isinstance((await pool.render([good]))[0], Rendered)
    assert not is_alive(zygote)


def test_an_unknown_engine_is_a_fault() -> None:
    packed = Child().answer(wire.Render("digest", "none", b"{}", None))
    answer = wire.answers.decode(packed[wire.HEADER :])
    assert isinstance(answer, wire.Failed)
    assert "no engine 'none'" in answer.message


async def test_without_processes_jobs_are_unavailable_after_a_while(
    make_pool: PoolMaker, good: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    pool = make_pool(1, patience=2.0)
    (found,) = await asyncio.wait_for(pool.render([good]), 30)
    assert isinstance(found, RenderUnavailable)
    monkeypatch.undo()
    await until(lambda: len(pool.pids) == 2)
    assert isinstance((await pool.render([good]))[0], Rendered)


async def test_closing_ends_every_process_and_answers_every_job(make_pool: PoolMaker, job: JobMaker) -> None:
    pool = make_pool(1)
    await pool.start()
    processes = [*pool.pids, pool.zygote_pid or 0]
    rendering = asyncio.create_task(pool.render([job(LOOP)] * 3))
    await asyncio.sleep(0.02)
    await pool.close()
    assert all(isinstance(each, RenderUnavailable) for each in await rendering)
    assert not any(is_alive(pid) for pid in processes)
    with pytest.raises(RenderUnavailable):
        await pool.render([job("")])


def test_processes_die_with_a_killed_parent() -> None:
    """The parent is a program of its own, killed while its pool renders."""
    program = (
        "import asyncio\nfrom mailboat.render.pool import Pool\n"
        "async def main():\n"
        "    pool = Pool(1)\n    await pool.start()\n"
        "    print(pool.zygote_pid, *pool.pids, flush=True)\n    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        processes = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(processes) == 3
        parent.kill()
    end = time.monotonic() + 5
    while any(is_alive(pid) for pid in processes) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(is_alive(pid) for pid in processes)


async def test_memory_stays_where_it_is_over_some_thousand_renders(make_pool: PoolMaker, job: JobMaker) -> None:
    def resident() -> int:
        """KiB of the largest render process."""
        return max(psutil.Process(pid).memory_info().rss for pid in pool.pids) // 1024

    pool = make_pool(1)
    jobs = [job("{% for i in items %}<p>{{ i }}</p>{% endfor %}", {"items": list(range(50))})] * 64
    await pool.render(jobs * 10)
    before = resident()
    for _ in range(8):
        await pool.render(jobs * 5)
    assert resident() - before < 4096


async def test_a_mail_that_waits_for_the_cpu_is_not_late(make_pool: PoolMaker, job: JobMaker) -> None:
    """Its time is the CPU's: while eight others compete for its core, the wall's 200 ms pass and it is rendered."""
    pool = make_pool(1)
    await pool.start()
    (probe,) = await pool.render([job(BUSY, {"n": 0})])
    assert isinstance(probe, Rendered)
    core = min(os.sched_getaffinity(0))
    rivals = [await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass") for _ in range(8)]
    try:
        for pid in (*pool.pids, *(rival.pid for rival in rivals)):
            os.sched_setaffinity(pid, {core})
        found = await pool.render([job(BUSY * 12, {"n": n}) for n in range(3)])
        assert [type(each) for each in found] == [Rendered] * 3
        assert pool.killed == 0
        (endless,) = await pool.render(
            [job("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", {})]
        )
        assert isinstance(endless, TemplateFault)
    finally:
        for rival in rivals:
            rival.kill()
            await rival.wait()
