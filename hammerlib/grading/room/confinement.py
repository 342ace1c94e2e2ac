"""Confinement of this process by the Linux kernel: name spaces, Landlock, seccomp, limits.

Three means, of which each run takes all that hold on the machine:

- *name spaces*: own mounts (Python's library and nothing else, read only; the only place to write is a folder
  in memory, 1 MiB and 64 files in all), processes, network, hosts; as root the process becomes nobody;
- *Landlock*: files may be read below Python's library and nowhere else;
- *seccomp*: a list of the system calls that a computation needs. No process, socket, signal, attribute of a
  file, device; without name spaces no opening for writing either.

seccomp and one of the other two are required. No library is used: those for Landlock and seccomp on PyPI are
unfinished, or need a C library that is not everywhere.
"""

from __future__ import annotations

import ctypes
import glob
import os
import platform
import resource
import signal
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)

# seccomp

_COLUMN = {"x86_64": 1, "aarch64": 2}.get(platform.machine(), 0)
_AUDIT = {1: 0xC000003E, 2: 0xC00000B7}
_ALL = 0xFFFFFFFF
_ALLOW, _REFUSE, _UNKNOWN, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000  # EPERM, ENOSYS
_WRITING = 1 | 2 | 0o100 | 0o1000 | 0o20000000  # write only, both, create, truncate, nameless file


def _table(section: str) -> dict[str, int]:
    """Numbers by name, of a section of ``calls.txt``, on this processor."""
    with open(os.path.join(os.path.dirname(__file__), "calls.txt")) as file:
        text = file.read().partition(f"= {section}\n")[2].partition("\n\n")[0]
    rows = [row.split() for row in text.splitlines()]
    return {row[0]: int(row[_COLUMN]) for row in rows if _COLUMN and row[_COLUMN] != "-"}


# Read now: once confined, this process sees no files of ours.
_CALLS, _CHANGES, _SPECIAL = map(_table, ("computation", "folder in memory", "special"))


def number_of(name: str) -> int:
    """Number of a call on this processor."""
    if not _COLUMN:
        raise OSError(f"no table of system calls for {platform.machine()}")
    return _SPECIAL[name]


def filter_calls(room: bool) -> None:
    """Filter the calls of this process for good; `room`: there is a folder that it may write in."""
    filter_ = _program(room)
    steps = ctypes.create_string_buffer(b"".join(filter_))
    held = struct.pack("HxxxxxxP", len(filter_), ctypes.addressof(steps))
    prctl(22, 2, held)  # PR_SET_SECCOMP, a filter


def _program(room: bool) -> list[bytes]:
    """Filter of system calls: what it names is allowed, all else refused."""
    if not _SPECIAL:
        raise OSError(f"no table of system calls for {platform.machine()}")
    steps = [_step(0x20, 4), _step(0x15, _AUDIT[_COLUMN], 1, 0), _step(0x06, _KILL), _step(0x20, 0)]
    for number in (_CALLS | (_CHANGES if room else {})).values():
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
        if name in _SPECIAL:
            steps += [_step(0x15, _SPECIAL[name], 0, len(block)), *block]
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
    wide = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in given]
    result = getattr(LIBC, name)(*wide)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


NAMESPACES, LANDLOCK, SECCOMP = "namespaces", "landlock", "seccomp"
ROOM = "/room"
ROOM_BYTES = 1 << 20
ROOM_FILES = 64
NOBODY = 65534
_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_SITES = ("site-packages", "dist-packages")

# Mounts, processes, network, shared memory, host name.
_PRIVATE = 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
_NEW_USER = 0x10000000
_READ_ONLY, _NO_SUID, _NO_DEVICE, _REMOUNT, _BIND, _RECURSIVE, _ALONE = 1, 2, 4, 32, 4096, 16384, 1 << 18


def probe() -> dict[str, object]:
    """Try each means in a process of its own: the reason why it fails ("" where it holds), and the view."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a caller that ignores it hands that down
    seen = view()
    means = {}
    attempts = {
        NAMESPACES: lambda: _namespaces(seen),
        LANDLOCK: lambda: _landlock(seen, False),
        SECCOMP: lambda: filter_calls(False),
    }
    for name, attempt in attempts.items():
        near, far = os.pipe()
        child = os.fork()
        if not child:
            try:
                if name != NAMESPACES:
                    no_new_privileges()
                attempt()
                import colorsys  # noqa: F401  # something that can only be loaded now
            except BaseException as error:
                os.write(far, (str(error) or type(error).__name__).encode()[:500])
            os._exit(0)
        os.close(far)
        ended = os.waitpid(child, 0)[1]
        means[name] = os.read(near, 500).decode() or (f"ended with {ended}" if ended else "")
        os.close(near)
    return {"means": means, "view": seen}


def enter(plan: dict) -> None:
    """Confine this process, before it forks, by all means of the plan but seccomp (`filter_calls`)."""
    limit(plan["limits"])
    if NAMESPACES in plan["means"]:
        _namespaces(plan["view"])
    else:
        os.chdir("/")
        drop_capabilities()
    no_new_privileges()
    os.environ.clear()
    os.environ.update(HOME=ROOM, TMPDIR=ROOM, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    sys.path += plan["view"]["sites"]


def seal(plan: dict) -> None:
    """Confine this process, after it was forked, for good."""
    prctl(1, 9)  # PR_SET_PDEATHSIG: it ends with its parent
    prctl(4, 0)  # PR_SET_DUMPABLE: others of the same user cannot look into it
    if LANDLOCK in plan["means"]:
        _landlock(plan["view"], NAMESPACES in plan["means"])
    filter_calls(NAMESPACES in plan["means"])


def limit(limits: dict[str, int]) -> None:
    """Lower resource limits, given by name."""
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, name), (most, most))


# The view


def view() -> dict[str, list]:
    """Return what of the file system a program needs, and what within that is hidden."""
    library = [path for path in sys.path if os.path.exists(path)]
    with open("/proc/self/maps") as maps:
        loaded = {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line}
    folders = {os.path.dirname(path) for path in loaded if os.path.isabs(path)} | set(library)
    folders = {os.path.realpath(path) for path in folders}
    links = {path: os.path.realpath(path) for path in library if os.path.realpath(path) != path}
    links |= {path: os.readlink(path) for path in ("/lib", "/lib64", "/usr/lib64") if os.path.islink(path)}
    roots = sorted(
        folder for folder in folders if not any(folder.startswith(outer + "/") for outer in folders)
    )
    places = [glob.escape(folder) + between for folder in roots for between in ("/", "/python3*/")]
    hidden = [path for pattern in places for site in _SITES for path in glob.glob(pattern + site)]
    hidden = [os.path.realpath(path) for path in hidden if os.path.isdir(path)]
    return {
        "shown": roots + [path for path in _FILES if os.path.exists(path)],
        "devices": [path for path in _DEVICES if os.path.exists(path)],
        "links": sorted(links.items()),
        "hidden": sorted(
            path for path in set(hidden) if any(path.startswith(folder + "/") for folder in roots)
        ),
        "packages": [],
        "sites": [],
    }


# Name spaces


def _namespaces(seen: dict[str, list]) -> None:
    user, group = os.getuid(), os.getgid()
    # Real root needs no user name space, and can become nobody afterwards.
    real = user == 0 and LIBC.unshare(_PRIVATE) == 0
    if not real:
        call("unshare", _PRIVATE | _NEW_USER)
        same = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
        for path, text in same.items():
            with open(f"/proc/self/{path}", "w") as file:
                file.write(text)
    sources = {path: os.open(path, os.O_PATH) for path in seen["shown"] + seen["devices"] + seen["packages"]}
    mount("none", "/", None, _RECURSIVE | _ALONE)
    base = next(path for path in ("/tmp", "/mnt", "/var", "/usr") if os.path.isdir(path))
    mount("room", base, "tmpfs", _NO_SUID | _NO_DEVICE, "size=1m,nr_inodes=1000,mode=755")
    covers = [base + path for path in seen["hidden"]]
    for path in seen["shown"] + seen["devices"]:
        _bind(sources[path], base + path)
        read_only(base + path, device=path in seen["devices"])
    for path in covers:
        mount("room", path, "tmpfs", _NO_SUID | _NO_DEVICE, "size=64k,nr_inodes=100,mode=755")
    for path in seen["packages"]:
        _bind(sources[path], base + path)
        read_only(base + path)
    for path in covers:
        read_only(path)
    for path, target in seen["links"]:
        os.makedirs(base + os.path.dirname(path), exist_ok=True)
        if not os.path.lexists(base + path):
            os.symlink(target, base + path)
    os.mkdir(base + ROOM)
    quota = f"size={ROOM_BYTES},nr_inodes={ROOM_FILES},mode=1777"
    mount("room", base + ROOM, "tmpfs", _NO_SUID | _NO_DEVICE, quota)
    for source in sources.values():
        os.close(source)
    os.chdir(base)
    syscall("pivot_root", b".", b".")
    call("umount2", b".", 2)
    mount("none", "/", None, _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICE)
    os.chdir(ROOM)
    LIBC.sethostname(b"room", 4)
    readable = os.stat(os.__file__).st_mode & 0o004 and os.stat(os.path.dirname(os.__file__)).st_mode & 0o001
    drop_capabilities(NOBODY if real and readable else None)


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mount, as mount(2)."""
    given = [os.fsencode(text) if text else None for text in (source, target, kind)]
    call("mount", *given, ctypes.c_ulong(flags), options.encode() or None)


def _bind(source: int, target: str) -> None:
    if os.path.isdir(f"/proc/self/fd/{source}"):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "w").close()
    mount(f"/proc/self/fd/{source}", target, None, _BIND | _RECURSIVE)


def read_only(path: str, device: bool = False) -> None:
    """Forbid writing below a mount."""
    flags = _READ_ONLY | _NO_SUID | (0 if device else _NO_DEVICE)
    try:
        syscall("mount_setattr", -100, os.fsencode(path), 0x8000, struct.pack("QQQQ", flags, 0, 0, 0), 32)
    except OSError:  # before Linux 5.12, where only the mount itself can be changed
        kept = os.statvfs(path).f_flag & 0xF
        mount("none", path, None, _REMOUNT | _BIND | flags | kept)


def drop_capabilities(user: int | None = None) -> None:
    """Give up all privileges for good, and become another user if one is given."""
    for number in range(64):
        if LIBC.prctl(24, number, 0, 0, 0):  # PR_CAPBSET_DROP
            break
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    syscall("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))


def no_new_privileges() -> None:
    """Programs that this process starts have no more rights than it has."""
    prctl(38, 1)


# Landlock


def landlock_version() -> int:
    """Version of Landlock that the kernel speaks; 0 where it has none."""
    return max(0, LIBC.syscall(*map(ctypes.c_long, (number_of("landlock_create_ruleset"), 0, 0, 1))))


def _landlock(seen: dict[str, list], room: bool) -> None:
    version = landlock_version()
    if not version:
        raise OSError("the kernel has no Landlock")
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    network, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = syscall("landlock_create_ruleset", struct.pack("QQQ", files, network, scopes)[:size], size, 0)
    read_file, read_folder = 1 << 2, 1 << 3
    if room:  # the name spaces show nothing else
        _allow(rules, "/", read_file | read_folder)
        _allow(rules, ROOM, files & ~1 & ~(0b1111 << 9) & ~(1 << 6))  # no running, devices, sockets, pipes
    else:
        for path in seen["shown"]:
            for visible in _apart_from(path, seen["hidden"]):
                _allow(rules, visible, read_file | read_folder)
        for path in seen["devices"]:
            _allow(rules, path, read_file)
        for path in seen["shown"] + seen["sites"]:
            _allow(rules, path, read_folder)
        for path in seen["packages"]:
            _allow(rules, path, read_file | read_folder)
    syscall("landlock_restrict_self", rules, 0)
    os.close(rules)


def _apart_from(path: str, hidden: list[str]) -> list[str]:
    """Parts of a folder that together are all of it but the hidden ones."""
    inside = [covered for covered in hidden if covered == path or covered.startswith(path + "/")]
    if not inside:
        return [path]
    if path in inside:
        return []
    return [visible for entry in os.scandir(path) for visible in _apart_from(entry.path, inside)]


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= 0b110  # what can be done with a file
        if rights:
            syscall("landlock_add_rule", rules, 1, struct.pack("=Qi", rights, handle), 0)
    finally:
        os.close(handle)
