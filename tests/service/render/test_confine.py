"""The kernel's walls around a render process: from inside real ones, whose engine is the test's own.

The engine does what a template might do that has broken out of every sandbox: it has all of Python. What it is asked
to try is its template's source.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources, revise
from mailboat.render import confine, react_v8, seccomp
from mailboat.render.base import Job
from mailboat.render.engines import ENGINES
from mailboat.render.pool import Pool

PoolMaker = Callable[..., Pool]

INSIDE = """
import ctypes, os, signal, socket, sys, threading
from pathlib import Path
import mailboat.render.child as child, mailboat.render.confine as confine, mailboat.render.limits as limits
import mailboat.render.seccomp as seccomp
from mailboat.render.engines import ENGINES
import css_inline

libc = ctypes.CDLL(None, use_errno=True)

def called(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def number(call):
    [entry] = [entry for entry in (seccomp.REFUSED + OTHERS).split() if entry.startswith(call + ":")]
    return seccomp.numbers(entry, seccomp.MACHINES[os.uname().machine].column)[0]

OTHERS = " clone:56,220 tgkill:234,131 prlimit64:302,261"
name, secret, parent = sys.argv[1], Path(sys.argv[2]), os.getpid()
ENGINES[name].load()
ours, theirs = socket.socketpair()
pid = os.fork()
if pid == 0:
    confine.die_with(parent)
    confine.keep_only(theirs.fileno())
    connection = socket.socket(fileno=confine.SOCKET)
    confine.confine(ENGINES[name].memory)
    limits.install()
    child.Child().engine(name)
    said = []
    for attempt in connection.recv(1 << 16).decode().split("\\0"):
        def run():
            try:
                exec(attempt, globals())
                said.append("done")
            except BaseException as error:
                said.append(type(error).__name__)
        run()
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    connection.sendall(" ".join(said).encode())
    os._exit(0)
theirs.close()
ours.sendall(sys.stdin.buffer.read())
words = ours.recv(1 << 16).decode()
assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\\n"  # it is not reaped yet
sys.stdout.write(words)
os.wait()
"""
REFUSED = {
    "reading /etc/passwd": "open('/etc/passwd')",
    "reading the environment of its parent": "open(f'/proc/{parent}/environ')",
    "reading its own environment": "open('/proc/self/environ')",
    "reading its own memory": "open('/proc/self/mem', 'rb')",
    "reading a service account's token": "secret.read_text()",
    "listing a folder": "os.listdir(secret.parent)",
    "listing /": "os.listdir('/')",
    "writing over a file": "os.open(secret, os.O_WRONLY)",
    "adding to a file": "os.open(secret, os.O_RDWR | os.O_APPEND)",
    "a new file": "os.open(secret.parent / 'new', os.O_CREAT)",
    "a file without a name": "os.open('/tmp', os.O_TMPFILE | os.O_WRONLY)",
    "writing among the code": "os.open(Path(child.__file__), os.O_WRONLY)",
    "writing to a device": "os.open('/dev/null', os.O_WRONLY)",
    "removing a file": "os.unlink(secret)",
    "renaming a file": "os.rename(secret, secret.parent / 'other')",
    "a folder": "os.mkdir(secret.parent / 'folder')",
    "a link": "os.link(secret, secret.parent / 'link')",
    "a symbolic link": "os.symlink(secret, secret.parent / 'link')",
    "another mode": "os.chmod(secret, 0o777)",
    "an emptied file": "os.truncate(secret, 0)",
    "a socket of the Internet": "socket.socket()",
    "a socket for datagrams": "socket.socket(type=socket.SOCK_DGRAM)",
    "a local socket": "socket.socket(socket.AF_UNIX)",
    "a socket of the kernel": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "connecting": "socket.socketpair()[0].connect('/run/any')",
    "listening": "socket.socketpair()[0].listen()",
    "passing a descriptor on": "socket.send_fds(connection, [b'x'], [0])",
    "taking a descriptor": "socket.recv_fds(connection, 1, 1)",
    "a program": "os.execv('/bin/true', ['true'])",
    "forking": "os.fork()",
    "forking and a program": "os.posix_spawn('/bin/true', ['true'], {})",
    "a process by clone": "called(number('clone'), 17, 0, 0, 0, 0)",
    "killing its parent": "os.kill(parent, 0)",
    "a signal to a thread of its parent": "called(number('tgkill'), parent, parent, 0)",
    "a descriptor of its parent": "os.pidfd_open(parent)",
    "another user": "os.setgroups([])",
    "another limit for itself": "called(number('prlimit64'), 0, 7, bytes(16), None)",
    "memory that no limit counts": "os.memfd_create('x')",
    "another view of the files": "os.chroot('/')",
    "typing into a terminal": "import fcntl; fcntl.ioctl(2, 0x5412, b'x')",
}
CALLS = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "execveat", "unshare", "setns", "mount", "bpf"),
    *("io_uring_setup", "userfaultfd", "keyctl", "perf_event_open", "open_by_handle_at", "shmget", "kexec_load"),
)
REFUSED |= {name: f"called(number({name!r}), 0, 0, 0, 0, 0)" for name in CALLS}
ABSENT = {
    "a process by clone3": "called(435, bytes(88), ctypes.c_size_t(88))",
    "opening in a way that hides how": "called(437, -100, b'/dev/urandom', bytes(24), ctypes.c_size_t(24))",
}
ABSENT["more descriptors"] = "[os.dup(0) for _ in range(99)]"
ALLOWED = {
    "no environment": "assert {*os.environ} == {'TZ', *confine.public(os.environ)}",
    "the public part of it": "os.environ['MAILBOAT_PUBLIC_URL']",
    "no core": "import resource; assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)",
    "no file's size": "import resource; assert resource.getrlimit(resource.RLIMIT_FSIZE) == (0, 0)",
    "its memory": "import resource; assert resource.getrlimit(resource.RLIMIT_DATA)[1] == ENGINES[name].memory",
    "a module of Python's": "import wave",
    "a module with a library": "import css_inline; css_inline.inline('<p>x</p>')",
    "the words of a locale": "from babel import Locale; Locale.parse('sw').display_name",
    "a time zone": "import zoneinfo; zoneinfo.ZoneInfo('Pacific/Auckland')",
    "random numbers": "os.urandom(8)",
    "a thread": "t = threading.Thread(target=print); t.start(); t.join()",
    "asking for its limits": "import resource; resource.getrlimit(resource.RLIMIT_NOFILE)",
    "memory that may be run": "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "a signal to itself": "signal.pthread_kill(threading.get_ident(), 0)",
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, need: Callable[[object, str], None]) -> str:
    need(request.param != "react" or react_v8.is_built(), "the React engine is not built")
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def walls() -> None:
    if missing := list(confine.missing()):
        pytest.skip(f"this kernel, which is no part that tests could bring, offers no {missing}")


def attempts(engine: str, tried: list[str], folder: Path) -> list[tuple[str, str]]:
    """What became of each attempt in a render process of this engine: in its main thread, and in another."""
    folder.mkdir()
    secret = folder / "token"
    secret.write_text("secret")
    done = subprocess.run(
        [sys.executable, "-I", "-c", INSIDE, engine, secret],
        input="\0".join(tried).encode(), capture_output=True, check=False, timeout=60,
        env={**os.environ, "MAILBOAT_SECRET_KEY": "secret", "MAILBOAT_PUBLIC_URL": "public"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert secret.read_text() == "secret"
    assert os.listdir(folder) == ["token"]
    words = done.stdout.decode().split()
    assert len(words) == 2 * len(tried), done.stderr.decode()
    return list(zip(words[::2], words[1::2], strict=True))


def test_a_process_reaches_nothing_but_its_socket(walls: None, engine: str, tmp_path: Path) -> None:
    found = attempts(engine, list(REFUSED.values()), tmp_path / "volume")
    assert dict(zip(REFUSED, found, strict=True)) == dict.fromkeys(REFUSED, ("PermissionError",) * 2)


def test_what_a_filter_cannot_see_through_or_there_is_no_more_of_is_not_there(
    walls: None, engine: str, tmp_path: Path
) -> None:
    found = attempts(engine, list(ABSENT.values()), tmp_path / "volume")
    assert dict(zip(ABSENT, found, strict=True)) == dict.fromkeys(ABSENT, ("OSError",) * 2)


def test_a_process_has_what_engines_need(walls: None, engine: str, tmp_path: Path) -> None:
    found = attempts(engine, list(ALLOWED.values()), tmp_path / "volume")
    assert dict(zip(ALLOWED, found, strict=True)) == dict.fromkeys(ALLOWED, ("done",) * 2)


def are_filtered(pids: list[int], threads: int) -> bool:
    """Whether each process has as many threads as that, and all of them a filter. Those that are new have none yet."""
    try:
        states = [[(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()] for pid in pids]
    except OSError:
        return False
    return all(
        len(state) >= threads and all("NoNewPrivs:\t1" in each and "Seccomp:\t2" in each for each in state)
        for state in states
    )


async def test_every_thread_of_a_render_process_is_filtered(walls: None, engine: str, make_pool: PoolMaker) -> None:
    pool = make_pool(1, engine=engine, patience=15)
    await pool.start()
    async with asyncio.timeout(30):
        while not are_filtered(pool.pids, 2 if engine == "react" else 1):  # noqa: ASYNC110 (it happens in the kernel)
            await asyncio.sleep(0.01)


async def test_behind_the_walls_mails_are_right(make_pool: PoolMaker, job: Callable[..., Job]) -> None:
    source = (
        "<style>p > a { color: red }</style><p><a>{{ at|date('long', locale='sw') }}</a> "
        "{{ at|datetime('long', zone='Pacific/Auckland', locale='de') }} {{ 1234.5|money('EUR', locale='fr') }}</p>"
    )
    (found,) = await make_pool(1).render([job(source, {"at": "2026-11-24T10:00:00Z"})])
    assert isinstance(found, Rendered), found
    assert found.html == (
        '<style>p > a { color: red }</style><p><a style="color: red">24 Novemba 2026</a> '
        "24. November 2026, 23:00:00 +1300 1\u202f234,50\xa0€</p>"
    )


REACT = """
export default () => <p>{[
  new Date(0).toLocaleString('de', { timeZone: 'Asia/Tokyo' }),
  new Intl.NumberFormat('fr', { style: 'currency', currency: 'EUR' }).format(1234.5),
  new Intl.PluralRules('ar').select(3), new Intl.DisplayNames('sw', { type: 'region' }).of('DE'),
].join('; ')}</p>;
"""


async def test_behind_the_walls_react_knows_its_locales(
    make_pool: PoolMaker, need: Callable[[object, str], None]
) -> None:
    need(react_v8.is_built(), "the React engine is not built")
    revision = revise("mail", Sources(engine="react", entry="mail.tsx", files={"mail.tsx": REACT}))
    (found,) = await make_pool(1, engine="react", patience=15).render([Job(revision, b"{}")])
    assert isinstance(found, Rendered), found
    assert "1.1.1970, 09:00:00; 1\u202f234,50\xa0€; few; Ujerumani" in (found.html or "")


STRICT = """
import asyncio, logging, sys
from mailboat.render import confine, seccomp
from mailboat.render.base import Job
from mailboat.render.pool import Pool
from mailboat.domain.revision import Sources, revise

logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
confine._prctl(38, 1, 0, 0, 0)
seccomp.ABSENT, seccomp.REFUSED, seccomp._checked = "landlock:444,444", "seccomp:317,277", lambda *_: []
seccomp.apply()

async def main():
    for _ in range(2):
        pool = Pool(1)
        revision = revise("mail", Sources(engine="jinja", entry="m", files={"m": "Hello {{ name }}"}, subject="s"))
        print((await pool.render([Job(revision, b'{"name": "Ada"}')]))[0].html)
        await pool.close()

asyncio.run(main())
"""


def test_where_a_policy_refuses_the_walls_it_goes_on_and_says_so_once(walls: None) -> None:
    """A filter around the whole service, as a container's, refuses seccomp and knows no Landlock."""
    done = subprocess.run([sys.executable, "-c", STRICT], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == [
        "templates are rendered without seccomp (Operation not permitted)",
        "templates are rendered without landlock (Function not implemented)",
        "Hello Ada",
        "Hello Ada",
    ], done.stderr


def test_a_machine_without_a_table_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "MACHINES", {})
    assert "no table of system calls" in seccomp.missing()
    assert any("seccomp" in wall for wall in confine.missing())


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_a_filter_ends_in_a_decision_on_every_way(machine: str) -> None:
    code = seccomp.program(seccomp.MACHINES[machine], 1)
    assert len(code) < 4096
    for place, (operation, true, false, _) in enumerate(code):
        ways = (place + 1 + true, place + 1 + false) if operation & 0x07 == 0x05 else (place + 1,)
        assert operation == 0x06 or all(way < len(code) for way in ways)


@pytest.mark.parametrize("column", [0, 1])
def test_no_call_is_named_twice(column: int) -> None:
    found = seccomp.numbers(seccomp.REFUSED + seccomp.ABSENT, column)
    assert len(found) == len(set(found))
