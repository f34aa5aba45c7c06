"""Kill -9 one process of a pod: the first of its container, or the oldest that runs this program.

    python kill.py POD_UID [PROGRAM]

It runs inside the node, where the processes of all pods are seen, and knows nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path


def processes(uid: str) -> Iterator[tuple[int, str, bool]]:
    """Of this pod, its pause aside: the number, the program, whether it is the first in its container."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program = (folder / "cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
            if uid in (folder / "cgroup").read_text() and program != "pause":
                numbers = next(line for line in (folder / "status").read_text().splitlines() if "NSpid" in line)
                yield int(folder.name), program, numbers.split()[-1] == "1"


def main(uid: str, program: str = "") -> None:
    found = [
        number for number, name, first in processes(uid) if (name.startswith(program) if program else first)
    ]  # PostgreSQL's sessions have names of their own
    os.kill(min(found), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
