"""What a process gives up before it runs a template. Linux only; what a kernel or sandbox refuses is left out.

Two walls: the sandboxes of the engines, and behind them, for what may break out of one, the kernel's: limits, a filter
of system calls (`seccomp`) and a view of the file system (`landlock`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
import zoneinfo
from collections.abc import Callable, Iterator, Mapping

from mailboat.render import landlock, seccomp

PUBLIC = "MAILBOAT_PUBLIC_"
"""How the names of those environment variables begin that templates may read."""
DESCRIPTORS = 16
SOCKET = 3
"""The descriptor under which a render process keeps its socket."""
MACHINE = ("/dev/urandom", "/sys/devices/system/cpu", "/sys/fs/cgroup", "/proc/self/cgroup")
"""What V8 reads when it starts: how many threads it may have, and a seed."""

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def die_with(parent: int) -> None:
    """Be killed when this parent ends; at once if it already has."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def keep_only(descriptor: int) -> None:
    """Close every descriptor but this one, which becomes SOCKET, and the standard ones."""
    if descriptor != SOCKET:
        os.dup2(descriptor, SOCKET)
    os.closerange(SOCKET + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def public(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that templates may read."""
    return {name: value for name, value in environment.items() if name.startswith(PUBLIC)}


WALLS = {"seccomp": seccomp.missing, "landlock": landlock.missing}
"""What tells of each wall of the kernel's why it is missing; '' where it is there."""


def missing() -> Iterator[str]:
    """The walls that this kernel, or the policy of this container, does not offer, and why."""
    for name, why in WALLS.items():
        if reason := why():
            yield f"{name} ({reason})"


def readable() -> list[str]:
    """Where code, the data of locales and of time zones are: they are read when a template first needs them."""
    return [*(folder for folder in sys.path if folder), *zoneinfo.TZPATH, *MACHINE]


def confine(memory: int) -> None:
    """No more privileges, no files, `memory` bytes of private memory; the first to go when none is left.

    For all threads that are started afterwards; V8 runs in such a one.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for name in os.environ.keys() - public(os.environ).keys():
        del os.environ[name]
    os.environ["TZ"] = "UTC"  # or libraries look for the machine's time zone in /etc
    time.tzset()
    sys.dont_write_bytecode = True
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    for limit, value in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
    ):
        resource.setrlimit(limit, (value, value))
    _raise("landlock", landlock.missing(), lambda: landlock.apply(readable()))
    _raise("seccomp", seccomp.missing(), seccomp.apply)


def _raise(name: str, missing: str, wall: Callable[[], None]) -> None:
    try:
        if not missing:
            wall()
    except OSError as error:
        print(f"a render process goes without {name}: {error.strerror}", file=sys.stderr)
