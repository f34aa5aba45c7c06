"""What a process gives up before it runs a template. Linux only; what a kernel or sandbox refuses is left out."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Mapping

PUBLIC = "MAILBOAT_PUBLIC_"
"""How the names of those environment variables begin that templates may read."""
DESCRIPTORS = 16
SOCKET = 3
"""The descriptor under which a render process keeps its socket."""

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


def confine(memory: int) -> None:
    """No more privileges, no files, `memory` bytes of private memory; the first to go when none is left."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for name in os.environ.keys() - public(os.environ).keys():
        del os.environ[name]
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    for limit, value in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
    ):
        resource.setrlimit(limit, (value, value))
