"""A view of the file system, for good: some folders to read from, and nothing else. Source: landlock(7)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_GET_VERSION = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3

_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""What can be done with files, by the version that learnt to forbid it: all, refer, truncate, ioctl of devices."""
_NETWORK = {4: 0b11}
"""bind, connect (TCP)."""
_SCOPES = {6: 0b11}
"""Abstract sockets and signals of processes outside."""

_syscall = ctypes.CDLL(None, use_errno=True).syscall


def _version() -> int:
    """Of the kernel's Landlock; negative if there is none."""
    version: int = _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION)
    return version


def missing() -> str:
    """Why files cannot be hidden; '' if they can."""
    return "" if _version() > 0 else os.strerror(ctypes.get_errno())


def apply(readable: Iterable[str]) -> None:
    """From now on this thread and those that it starts read only these files and folders. Those that are not there are
    left out. Needs no_new_privs. Raises OSError.
    """
    version = _version()
    handled = [sum(bits for since, bits in table.items() if since <= version) for table in (_RIGHTS, _NETWORK, _SCOPES)]
    attributes = struct.pack("QQQ", *handled)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _checked(_syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        for path in readable:
            _admit(ruleset, path)
        _checked(_syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _admit(ruleset: int, path: str) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = _READ_FILE | (_READ_DIRECTORY if os.path.isdir(path) else 0)
        _checked(_syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0))
    finally:
        os.close(place)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    return result
