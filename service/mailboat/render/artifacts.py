"""Artifacts just in time: RAM, then the dist volume, then Valkey, and only then a compiler, once among all processes.

What lies in the dist volume or in Valkey is a cache: it may vanish at any time, and nothing but time is lost.

An artifact is code that runs in a render process: Python bytecode, or JavaScript. Whoever may write to Valkey or to the
volume is not thereby allowed to run code here, so every copy outside of RAM carries an HMAC over its name and content,
under a key that neither of the two places holds: derived from MAILBOAT_SEALING_KEY, which all replicas have and which
is random (a key derived from, say, the database's password would let readers of Valkey guess that password at leisure).
Without that setting the key is a random file in the volume, for its owner alone: processes that share the volume then
trust each other, and whoever can write there as that owner could as well change our own files. Without either, nothing
is shared. A copy that does not verify is compiled anew, and overwritten.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mailboat.domain.revision import ENGINE_VERSION, Revision
from mailboat.errors import TemplateFault
from mailboat.render import limits, react_v8
from mailboat.render.lru import Lru
from mailboat.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

KEPT_IN_RAM = 256
MOST_FILES = 4000
"""In the dist volume; above it the oldest half goes."""
VALKEY_SECONDS = 7 * 86_400
LOCK_SECONDS = 1.0
"""A lock that is not renewed for so long is free: its holder is dead."""
RENEW_SECONDS = 0.3
POLL_SECONDS = (0.01, 0.1)
QUIET_SECONDS = 2.0
"""After a failure of Valkey, do without for so long."""
FAULT_SECONDS = 10.0
"""How long a template that does not compile is not tried again."""
MAC_BYTES = 32
LARGEST = 64 << 20
_PASSING = (limits.TOO_SLOW_TO_COMPILE, limits.TOO_MUCH_MEMORY, "ended the render process")  # with luck, not next time

# KEYS: lock; ARGV: token, milliseconds. Both only while the lock is ours.
RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

Compile = Callable[[Revision], Awaitable[bytes]]


def of(settings: Settings, redis: Redis | None) -> Artifacts:
    """The artifacts of a process with these settings."""
    dist = Path(settings.dist) if settings.dist else None
    return Artifacts(dist, redis, key_of(settings.sealing_key, dist))


class Artifacts:
    """One per process. `dist`: the folder, or None.  `key`: see `key_of`; None: nothing is shared."""

    def __init__(self, dist: Path | None = None, redis: Redis | None = None, key: bytes | None = None) -> None:
        self.compiled = 0
        """How often this process compiled."""
        self._dist = Dist(dist, key) if dist and key else None
        self._shared = Shared(redis, key) if redis is not None and key else None
        self._ram: Lru[str, bytes] = Lru(KEPT_IN_RAM)
        self._faults: Lru[str, tuple[TemplateFault, float]] = Lru(KEPT_IN_RAM)
        self._under_way: dict[str, asyncio.Task[bytes]] = {}

    def known(self, digest: str) -> bytes | None:
        """The artifact, if it is in RAM."""
        return self._ram.get(digest)

    async def get(self, revision: Revision, compile_: Compile) -> bytes:
        """The artifact, from wherever it is. Raises what compiling it raises."""
        digest = revision.digest
        if (found := self._ram.get(digest)) is not None:
            return found
        fault = self._faults.get(digest)
        if fault and time.monotonic() < fault[1]:
            raise fault[0].with_traceback(None)
        task = self._under_way.get(digest)
        if task is None:
            task = self._under_way[digest] = asyncio.create_task(self._fetch(revision, compile_))
            task.add_done_callback(lambda done: self._done(digest, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, digest: str, task: asyncio.Task[bytes]) -> None:
        del self._under_way[digest]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._ram[digest] = task.result()
        elif isinstance(error, TemplateFault) and not error.message.startswith(_PASSING):
            self._faults[digest] = error, time.monotonic() + FAULT_SECONDS

    async def _fetch(self, revision: Revision, compile_: Compile) -> bytes:
        name = name_of(revision)
        if self._dist and (found := await asyncio.to_thread(self._dist.read, name)) is not None:
            return found
        if self._shared is None:
            found = await self._compile(revision, compile_)
        else:
            async with self._shared.turn(name) as fetched:
                found = fetched if fetched is not None else await self._compile(revision, compile_)
                if fetched is None:
                    await self._shared.write(name, found)
        if self._dist:
            await asyncio.to_thread(self._dist.write, name, found)
        return found

    async def _compile(self, revision: Revision, compile_: Compile) -> bytes:
        began = time.perf_counter()
        self.compiled += 1
        found = await compile_(revision)
        taken = round(time.perf_counter() - began, 3)
        log.info("compiled %s %s: %s s, %s octets", revision.name, revision.digest, taken, len(found))
        return found


class Dist:
    """The dist volume: one file per artifact. Whatever goes wrong with it is a miss, and said once in the log."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder, self._key = folder, key
        self._said: set[str] = set()

    def read(self, name: str) -> bytes | None:
        try:
            with self._path(name).open("rb") as file:
                return opened(self._key, name, file.read(LARGEST))
        except FileNotFoundError:
            return None
        except OSError as error:
            self._say(error)
            return None

    def write(self, name: str, artifact: bytes) -> None:
        """Whole or not at all: readers see the new file only when it is complete."""
        path = self._path(name)
        temporary = ""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
                temporary = file.name
                file.write(sealed(self._key, name, artifact))
            os.replace(temporary, path)
            self._prune()
        except OSError as error:
            self._say(error)
            with contextlib.suppress(OSError):
                if temporary:
                    os.unlink(temporary)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _prune(self) -> None:
        files = [(path.stat().st_mtime, path) for path in self._folder.glob("??/*")]
        if len(files) > MOST_FILES:
            for _, path in sorted(files)[: len(files) // 2]:
                path.unlink(missing_ok=True)

    def _say(self, error: OSError) -> None:
        if (kind := error.strerror or str(error)) not in self._said:
            self._said.add(kind)
            log.warning("the dist volume %s is not used: %s", self._folder, kind)


class Shared:
    """Artifacts in Valkey, and the lock under which one process compiles. Without Valkey each is alone."""

    def __init__(self, redis: Redis, key: bytes) -> None:
        self._redis, self._key = redis, key
        self._quiet_until = 0.0

    @contextlib.asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[bytes | None]:
        """Wait until somebody has compiled this, and give it; or None: it is up to us now, and others wait."""
        token = secrets.token_hex(16)
        found = await self._wait(name, token)
        renewal = asyncio.create_task(self._renew(name, token)) if found is None else None
        try:
            yield found
        finally:
            if renewal:
                renewal.cancel()
                await asyncio.gather(renewal, return_exceptions=True)
                await self._try(self._redis.eval(RELEASE, 1, _lock(name), token))

    async def write(self, name: str, artifact: bytes) -> None:
        await self._try(self._redis.set(_value(name), sealed(self._key, name, artifact), ex=VALKEY_SECONDS))

    async def _wait(self, name: str, token: str) -> bytes | None:
        """The artifact; None when the lock is ours, or Valkey is away."""
        pause, longest = POLL_SECONDS
        while time.monotonic() >= self._quiet_until:
            kept = await self._try(self._redis.get(_value(name)))
            found = opened(self._key, name, kept) if kept else None
            if found is not None:
                return found
            if await self._try(self._redis.set(_lock(name), token, nx=True, px=int(LOCK_SECONDS * 1000))):
                return await self._last_look(name)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, longest)
        return None

    async def _last_look(self, name: str) -> bytes | None:
        """With the lock in hand: it may have been compiled between our look and our lock."""
        kept = await self._try(self._redis.get(_value(name)))
        return opened(self._key, name, kept) if kept else None

    async def _renew(self, name: str, token: str) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._try(self._redis.eval(RENEW, 1, _lock(name), token, str(int(LOCK_SECONDS * 1000))))

    async def _try(self, command: Awaitable[Any]) -> Any:
        """The answer; None when Valkey is away, and then it is left alone for a while."""
        from redis.exceptions import RedisError

        try:
            return await command
        except (RedisError, OSError) as error:
            if time.monotonic() >= self._quiet_until:
                log.warning("each process compiles for itself, since Valkey is away: %s", error or type(error).__name__)
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            return None


def _lock(name: str) -> str:
    return f"mailboat:compiling:{name}"


def _value(name: str) -> str:
    return f"mailboat:artifact:{name}"


# Names and keys


def name_of(revision: Revision) -> str:
    """The digest, and what else an artifact depends on: engine, Python, packages, our own code."""
    return f"{revision.digest}-{revision.sources.engine}-{_build()}"


_built: list[str] = []


def _build() -> str:
    """Artifacts of another build are not ours: bytecode is bound to its interpreter, and all to the compiler's code."""
    if not _built:
        parts = [ENGINE_VERSION.encode(), sys.implementation.cache_tag.encode(), util.MAGIC_NUMBER]
        parts += [metadata.version(package).encode() for package in ("jinja2", "markupsafe", "msgspec")]
        parts += [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
        if react_v8.is_built():
            parts.append(react_v8.BUNDLE.read_bytes())
        _built.append(hashlib.sha256(b"\0".join(parts)).hexdigest()[:16])
    return _built[0]


def sealed(key: bytes, name: str, artifact: bytes) -> bytes:
    """The artifact as it is kept outside."""
    return hmac.digest(key, name.encode() + b"\0" + artifact, "sha256") + artifact


def opened(key: bytes, name: str, kept: bytes) -> bytes | None:
    """The artifact that was sealed under this name with this key; None if it was not."""
    artifact = kept[MAC_BYTES:]
    return artifact if hmac.compare_digest(kept[:MAC_BYTES], sealed(key, name, artifact)[:MAC_BYTES]) else None


def key_of(sealing_key: str, dist: Path | None) -> bytes | None:
    """The key for copies outside of RAM: from the first sealing key, else the one that the dist volume has."""
    if first := sealing_key.partition(",")[0].strip():
        return hmac.digest(first.encode(), b"mailboat artifacts", "sha256")
    return _key_in(dist) if dist else None


def _key_in(folder: Path) -> bytes | None:
    """The key in this folder, made at need; None for a folder in which others may write."""
    path = folder / "key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(folder):
            return None
        with contextlib.suppress(FileExistsError):
            _create(path, secrets.token_bytes(32))
        key = path.read_bytes()
        return key if len(key) == 32 and _is_private(path) else None
    except OSError:
        return None


def _create(path: Path, content: bytes) -> None:
    """With its content from the first moment on. Raises FileExistsError."""
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.link(temporary, path)
    finally:
        os.unlink(temporary)


def _is_private(path: Path) -> bool:
    """Whether it is ours, and nobody else may write to it."""
    state = path.stat()
    return state.st_uid == os.geteuid() and not state.st_mode & 0o022
