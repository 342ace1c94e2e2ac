"""Calls of the Linux kernel: those that this process makes, and a filter (seccomp) of those it may make.

The filter is a list of what a computation needs; all else is refused: no process, socket, signal, attribute
of a file; no opening for writing where there is no folder to write in.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

LIBC = ctypes.CDLL(None, use_errno=True)

# seccomp: numbers on x86-64 and on arm64

_CALLS = """
read 0 63, write 1 64, pread64 17 67, pwrite64 18 68, readv 19 65, writev 20 66, lseek 8 62, close 3 57,
close_range 436 436, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, poll 7 -, ppoll 271 73,
select 23 -, pselect6 270 72, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22,
eventfd2 290 19, stat 4 -, lstat 6 -, fstat 5 80, newfstatat 262 79, statx 332 291, access 21 -,
faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78, getcwd 79 17, chdir 80 49,
fchdir 81 50, getdents64 217 61, statfs 137 43, fstatfs 138 44, flock 73 32, fadvise64 221 223,
sendfile 40 71, mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233, brk 12 214,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, sigaltstack 131 132, rt_sigpending 127 136,
pause 34 -, setitimer 38 103, getitimer 36 102, alarm 37 -, restart_syscall 219 128, futex 202 98,
set_robust_list 273 99, get_robust_list 274 100, rseq 334 293, set_tid_address 218 96, gettid 186 178,
sched_yield 24 124, sched_getaffinity 204 123, getpid 39 172, getppid 110 173, getuid 102 174,
geteuid 107 175, getgid 104 176, getegid 108 177, getgroups 115 158, getresuid 118 148, getresgid 120 150,
getpgrp 111 -, getrlimit 97 163, getrusage 98 165, times 100 153, uname 63 160, sysinfo 99 179,
umask 95 166, clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115, nanosleep 35 101,
gettimeofday 96 169, time 201 -, getrandom 318 278, recvfrom 45 207, shutdown 48 210,
getsockopt 55 209, getsockname 51 204, getpeername 52 205, exit 60 93, exit_group 231 94,
wait4 61 260, waitid 247 95
"""
# Within the folder in memory.
_CHANGES = """
mkdir 83 -, mkdirat 258 34, unlink 87 -, unlinkat 263 35, rmdir 84 -, rename 82 -, renameat 264 38,
renameat2 316 276, ftruncate 77 46, fsync 74 82, fdatasync 75 83
"""
_SPECIAL = """
open 2 -, openat 257 56, clone 56 220, clone3 435 435, prlimit64 302 261, socketpair 53 199, sendto 44 206,
ioctl 16 29, fcntl 72 25, prctl 157 167, pivot_root 155 41, mount_setattr 442 442, capset 126 91,
landlock_create_ruleset 444 444, landlock_add_rule 445 445, landlock_restrict_self 446 446, seccomp 317 277
"""
_COLUMN = {"x86_64": 1, "aarch64": 2}.get(platform.machine(), 0)
_AUDIT = {1: 0xC000003E, 2: 0xC00000B7}
_ALL = 0xFFFFFFFF
_ALLOW, _REFUSE, _UNKNOWN, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000  # EPERM, ENOSYS
_WRITING = 1 | 2 | 0o100 | 0o1000 | 0o20000000  # write only, both, create, truncate, nameless file


def _table(text: str) -> dict[str, int]:
    rows = [row.split() for row in text.split(",")]
    return {row[0]: int(row[_COLUMN]) for row in rows if _COLUMN and row[_COLUMN] != "-"}


def number_of(name: str) -> int:
    """Number of a call on this processor."""
    if not _COLUMN:
        raise OSError(f"no table of system calls for {platform.machine()}")
    return _table(_SPECIAL)[name]


def filter_calls(room: bool) -> None:
    """Filter the calls of this process for good; `room`: there is a folder that it may write in."""
    filter_ = _program(room)
    steps = ctypes.create_string_buffer(b"".join(filter_))
    held = struct.pack("HxxxxxxP", len(filter_), ctypes.addressof(steps))
    prctl(22, 2, held)  # PR_SET_SECCOMP, a filter


def _program(room: bool) -> list[bytes]:
    """Filter of system calls: what it names is allowed, all else refused."""
    special = _table(_SPECIAL)
    if not special:
        raise OSError(f"no table of system calls for {platform.machine()}")
    steps = [_step(0x20, 4), _step(0x15, _AUDIT[_COLUMN], 1, 0), _step(0x06, _KILL), _step(0x20, 0)]
    for number in (_table(_CALLS) | (_table(_CHANGES) if room else {})).values():
        steps += [_step(0x15, number, 0, 1), _step(0x06, _ALLOW)]
    writing = 0 if room else _WRITING
    rules = {
        "open": _without((1, writing)),
        "openat": _without((2, writing)),
        # Only a thread, CLONE_THREAD.
        "clone": [_load(0), _step(0x45, 0x10000, 0, 1), _step(0x06, _ALLOW), _step(0x06, _REFUSE)],
        "clone3": [_step(0x06, _UNKNOWN)],  # its flags cannot be read; the C library then uses clone
        "prlimit64": _without((0, _ALL), (2, _ALL)),  # reading a limit of its own, not setting one
        "socketpair": _one_of(0, (1,)),
        "sendto": _without((4, _ALL)),  # to nobody but the other end
        "ioctl": _one_of(1, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),
        "fcntl": _one_of(1, (*range(8), 1030)),  # not those that send signals
        "prctl": _one_of(0, (15,)),  # the name of a thread
    }
    for name, block in rules.items():
        if name in special:
            steps += [_step(0x15, special[name], 0, len(block)), *block]
    return [*steps, _step(0x06, _REFUSE)]


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


def _load(argument: int, high: bool = False) -> bytes:
    return _step(0x20, 16 + 8 * argument + 4 * high)


def _one_of(argument: int, values: tuple[int, ...]) -> list[bytes]:
    steps = [_load(argument)]
    for value in values:
        steps += [_step(0x15, value, 0, 1), _step(0x06, _ALLOW)]
    return [*steps, _step(0x06, _REFUSE)]


def _without(*masks: tuple[int, int]) -> list[bytes]:
    """Allow where arguments have none of these bits of their lower half; `_ALL` means the upper half too."""
    steps = []
    for argument, mask in masks:
        for high in (False, True) if mask == _ALL else (False,):
            steps += [_load(argument, high), _step(0x45, mask, 0, 1), _step(0x06, _REFUSE)]
    return [*steps, _step(0x06, _ALLOW)]


# Calls


def prctl(option: int, value: int, third: bytes | None = None) -> None:
    """Change something of this process, as prctl(2)."""
    call("prctl", option, ctypes.c_ulong(value), third, None, None)


def syscall(name: str, *given: object) -> int:
    """Make a call that the C library has no function for."""
    return call("syscall", ctypes.c_long(number_of(name)), *given)


def call(name: str, *given: object) -> int:
    """Call a function of the C library; OSError where it fails."""
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in given]
    found = getattr(LIBC, name)(*wide)
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return found
