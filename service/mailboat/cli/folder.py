"""The data folder of `mailboat up`: who has it, and where the sockets are.

lock           held by the one `up` that has the folder
parts.lock     held by all its children: free when the last of them is gone
admin-token    mode 0600
sealing-key    mode 0600: seals the secrets of declared providers
client.json    mode 0600: url, api_key, api_secret, admin_token
secrets/       the credentials of declared clients, a file for each Secret, mode 0600
logs/ postgres/ valkey/ templates/
run/           the sockets; a link to a private folder when the path is too long for a socket
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mailboat.errors import ConfigurationError

LONGEST_SOCKET = 107  # bytes of a path in struct sockaddr_un
PLAIN = re.compile(r"[\w/.-]+", re.ASCII)  # needs no quoting in any server's settings
GRACE_SECONDS = 5.0


@contextlib.contextmanager
def claim(data: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Have the folder for oneself; gives the descriptor that every child has to hold open.

    Children of a killed `up` are on their way out: they get a few seconds, and are killed then, which loses nothing.
    Raises ConfigurationError when another `up` has the folder, or it cannot be written to.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        own, children = (os.open(data / name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("lock", "parts.lock"))
    except OSError as error:
        raise ConfigurationError(
            f"--data {data} cannot be written to: {error.strerror}. Choose another folder."
        ) from None
    try:
        if not _locked(own):
            raise ConfigurationError(f"Another `mailboat up` has {data}: stop it, or choose another --data folder.")
        _await_children(data / "parts.lock", children, say)
        yield children
    finally:
        os.close(own)
        os.close(children)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _await_children(path: Path, descriptor: int, say: Callable[[str], None]) -> None:
    """Wait until the lock of the children is free. Raises ConfigurationError when even SIGKILL does not free it."""
    started, told = time.monotonic(), False
    while not _locked(descriptor):
        waited = time.monotonic() - started
        if not told:
            say("waiting for the parts of the run before to end …")
            told = True
        if waited > 2 * GRACE_SECONDS:
            raise ConfigurationError(
                f"Parts of the run before still run: {', '.join(map(str, holders(path)))}. End them."
            )
        if waited > GRACE_SECONDS:
            for pid in holders(path):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def holders(path: Path) -> list[int]:
    """The other processes that hold this file open, as /proc tells."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.readlink() == path:
                found.add(int(link.parts[2]))
    return sorted(found - {os.getpid()})


def sockets(data: Path, owner: tuple[int, int] | None) -> Path:
    """An empty private folder for sockets: `run` in the data folder, or a link there to one with a short plain path."""
    link = data / "run"
    remove_sockets(data)
    place = link
    longest = len(os.fsencode(link / ".s.PGSQL.5432"))
    if longest > LONGEST_SOCKET or not PLAIN.fullmatch(str(link)):
        place = Path(tempfile.mkdtemp(prefix="mailboat-"))
        link.symlink_to(place)
    else:
        place.mkdir(mode=0o700)
    if owner:
        os.chown(place, *owner)
    return place


def remove_sockets(data: Path) -> None:
    link = data / "run"
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
        link.unlink()
    shutil.rmtree(link, ignore_errors=True)


def admin_token(data: Path) -> str:
    """The token of this folder, made at the first call."""
    path = data / "admin-token"
    if not path.exists():
        write(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def has_sealing_key(data: Path) -> bool:
    return (data / "sealing-key").exists()


def sealing_key(data: Path) -> str:
    """The sealing keys of this folder, one made at the first call."""
    path = data / "sealing-key"
    if not path.exists():
        write(path, base64.b64encode(secrets.token_bytes(32)).decode())
    return path.read_text().strip()


def credentials(data: Path) -> dict[str, Any]:
    """What client.json says; empty when there is none that can be read."""
    try:
        found = json.loads((data / "client.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_credentials(data: Path, credentials: dict[str, Any]) -> None:
    write(data / "client.json", json.dumps(credentials, indent=2))


def write(path: Path, text: str) -> None:
    """Replace the file at once, readable by its owner alone: a reader sees the old text or the new, never a part."""
    descriptor, unready = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    os.replace(unready, path)
