"""The log files of `mailboat up`, and which of their lines are worth a line in the terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LARGEST = 20_000_000  # bytes
LONGEST_LINE = 65_536
LOUD = {"warning", "error", "critical"}
TRACEBACK = ("Traceback (most recent call last)", " ", "\t")
QUIET_KEYS = {"event", "level", "timestamp", "logger", "exception", "stack"}
# What Valkey says at every start and stop: advice about the kernel, of no concern on one machine, and goodbye.
VALKEY_ROUTINE = ("WARNING Memory overcommit", "WARNING You have Transparent Huge", "Valkey is now ready to exit")
POSTGRES_LOUD = re.compile(r"\b(?:WARNING|FATAL|PANIC):\s+(?P<text>.*)")
# Said to everyone who knocks while PostgreSQL starts or stops; the parts knock again by themselves.
POSTGRES_ROUTINE = ("the database system is", "terminating connection due to administrator command")


class Log:
    """One log file, appended to by a child and read by the supervisor from where it stopped.

    The file of the run before is kept as `NAME.log.1`, and so is what was written before the file grew too large.
    """

    def __init__(self, path: Path, largest: int = LARGEST) -> None:
        self.path, self._largest, self._offset, self._rest = path, largest, 0, b""
        if path.exists():
            path.replace(self._former)

    @property
    def _former(self) -> Path:
        return self.path.with_name(f"{self.path.name}.1")

    def open(self) -> BinaryIO:
        return self.path.open("ab")

    def fresh(self) -> Iterator[str]:
        """The complete lines written since the last call."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            read = file.read()
        self._offset += len(read)
        *lines, self._rest = (self._rest + read).split(b"\n")
        if self._offset > self._largest:
            self._trim()
        yield from (line[:LONGEST_LINE].decode(errors="replace") for line in lines)

    def _trim(self) -> None:
        """Keep the size in bounds. The writer appends, so it goes on at the start of the emptied file."""
        shutil.copyfile(self.path, self._former)
        os.truncate(self.path, 0)
        self._offset = 0


def role(line: str) -> str | None:
    """A line of one of our own roles: JSON of level warning or worse, or words; of a traceback the last line."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return line if line.strip() and not line.startswith(TRACEBACK) else None
    if str(record.get("level", "")).lower() not in LOUD:
        return None
    facts = [f"{key}={value}" for key, value in record.items() if key not in QUIET_KEYS]
    exception = str(record.get("exception", "")).strip().rpartition("\n")[2]
    return " ".join(filter(None, (str(record.get("event", "")), *facts, exception))).replace("\n", " ")


def postgres(line: str) -> str | None:
    """A line of PostgreSQL. A statement's ERROR is left to the client, which reports it with more sense."""
    found = POSTGRES_LOUD.search(line)
    return found["text"] if found and not found["text"].startswith(POSTGRES_ROUTINE) else None


def valkey(line: str) -> str | None:
    """A line of Valkey: `pid:role date # text` is a warning."""
    _, loud, text = line.partition(" # ")
    return text.strip() if loud and not text.startswith(VALKEY_ROUTINE) else None
