"""Artifacts just in time: one compilation among many processes, and none of the places that keep them is needed."""

from __future__ import annotations

import asyncio
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from mailboat.db import valkey
from mailboat.domain.message import Rendered
from mailboat.domain.revision import Revision, Sources, revise
from mailboat.errors import TemplateFault
from mailboat.render import artifacts
from mailboat.render.artifacts import Artifacts
from mailboat.render.base import Job
from mailboat.render.pools import Pools

KEY = b"k" * 32
SEALING_KEY = "c2VhbGluZyBrZXkgb2YgYWxsIHRlc3RzLCAzMiBvY3Q="

PROCESS = """
import asyncio, sys
from pathlib import Path
from mailboat.db import valkey
from mailboat.domain.revision import Sources, revise
from mailboat.render import artifacts
from mailboat.render.base import Job
from mailboat.render.pools import Pools

async def main(url, dist, key, hang):
    redis, folder = valkey.client(url), Path(dist) if dist else None
    kept = artifacts.Artifacts(folder, redis, artifacts.key_of(key, folder))
    revision = revise("mail", Sources(engine="jinja", entry="a", files={"a": "<p>Hello {{ name }}</p>"}))
    async def forever(revision):
        print("compiling", flush=True)
        await asyncio.sleep(60)
    if hang:
        await kept.get(revision, forever)
    pools = Pools(1, artifacts=kept)
    print("ready", flush=True)
    sys.stdin.readline()
    (outcome,) = await pools.render([Job(revision, b'{"name": "Ada"}')])
    print(kept.compiled, outcome.html, flush=True)
    await pools.close()
    await redis.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


def revision(text: str = "<p>Hello {{ name }}</p>") -> Revision:
    return revise("mail", Sources(engine="jinja", entry="a", files={"a": text}))


def process(url: str, dist: Path | str = "", key: str = SEALING_KEY, hang: str = "") -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", PROCESS, url, str(dist), key, hang]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def answers(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Let all of them render at once; what they say."""
    for each in processes:
        assert line(each) == "ready"
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    found = [line(each) for each in processes]
    for each in processes:
        each.communicate(timeout=20)
    return found


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = valkey.client(redis_url)
    yield client
    await client.aclose()


class Compiler:
    """Counts, and takes its time."""

    def __init__(self, seconds: float = 0.0, artifact: bytes = b"artifact") -> None:
        self.count, self.seconds, self.artifact = 0, seconds, artifact

    async def __call__(self, revision: Revision) -> bytes:
        self.count += 1
        await asyncio.sleep(self.seconds)
        return self.artifact


@pytest.mark.parametrize("has_dist", [False, True])
def test_five_processes_that_want_a_new_template_compile_it_once(
    has_dist: bool, redis_url: str, tmp_path: Path
) -> None:
    processes = [process(redis_url, tmp_path / "dist" if has_dist else "") for _ in range(5)]
    found = answers(processes)
    assert [each.partition(" ")[2] for each in found] == ["<p>Hello Ada</p>"] * 5
    assert sorted(int(each.partition(" ")[0]) for each in found) == [0, 0, 0, 0, 1]


def test_without_valkey_each_process_compiles_for_itself(tmp_path: Path) -> None:
    processes = [process(f"unix://{tmp_path}/nobody.sock") for _ in range(2)]
    assert answers(processes) == ["1 <p>Hello Ada</p>"] * 2


def test_a_shared_folder_alone_is_enough_later(tmp_path: Path) -> None:
    nobody = f"unix://{tmp_path}/nobody.sock"
    assert answers([process(nobody, tmp_path / "dist", "")]) == ["1 <p>Hello Ada</p>"]
    assert answers([process(nobody, tmp_path / "dist", "")]) == ["0 <p>Hello Ada</p>"]


async def test_when_the_one_that_compiles_is_killed_another_takes_over(redis_url: str, redis: Redis) -> None:
    holder = await asyncio.to_thread(process, redis_url, "", SEALING_KEY, "hang")
    assert await asyncio.to_thread(line, holder) == "compiling"
    ours, compiler = Artifacts(None, redis, artifacts.key_of(SEALING_KEY, None)), Compiler()
    waiting = asyncio.create_task(ours.get(revision(), compiler))
    await asyncio.sleep(1.5)  # longer than the lock lasts: it is renewed
    assert not waiting.done()
    killed = time.monotonic()
    holder.kill()
    assert await waiting == b"artifact"
    assert time.monotonic() - killed < 2
    assert compiler.count == 1
    await asyncio.to_thread(holder.communicate)


async def test_the_lock_is_given_back_when_compiling_fails(redis: Redis) -> None:
    async def broken(_: Revision) -> bytes:
        raise TemplateFault("no")

    with pytest.raises(TemplateFault):
        await Artifacts(None, redis, KEY).get(revision(), broken)
    assert await redis.keys() == []


@pytest.mark.parametrize(("message", "count"), [("no", 1), ("took longer than 2 s to compile and was stopped", 3)])
async def test_a_fault_is_not_compiled_again_at_once_unless_time_was_short(message: str, count: int) -> None:
    seen = []

    async def broken(_: Revision) -> bytes:
        seen.append(message)
        raise TemplateFault(message)

    kept = Artifacts()
    for _ in range(3):
        with pytest.raises(TemplateFault, match=message):
            await kept.get(revision(), broken)
    assert len(seen) == count


async def test_those_who_ask_in_one_process_share_the_answer_and_may_leave() -> None:
    kept, compiler = Artifacts(), Compiler(0.05)
    asking = [asyncio.create_task(kept.get(revision(), compiler)) for _ in range(5)]
    await asyncio.sleep(0.01)
    asking[0].cancel()
    assert await asyncio.gather(*asking[1:]) == [b"artifact"] * 4
    assert compiler.count == 1
    assert kept.known(revision().digest) == b"artifact"


async def test_a_dist_volume_may_be_emptied_and_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    compiler = Compiler()
    await Artifacts(folder, None, KEY).get(revision(), compiler)
    await Artifacts(folder, None, KEY).get(revision(), compiler)
    assert compiler.count == 1
    for file in folder.glob("*/*"):
        file.unlink()
    for each in folder.iterdir():
        each.rmdir()
    folder.rmdir()
    await Artifacts(folder, None, KEY).get(revision(), compiler)
    await Artifacts(folder, None, KEY).get(revision(), compiler)
    assert compiler.count == 2


@pytest.mark.parametrize("place", ["/proc/none", "/dev/full/x", "/dev/null/x"])
async def test_a_dist_volume_that_takes_nothing_costs_nothing_but_time(place: str) -> None:
    compiler = Compiler()
    kept = Artifacts(Path(place), None, KEY)
    assert await kept.get(revision(), compiler) == b"artifact"
    assert await kept.get(revision(), compiler) == b"artifact"
    assert compiler.count == 1


async def test_a_full_volume_leaves_no_half_files(tmp_path: Path) -> None:

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        kept = Artifacts(tmp_path, None, KEY)
        assert len(await kept.get(revision(), Compiler(artifact=b"x" * 5000))) == 5000
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, previous)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: b"",
        lambda kept: kept[:-1],
        lambda kept: kept[:-1] + bytes([kept[-1] ^ 1]),
        lambda kept: b"\0" * 32 + kept[32:],
        lambda kept: artifacts.sealed(b"other key", artifacts.name_of(revision()), b"evil"),
        lambda kept: artifacts.sealed(KEY, artifacts.name_of(revision("other")), b"other"),
    ],
)
async def test_what_was_not_written_by_us_is_never_used(
    damage: Callable[[bytes], bytes], tmp_path: Path, redis: Redis
) -> None:
    await Artifacts(tmp_path, redis, KEY).get(revision(), Compiler())
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    (key,) = await redis.keys()
    file.write_bytes(damage(file.read_bytes()))
    await redis.set(key, damage(await redis.get(key)))
    compiler = Compiler()
    assert await Artifacts(tmp_path, redis, KEY).get(revision(), compiler) == b"artifact"
    assert compiler.count == 1
    await Artifacts(tmp_path, None, KEY).get(revision(), compiler)
    await Artifacts(None, redis, KEY).get(revision(), compiler)
    assert compiler.count == 1  # both were mended


def test_the_key_of_a_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    key = artifacts.key_of("", folder)
    assert key == artifacts.key_of("", folder)
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
    folder.chmod(0o777)
    assert artifacts.key_of("", folder) is None
    folder.chmod(0o700)
    (folder / "key").chmod(0o666)
    assert artifacts.key_of("", folder) is None


def test_the_sealing_key_comes_first_and_is_not_itself_the_key(tmp_path: Path) -> None:
    key = artifacts.key_of(f"{SEALING_KEY}, older", tmp_path)
    assert key == artifacts.key_of(SEALING_KEY, None)
    assert key not in (None, SEALING_KEY.encode())
    assert list(tmp_path.iterdir()) == []
    assert artifacts.key_of("", None) is None


async def test_old_artifacts_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MOST_FILES", 10)
    kept = Artifacts(tmp_path, None, KEY)
    for number in range(25):
        await kept.get(revision(str(number)), Compiler())
        assert len(list(tmp_path.glob("??/*"))) <= 10
    assert await Artifacts(tmp_path, None, KEY).get(revision("24"), Compiler(artifact=b"new")) == b"artifact"


async def test_a_dead_valkey_is_asked_once_and_then_left_alone(tmp_path: Path) -> None:
    redis = valkey.client(f"unix://{tmp_path}/nobody.sock")
    kept, compiler = Artifacts(None, redis, KEY), Compiler()
    for number in range(20):
        await kept.get(revision(str(number)), compiler)
    assert compiler.count == 20
    await redis.aclose()


async def test_a_broken_template_fails_its_own_mails_only() -> None:
    pools = Pools(1)
    jobs = [Job(revision(text), b'{"name": "Ada"}') for text in ("{% if", "ok {{ name }}", "{% if")]
    found = await pools.render(jobs)
    await pools.close()
    assert [type(each) for each in found] == [TemplateFault, Rendered, TemplateFault]
