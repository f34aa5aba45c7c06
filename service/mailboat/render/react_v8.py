"""V8 with the engine's bundle in it. The only module that knows the binding, pydeno: another would be fitted here.

`make engine` writes the bundle, and a snapshot of the heap after it was evaluated and has rendered a mail, so that what
that takes is compiled: an isolate is then ready in a fifteenth of the time. A snapshot belongs to one build of V8, so
its name says which; without it, the bundle is evaluated.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from mailboat.errors import ConfigurationError

FOLDER = Path(__file__).parent / "engine"
BUNDLE = FOLDER / "engine.js"
HEAP_BYTES = 128 << 20
BUFFER_BYTES = 32 << 20
FLAGS = (
    "--single-threaded",  # a process renders one mail at a time: helper threads would only compete with it
    # What the first renders make seems to V8 to live long, so that mails would be made among what is old, which is
    # collected seldom and at length: that takes a fifth of the time, and half of the memory.
    "--no-allocation-site-pretenuring",
)
CALLS = ("compile", "define", "render", "resume", "warmUp", "bake", "lock")
# Microtasks run only between scripts, or when this is called. A snapshot is used without the flag that it needs.
NATIVES = "--allow-natives-syntax"
WARM_UP = """
let answer = __mailboat.warmUp('');
for (let more = 8; 'ps'.includes(answer[0]) && more > 0; more--) {
  %PerformMicrotaskCheckpoint();
  answer = answer === 's' ? __mailboat.warmUp('') : __mailboat.resume();
}
if (answer[0] !== 'd') throw new Error(`the warm-up answered ${answer}`);
"""


class TimeIsUp(Exception):
    """The call was stopped."""


class Broken(Exception):
    """The isolate is of no more use: out of memory, most likely."""


def is_built() -> bool:
    return BUNDLE.is_file()


@functools.cache
def _bundle() -> str:
    if not is_built():
        raise ConfigurationError(f"the React engine is not built ({BUNDLE} is missing): run `make engine`")
    return BUNDLE.read_text("utf-8")


def snapshot_file() -> Path:
    """Where the snapshot of this bundle for this V8 is, if it was made."""
    digest = hashlib.sha256(_bundle().encode()).hexdigest()[:12]
    build = f"pydeno-{metadata.version('pydeno')}-{sys.implementation.cache_tag}-{platform.machine()}"
    return FOLDER / f"{digest}-{build}.snapshot"


@functools.cache
def _snapshot() -> bytes | None:
    file = snapshot_file()
    return file.read_bytes() if file.is_file() else None


def load() -> None:
    """Read and import all that an isolate needs, for processes that are forked from this one."""
    _binding()
    if _snapshot() is None:
        _bundle()


@functools.cache
def _binding() -> Any:
    import pydeno

    pydeno.Runtime, pydeno.RuntimeTimeout  # noqa: B018 (they are imported at their first use)
    return pydeno


def make_snapshot() -> None:
    """Write the snapshot, in a process that does nothing else afterwards."""
    binding = _binding()
    binding._pydeno._set_v8_flags((*FLAGS, NATIVES))
    builder = binding.SnapshotBuilder()
    builder.execute_script("engine.js", _bundle())
    builder.execute_script("warm-up.js", f"{{{WARM_UP}}}")
    for other in FOLDER.glob("*.snapshot"):
        other.unlink()
    snapshot_file().write_bytes(builder.build())


class Isolate:
    """One per process, for the thread that makes it. `here`: that one, if it was made."""

    here: ClassVar[Isolate | None] = None

    def __init__(self, seconds: float) -> None:
        """`seconds` are for the bundle, and for calls that do not say otherwise."""
        binding = _binding()
        binding._pydeno._set_v8_flags(FLAGS)
        snapshot = _snapshot()
        self._timeout = binding.RuntimeTimeout
        self._thrown = binding.JavaScriptError
        self._runtime = binding.Runtime(
            binding.RuntimeConfig(
                snapshot=snapshot, timeout=seconds, max_heap_size=HEAP_BYTES, max_buffer_bytes=BUFFER_BYTES
            )
        )
        if snapshot is None:
            self._runtime.eval(_bundle())
        self._calls = {name: self._runtime.eval(f"__mailboat.{name}") for name in CALLS}
        Isolate.here = self

    def lock(self, settings: dict[str, Any]) -> None:
        """End the preparations, before anything of a template's."""
        self._calls["lock"](json.dumps(settings))

    def call(self, name: str, *arguments: str, seconds: float) -> str:
        """The answer of one of the engine's calls. Raises TimeIsUp or Broken."""
        try:
            answer = self._calls[name](*arguments, timeout=seconds)
        except self._timeout:
            raise TimeIsUp from None
        except (self._thrown, RuntimeError) as error:
            raise Broken(str(error)[:200]) from None
        assert isinstance(answer, str)
        return answer


if __name__ == "__main__":
    make_snapshot()
