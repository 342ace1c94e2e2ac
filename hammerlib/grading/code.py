"""Programs that a model wrote: cut out of a completion, run against tests, confined by the kernel.

The tests run in one process, the program in another, which gets the arguments of a call and gives plain data
back (`hammerlib.grading.room`): it can neither read what is expected, nor say by itself that it is right. The
program reads Python's library, numpy and sympy, and no other file, no environment, no process and no network;
it writes only in a folder in memory that ends with it (1 MiB, 64 files), or nowhere where the kernel refuses
name spaces. Memory, processor time, wall clock and every message have limits. Where too few means hold (no
Linux, no seccomp, neither name spaces nor Landlock) nothing runs; `hammer doctor` says which do.

What is not protected: faults of the kernel or the processor; without name spaces the names and sizes of
files. Tests are confined in the same way, but their author decides what is right. `run_code` also lets
scorers run that were not audited (`hammerlib.problems.registry.AUDITED`): these run *unconfined*, in the
grading process.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PROCESSOR_SECONDS = 3  # as the evaluation of Chen et al. 2021
WALL_SECONDS = 6.0
MEMORY_BYTES = 1 << 30
LONGEST = 50_000  # characters of a program
PROBE_SECONDS = 60.0
# What programs may import besides the standard library. Others could hold the solutions of a benchmark.
PACKAGES = ("numpy", "sympy", "mpmath")
HOOK = True  # shells and native libraries fail with an exception; off where tests want the kernel alone
# Where a continuation of a function ends (Chen et al. 2021, section 2.1).
_STOPS = re.compile(r"\n(?=class\b|def\b|#|if\b|print\b|@|```)")
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL | re.IGNORECASE)
# An interpreter without site-packages loads the modules of the room by themselves.
_START = "import sys; sys.path.append(sys.argv[1]); from room import {0}; sys.path.pop(); {1}"
_RUN = _START.format("sides", "sides.main(sys.argv[2])")
_PROBE = _START.format("confinement", "import json; print(json.dumps(confinement.probe()))")


def program_of(completion: str, prompt: str, entry: str) -> str:
    """Return the program that a completion means: its last fenced block, or the prompt continued."""
    fenced = _FENCE.findall(completion)
    text = fenced[-1] if fenced else completion
    if not text.strip():
        return ""
    if re.search(rf"^def\s+{re.escape(entry)}\b", text, re.MULTILINE):
        return f"{prompt.partition('def ')[0]}\n{text}"
    return prompt + _STOPS.split(text, maxsplit=1)[0]


def run_program(program: str, test: str | None = None, entry: str | None = None, prompt: str = "") -> str:
    """Run a program, confined, and say how it ended."""
    if len(program) > LONGEST:
        return "error: TooComplex"
    if refused():
        return "error: Unconfined"
    known = _probed()
    plan = {"means": [name for name, why in known["means"].items() if not why], "view": known["view"]}
    limits = {"RLIMIT_AS": MEMORY_BYTES, "RLIMIT_CPU": PROCESSOR_SECONDS, "RLIMIT_FSIZE": 1 << 20}
    plan["limits"] = limits | {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 64}
    plan["hook"] = HOOK
    return _run(plan, {"program": program, "test": test, "entry": entry, "prompt": prompt})


def grade_code(completion: str, problem: dict) -> tuple[str | None, str]:
    """Run a completion against the tests of its problem."""
    known = json.loads(problem["metadata"])
    program = program_of(completion, problem["prompt"], known["entry_point"])
    if not program:
        return None, "unextracted"
    return program, run_program(program, known["test"], known["entry_point"], problem["prompt"])


def means() -> dict[str, str]:
    """Return the means of confinement, each with the reason why it does not hold here ("" where it does)."""
    return dict(_probed()["means"])


def refused() -> str:
    """Return why programs cannot be confined here; "" where they can."""
    reasons = means()
    if reasons["seccomp"]:
        return f"seccomp: {reasons['seccomp']}"
    if reasons["namespaces"] and reasons["landlock"]:
        return f"name spaces: {reasons['namespaces']}, Landlock: {reasons['landlock']}"
    return ""


@functools.cache
def _probed() -> dict[str, Any]:
    """What the kernel offers, tried once in a process like those that will run programs."""
    nothing = {"means": dict.fromkeys(("namespaces", "landlock", "seccomp"), "needs Linux"), "view": {}}
    if sys.platform != "linux":
        return nothing
    command = [sys.executable, "-I", "-S", "-c", _PROBE, str(Path(__file__).parent)]
    how = {"capture_output": True, "text": True, "errors": "replace", "stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run(command, env=_environment(), timeout=PROBE_SECONDS, cwd="/", **how)
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return nothing | {"means": dict.fromkeys(nothing["means"], "trying it took too long")}
    except ValueError:
        why = done.stderr.strip().rpartition("\n")[2] or f"exit {done.returncode}"
        return nothing | {"means": dict.fromkeys(nothing["means"], why)}
    packages = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            folder = Path(spec.origin).resolve().parent
            packages += [
                str(candidate)
                for candidate in (folder, folder.with_name(f"{name}.libs"))
                if candidate.is_dir()
            ]
    sites = sorted({os.path.dirname(path) for path in packages})
    return {"means": answer["means"], "view": answer["view"] | {"packages": packages, "sites": sites}}


def _environment() -> dict[str, str]:
    """No secrets: what the loader needs to start Python, nothing else."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}


def _run(plan: dict[str, Any], job: dict[str, str | None]) -> str:
    """Give a job to processes of its own; what they leave is the verdict."""
    # Files in memory instead of pipes: nobody can fill them up and nobody has to read while another writes.
    with open(os.memfd_create("job"), "w+b") as job_file, open(os.memfd_create("report"), "w+b") as report:
        job_file.write(json.dumps(job).encode())
        job_file.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _RUN, str(Path(__file__).parent), json.dumps(plan)],
            stdin=job_file,
            stdout=report,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
        try:
            in_time = _ended(process, WALL_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if not in_time:
            return "timeout"
        report.seek(0)
        verdict = report.read(200).decode(errors="replace")
    if process.returncode == -signal.SIGKILL:
        return "timeout"
    return verdict if verdict in ("correct", "timeout") or verdict.startswith("error: ") else "wrong"


def _ended(process: subprocess.Popen, seconds: float) -> bool:
    """Whether a process ends in time. `Popen.wait` with a timeout looks only every 50 ms."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:  # before Linux 5.3
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
        return process.returncode is not None
    try:
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        return bool(waiting.poll(1000 * seconds))
    finally:
        os.close(handle)
