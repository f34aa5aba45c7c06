"""A filter of system calls, for good: what no template engine needs is answered EPERM.

A list of what is refused, not of what is allowed: V8 and glibc may ask for new calls with any release, and a process
that was killed for one would be a template that fails for no reason. Sources: seccomp(2), linux/filter.h,
linux/seccomp.h; numbers of the calls from asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple

REFUSED = """
socket:41,198 connect:42,203 bind:49,200 listen:50,201 accept:43,202 accept4:288,242 sendmsg:46,211 recvmsg:47,212
sendmmsg:307,269 recvmmsg:299,243 setsockopt:54,208 shutdown:48,210
execve:59,221 execveat:322,281 fork:57, vfork:58, setns:308,268 unshare:272,97
ptrace:101,117 process_vm_readv:310,270 process_vm_writev:311,271 process_madvise:440,440 process_mrelease:448,448
kcmp:312,272 pidfd_open:434,434 pidfd_getfd:438,438 pidfd_send_signal:424,424 kill:62,129 tkill:200,130
rt_sigqueueinfo:129,138 rt_tgsigqueueinfo:297,240 sched_setscheduler:144,119 sched_setattr:314,274
sched_setaffinity:203,122 setpriority:141,140 ioprio_set:251,30 migrate_pages:256,238 move_pages:279,239
creat:85, mknod:133, mknodat:259,33 mkdir:83, mkdirat:258,34 rmdir:84, unlink:87, unlinkat:263,35 rename:82,
renameat:264,38 renameat2:316,276 link:86, linkat:265,37 symlink:88, symlinkat:266,36 chmod:90, fchmod:91,52
fchmodat:268,53 chown:92, lchown:94, fchown:93,55 fchownat:260,54 truncate:76,45 ftruncate:77,46 fallocate:285,47
utime:132, utimes:235, utimensat:280,88 futimesat:261, setxattr:188,5 lsetxattr:189,6 fsetxattr:190,7
removexattr:197,14 lremovexattr:198,15 fremovexattr:199,16 name_to_handle_at:303,264 open_by_handle_at:304,265
inotify_init:253, inotify_init1:294,26 inotify_add_watch:254,27 fanotify_init:300,262 fanotify_mark:301,263
chroot:161,51
mount:165,40 umount2:166,39 pivot_root:155,41 open_tree:428,428 move_mount:429,429 fsopen:430,430 fsconfig:431,431
fsmount:432,432 fspick:433,433 mount_setattr:442,442 swapon:167,224 swapoff:168,225 quotactl:179,60
quotactl_fd:443,443
memfd_create:319,279 memfd_secret:447,447 shmget:29,194 shmat:30,196 shmctl:31,195 semget:64,190 semop:65,193
semtimedop:220,192 semctl:66,191 msgget:68,186 msgsnd:69,189 msgrcv:70,188 msgctl:71,187 mq_open:240,180
mq_unlink:241,181 userfaultfd:323,282 remap_file_pages:216,234
bpf:321,280 perf_event_open:298,241 io_uring_setup:425,425 io_uring_enter:426,426 io_uring_register:427,427
io_setup:206,0 io_submit:209,2 keyctl:250,219 add_key:248,217 request_key:249,218 init_module:175,105
finit_module:313,273 delete_module:176,106 kexec_load:246,104 kexec_file_load:320,294 reboot:169,142 syslog:103,116
acct:163,89 personality:135,92 modify_ldt:154, iopl:172, ioperm:173, settimeofday:164,170 clock_settime:227,112
clock_adjtime:305,266 adjtimex:159,171 sethostname:170,161 setdomainname:171,162 vhangup:153,58 lookup_dcookie:212,18
nfsservctl:180,42
setuid:105,146 setgid:106,144 setreuid:113,145 setregid:114,143 setresuid:117,147 setresgid:119,149 setgroups:116,159
setfsuid:122,151 setfsgid:123,152 capset:126,91 setrlimit:160,164 setsid:112,157 setpgid:109,154
"""
"""Calls by name, with their numbers on x86_64 and aarch64; one that is empty does not exist there."""
ABSENT = "clone3:435,435 openat2:437,437"
"""Calls whose flags are out of a filter's sight: ENOSYS, and libc takes the older ones."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_CLONE_THREAD = 0x10000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # would type into the terminal that the log is written to
_X32 = 0x40000000
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_SPEC_ALLOW = 4  # V8 is not to be slowed down to protect it from itself, which older kernels would do
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

_REFUSE = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
_ACCEPT = (_RETURN, 0, 0, _ALLOW)
_UNKNOWN = (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)

Instruction = tuple[int, int, int, int]


class Machine(NamedTuple):
    """An architecture: its number in the audit's words, its column in the tables, its number of seccomp(2)."""

    audit: int
    column: int
    seccomp: int


MACHINES = {"x86_64": Machine(0xC000003E, 0, 317), "aarch64": Machine(0xC00000B7, 1, 277)}

_syscall = ctypes.CDLL(None, use_errno=True).syscall


def missing() -> str:
    """Why there can be no filter; '' if there can."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return f"there is no table of system calls for {platform.machine()}"
    action = ctypes.c_uint32(_ERRNO)
    if _syscall(machine.seccomp, _GET_ACTION_AVAIL, 0, ctypes.byref(action)):
        return os.strerror(ctypes.get_errno())
    return ""


def apply() -> None:
    """Filter what this thread, and those that it starts, may ask for. Needs no_new_privs. Raises OSError."""
    machine = MACHINES[platform.machine()]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program(machine, os.getpid()))
    instructions = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: a length, and after its padding a pointer
    filters = ctypes.create_string_buffer(struct.pack("HP", len(code) // 8, ctypes.addressof(instructions)))
    if _syscall(machine.seccomp, _SET_MODE_FILTER, _SPEC_ALLOW, filters):
        raise OSError(ctypes.get_errno(), "seccomp")


def numbers(table: str, column: int) -> list[int]:
    """The numbers in one column of a table."""
    pairs = (entry.partition(":")[2].split(",") for entry in table.split())
    return [int(pair[column]) for pair in pairs if pair[column]]


def program(machine: Machine, pid: int) -> list[Instruction]:
    """The filter, for the process `pid`."""
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        _REFUSE,
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        _UNKNOWN,
        *(each for number in numbers(ABSENT, machine.column) for each in _if(number, [_UNKNOWN])),
        *_checked(machine.column, pid),
        *(each for number in numbers(REFUSED, machine.column) for each in _if(number, [_REFUSE])),
        _ACCEPT,
    ]


def _checked(column: int, pid: int) -> list[Instruction]:
    """Calls that are refused for some arguments."""
    writing = [(_ANY_BIT, 0, 1, WRITES), _REFUSE, _ACCEPT]
    threads = [*_argument(0), (_ANY_BIT, 1, 0, _CLONE_THREAD), _REFUSE, _ACCEPT]
    own = [*_argument(0), (_EQUAL, 1, 0, pid), _REFUSE, _ACCEPT]  # abort() sends itself a signal
    typing = [*_argument(1), (_EQUAL, 1, 0, _TIOCSTI), (_EQUAL, 0, 1, _TIOCLINUX), _REFUSE, _ACCEPT]
    asking = [*_argument(2), (_EQUAL, 0, 2, 0), *_argument(2, high=True), (_EQUAL, 1, 0, 0), _REFUSE, _ACCEPT]
    table = {
        "open:2,": [*_argument(1), *writing],
        "openat:257,56": [*_argument(2), *writing],
        "clone:56,220": threads,
        "tgkill:234,131": own,
        "ioctl:16,29": typing,
        "prlimit64:302,261": asking,
    }
    return [each for call, body in table.items() for number in numbers(call, column) for each in _if(number, body)]


def _argument(index: int, *, high: bool = False) -> list[Instruction]:
    """Load the lower half of an argument, or the higher (both architectures are little-endian)."""
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * index + 4 * high)]


def _if(number: int, body: list[Instruction]) -> list[Instruction]:
    """Do this, which ends the filter, if that is the number of the call."""
    return [(_EQUAL, 0, len(body), number), *body]
