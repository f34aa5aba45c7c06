import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from mailboat.cli import supervisor
from mailboat.cli.supervisor import Part, PartFailed, Supervisor

SECONDS = 60.0


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def shell(script: str, **fields: object) -> Part:
    return Part(name=str(fields.pop("name", "part")), argv=("/bin/sh", "-c", script), **fields)  # type: ignore[arg-type]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def parts(tmp_path: Path, said: list[str]) -> AsyncIterator[Supervisor]:
    kept = Supervisor(tmp_path, said.append)
    yield kept
    kept.kill()
    await kept.stop()


async def test_a_part_killed_with_kill_9_is_started_again(parts: Supervisor, said: list[str]) -> None:
    await parts.start(shell("exec sleep 60"))
    first = parts.children["part"].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: parts.children["part"].pid not in (None, first))
    assert any("killed by SIGKILL: starting it again" in line for line in said)


async def test_a_start_waits_until_the_part_is_ready(parts: Supervisor, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    async def ready(_pid: int) -> bool:
        return flag.exists()

    await parts.start(shell(f"sleep 0.2; touch {flag}; exec sleep 60", ready=ready))
    assert flag.exists()


async def test_a_part_that_calls_its_settings_wrong_is_given_up_at_once(parts: Supervisor) -> None:
    async def never(_pid: int) -> bool:
        return False

    with pytest.raises(PartFailed, match="ended with exit code 2") as failure:
        await parts.start(shell("exit 2", ready=never))
    assert failure.value.code == 2


async def test_a_part_that_dies_again_and_again_before_it_is_ready_is_given_up(parts: Supervisor) -> None:
    async def never(_pid: int) -> bool:
        return False

    with pytest.raises(PartFailed, match="ended with exit code 3"):
        await parts.start(shell("exit 3", ready=never))


async def test_a_part_that_is_never_ready_ends_the_wait(parts: Supervisor) -> None:
    async def never(_pid: int) -> bool:
        return False

    with pytest.raises(PartFailed, match="was not ready within"):
        await parts.start(shell("exec sleep 60", ready=never), within=0.2)


async def test_a_program_that_is_not_there_is_a_failed_start(parts: Supervisor, said: list[str]) -> None:
    async def never(_pid: int) -> bool:
        return False

    with pytest.raises(PartFailed):
        await parts.start(Part(name="part", argv=("/nowhere/program",), ready=never))
    assert "part cannot be started" in said[0]


async def test_a_death_before_the_part_was_ready_is_mended_and_one_after_is_not(
    parts: Supervisor, tmp_path: Path
) -> None:
    damaged, mended = tmp_path / "damaged", []
    damaged.touch()

    def mend() -> None:
        mended.append(damaged.exists())
        damaged.unlink()

    async def ready(_pid: int) -> bool:
        return not damaged.exists()

    await parts.start(shell(f"test -e {damaged} && exit 1; exec sleep 60", ready=ready, mend=mend))
    assert mended == [True]
    first = parts.children["part"].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: parts.children["part"].pid not in (None, first))
    assert mended == [True]


async def test_groups_stop_in_the_reverse_order_of_their_start(parts: Supervisor, tmp_path: Path) -> None:
    order = tmp_path / "order"
    trap = "trap 'sleep 0.1; echo {0} >> {1}; exit 0' TERM; touch {1}.{0}; while :; do sleep 0.02; done"
    for name in ("database", "worker", "api"):
        await parts.start(shell(trap.format(name, order), name=name))
        await until(Path(f"{order}.{name}").exists)
    await parts.stop()
    assert order.read_text().split() == ["api", "worker", "database"]


async def test_a_part_that_does_not_stop_in_time_is_killed_with_all_it_started(
    parts: Supervisor, tmp_path: Path
) -> None:
    grandchild = tmp_path / "grandchild"
    script = f"trap '' TERM; sleep 600 & echo $! > {grandchild}.new; mv {grandchild}.new {grandchild}; wait; wait"
    await parts.start(shell(script, stop_seconds=0.2))
    await until(grandchild.exists)
    pid = int(grandchild.read_text())
    await parts.stop()
    assert parts.children["part"].pid is None
    await until(lambda: gone(pid))


async def test_a_part_is_stopped_while_it_waits_to_be_started_again(parts: Supervisor) -> None:
    await parts.start(shell("exit 1"))
    await until(lambda: parts.children["part"].pid is None)
    await asyncio.wait_for(parts.stop(), SECONDS)
    assert parts.children["part"].pid is None


async def test_a_one_time_program_that_fails_is_told_with_its_last_line(parts: Supervisor) -> None:
    with pytest.raises(PartFailed, match="ended with exit code 7: the disk is full"):
        await parts.run(shell("echo starting; echo the disk is full; exit 7"))


async def test_lines_worth_telling_reach_the_terminal_and_all_of_them_the_log(
    parts: Supervisor, said: list[str], tmp_path: Path
) -> None:
    def loud(line: str) -> str | None:
        return line if line.startswith("!") else None

    await parts.start(shell("echo quiet; echo '! loud'; exec sleep 60", echo=loud))
    await until(lambda: said)
    assert said == ["part: ! loud"]
    assert (tmp_path / "part.log").read_text() == "quiet\n! loud\n"


SUPERVISOR = """
import asyncio, signal, sys
from pathlib import Path
from mailboat.cli.supervisor import Part, Supervisor

async def main():
    parts = Supervisor(Path(sys.argv[1]), print)
    script = "trap 'echo {0} > " + sys.argv[1] + "/{0}; exit' {0}; echo $$; while :; do sleep 0.02; done"
    for name, how in {
        "TERM": {},
        "INT": {"stop_signal": signal.SIGINT},
        "USR1": {"stop_signal": signal.SIGINT, "leash": signal.SIGUSR1},
    }.items():
        await parts.start(Part(name=name, argv=("/bin/sh", "-c", script.format(name)), **how))
        print(parts.children[name].pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's leash is Linux's")
async def test_children_get_their_leash_or_stop_signal_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(SUPERVISOR), str(tmp_path), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    pids = [int(await process.stdout.readline()) for _ in range(3)]
    for name in ("TERM", "INT", "USR1"):  # the traps are set once the shell has told its id
        await until(partial(has_text, tmp_path / f"{name}.log"))
    process.kill()
    await process.communicate()
    await until(lambda: all(gone(pid) for pid in pids))
    assert all((tmp_path / name).exists() for name in ("TERM", "INT", "USR1"))


def has_text(path: Path) -> bool:
    return path.exists() and bool(path.read_text())


def gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_the_pause_doubles_and_is_capped() -> None:
    for deaths in range(1, 200):
        longest = min(supervisor.LONGEST_PAUSE, supervisor.FIRST_PAUSE * 2.0 ** (deaths - 1))
        assert longest / 2 <= supervisor.pause(deaths) <= longest


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ended with exit code 0"), (-9, "was killed by SIGKILL"), (-250, "was killed by signal 250")],
)
def test_an_end_is_told_in_words(code: int, words: str) -> None:
    assert supervisor.describe(code) == words


async def test_a_part_that_ended_with_a_fault_is_not_confirmed(parts: Supervisor) -> None:
    await parts.start(shell("exec sleep 60", name="steady"))
    parts.confirm()
    await parts.start(shell("exit 1", name="faulty"))
    await until(lambda: parts.children["faulty"].faults)
    with pytest.raises(PartFailed, match="faulty does not keep running"):
        parts.confirm()
