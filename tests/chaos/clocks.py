"""Wall clocks that can be set: a library in front of libc adds what a file says, for one kind of process each."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

PARTS = ("postgres", "valkey", "api", "worker")


class Clocks:
    """One per kind of process. `there` is False without a C compiler: then nothing can be set."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._library = folder / "clock.so"
        self.ahead = dict.fromkeys(PARTS, 0.0)  # seconds
        compiler = shutil.which("cc")
        self.there = compiler is not None
        if compiler:
            source = Path(__file__).with_name("clock.c")
            subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", self._library, source], check=True)
            for part in PARTS:
                self.set(part, 0.0)

    def set(self, part: str, ahead: float) -> None:
        """At once, for all of its processes. Written in place: they have the file in their memory."""
        self.ahead[part] = ahead
        with self._file(part).open("r+b" if self._file(part).exists() else "wb") as file:
            file.write(struct.pack("d", ahead))

    def environment(self, part: str) -> dict[str, str]:
        """What a process of this kind is started with."""
        return {"LD_PRELOAD": str(self._library), "CLOCK": str(self._file(part))} if self.there else {}

    def command(self, part: str, argv: list[str]) -> list[str]:
        return [
            *(["env", *(f"{name}={value}" for name, value in self.environment(part).items())] if self.there else []),
            *argv,
        ]

    def _file(self, part: str) -> Path:
        return self._folder / f"{part}.clock"
