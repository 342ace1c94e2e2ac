"""Programs that a model wrote: cut out of a completion, run against tests in a process with hard limits.

The limits (memory, processor time, wall clock, file size, no further process, no network, writing only in a
temporary folder) stop accidents and plain mischief. They are no sandbox against an attacker: run foreign code
only where nothing can be lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile

PROCESSOR_SECONDS = 3  # as the evaluation of Chen et al. 2021
WALL_SECONDS = 6.0
MEMORY_BYTES = 1 << 30
LONGEST = 50_000  # characters of a program
# Where a continuation of a function ends (Chen et al. 2021, section 2.1).
_STOPS = re.compile(r"\n(?=class\b|def\b|#|if\b|print\b|@|```)")
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL | re.IGNORECASE)
_UNREADY = 97

# Runs in a fresh interpreter. Only a program that ends by itself, after its tests, gets to write the token.
_RUNNER = """
import ctypes, json, os, resource, sys
job = json.load(sys.stdin)
try:
    for name, most in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (most, most))
    ctypes.CDLL(None).unshare(0x10000000 | 0x40000000)  # user and network: not everywhere allowed
except Exception:
    os._exit(job["unready"])
room, write, token = os.path.realpath("."), os.write, job.pop("token").encode()
CLOSED = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.",
          "os.kill", "os.chown", "os.chmod", "ctypes.", "urllib.", "webbrowser.")
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink",
           "shutil.")
def watch(event, given):
    if event.startswith(CLOSED):
        raise PermissionError(event)
    if event.startswith(CHANGES) or (event == "open" and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        paths = given[:1] if event == "open" else given
        for path in (os.fsdecode(one) for one in paths if isinstance(one, (str, bytes))):
            if os.path.commonpath([os.path.realpath(path), room]) != room:
                raise PermissionError(event)
program = compile(job["program"], "program", "exec")
sys.addaudithook(watch)
exec(program, {"__name__": "program"})
write(job["report"], token)
"""


def program_of(completion: str, prompt: str, entry: str) -> str:
    """Return the program that a completion means: its last fenced block, or the prompt continued.

    Parameters
    ----------
    completion : str
        A continuation of the function in `prompt`, or a text with a fenced block that defines it.
    prompt : str
        Imports, signature and docstring.
    entry : str
        Name of the function that the tests call.

    Returns
    -------
    str
        "" when the completion holds nothing.

    Examples
    --------
    >>> program_of("    return a + b\\n\\nprint(add(1, 2))", "def add(a, b):\\n", "add")
    'def add(a, b):\\n    return a + b\\n'
    """
    fenced = _FENCE.findall(completion)
    text = fenced[-1] if fenced else completion
    if not text.strip():
        return ""
    if re.search(rf"^def\s+{re.escape(entry)}\b", text, re.MULTILINE):
        return f"{prompt.partition('def ')[0]}\n{text}"
    return prompt + _STOPS.split(text, maxsplit=1)[0]


def run_program(program: str) -> str:
    """Run a program in a process of its own and say how it ended.

    Parameters
    ----------
    program : str
        Python source with its tests; at most 50,000 characters.

    Returns
    -------
    str
        ``correct`` (it ran to its end), ``wrong`` (an exception, an early exit, too much memory),
        ``timeout`` (3 s of processor or 6 s of wall clock) or ``error: <type>``.

    Examples
    --------
    >>> run_program("assert 1 + 1 == 2"), run_program("import os; os._exit(0)")
    ('correct', 'wrong')
    """
    if len(program) > LONGEST:
        return "error: TooComplex"
    limits = {"RLIMIT_AS": MEMORY_BYTES, "RLIMIT_CPU": PROCESSOR_SECONDS, "RLIMIT_FSIZE": 1 << 20}
    limits |= {"RLIMIT_CORE": 0, "RLIMIT_NPROC": 0, "RLIMIT_NOFILE": 32}
    token, (near, far) = secrets.token_hex(16), os.pipe()
    job = {"program": program, "limits": limits, "token": token, "report": far, "unready": _UNREADY}
    try:
        code = _run(json.dumps(job), far)
        os.close(far)
        far = None
        told = os.read(near, 64).decode(errors="replace")
    finally:
        for handle in (near, far):
            if handle is not None:
                os.close(handle)
    if code == _UNREADY:
        return "error: NoLimits"
    if code in (None, -signal.SIGXCPU, -signal.SIGKILL):
        return "timeout"
    return "correct" if told == token and code == 0 else "wrong"


def grade_code(completion: str, problem: dict) -> tuple[str | None, str]:
    """Run a completion against the tests of its problem.

    Parameters
    ----------
    completion : str
        What the model wrote.
    problem : dict
        With ``prompt`` and ``metadata`` (JSON with ``test`` and ``entry_point``), as HumanEval has them.

    Returns
    -------
    (str or None, str)
        The program without its tests, and the reason as in `run_program`, or ``unextracted``.

    Examples
    --------
    >>> problem = {"prompt": "def one():\\n", "metadata":
    ...            '{"entry_point": "one", "test": "def check(f):\\\\n    assert f() == 1"}'}
    >>> grade_code("    return 1", problem)[1], grade_code("    return 2", problem)[1]
    ('correct', 'wrong')
    """
    known = json.loads(problem["metadata"])
    program = program_of(completion, problem["prompt"], known["entry_point"])
    if not program:
        return None, "unextracted"
    return program, run_program(f"{program}\n{known['test']}\ncheck({known['entry_point']})\n")


def _run(job: str, report: int) -> int | None:
    """Exit code of the runner; None when the wall clock ended it."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="hammer-code-") as room:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[report],
            cwd=room,
            env=kept,
            start_new_session=True,
        )
        try:
            process.communicate(job.encode(), timeout=WALL_SECONDS)
            return process.returncode
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
