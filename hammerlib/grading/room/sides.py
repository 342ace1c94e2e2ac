"""The two sides of a run: a judge that holds the tests, and the program behind the wall that answers calls.

Three processes: the outer one confines itself and waits. The judge below it reads the job (program, tests)
after it has forked the third, which executes the program and has never had the tests in its memory. Between
judge and program goes plain data alone (`plain`).
"""

from __future__ import annotations

import builtins
import json
import os
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import Any, NoReturn

from . import confinement
from .plain import Packer, Unpacker, Unsupported

JOB, REPORT = 0, 1  # file descriptors of the outer process and the judge
LONGEST = 32 << 20  # bytes of a message
UNCONFINED, SEALED = b"error: Unconfined", "sealed"
# Raised inside a loop or a generator of the tests, these would end it early without a word.
_QUIET = (StopIteration, StopAsyncIteration, GeneratorExit)


def main(text: str) -> NoReturn:
    """Run the job on standard input by a plan (JSON); the verdict goes to standard output."""
    plan = json.loads(text)
    sys.argv[:] = [""]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a caller that ignores it hands that down
    try:
        confinement.enter(plan)
        confinement.prctl(1, signal.SIGKILL)  # ends with the process that wants the verdict
        os.dup2(os.open("/dev/null", os.O_RDWR), 2)
        inner = os.fork()
    except BaseException as error:
        _end(REPORT, UNCONFINED, error)
    if not inner:
        _judge(plan)
    ended = os.waitpid(inner, 0)[1]
    if _overran(ended):
        os.write(REPORT, b"timeout")
    os._exit(os.waitstatus_to_exitcode(ended) & 0xFF)


# The judge


def _judge(plan: dict[str, Any]) -> NoReturn:
    calls, questions = os.pipe()
    answers, replies = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    program = os.fork()
    if not program:
        for descriptor in (JOB, REPORT):
            os.dup2(null, descriptor)
        for descriptor in (questions, answers, null):
            os.close(descriptor)
        _program(plan, Line(calls, replies))
    os.close(calls)
    os.close(replies)
    report = os.dup(REPORT)
    try:
        confinement.seal(plan)
        with open(JOB, closefd=False) as file:
            job = json.load(file)
        for descriptor in (JOB, REPORT):
            os.dup2(null, descriptor)
    except BaseException as error:
        _end(report, UNCONFINED, error)
    try:
        _examine(job, Far(Line(answers, questions), program, report))
    except BaseException as error:
        _end(report, b"wrong", error)
    _end(report, b"correct")


def _end(report: int, verdict: bytes, why: BaseException | None = None) -> NoReturn:
    if why is not None:
        sys.stderr.write(f"{type(why).__name__}: {why}\n")  # seen by nobody but who runs this by hand
    os.write(report, verdict)
    os._exit(0)


class Far:
    """What the judge knows of the program: a line to it. Whatever is no plain answer ends the run."""

    def __init__(self, line: Line, process: int, report: int) -> None:
        self.line, self.process, self.report = line, process, report
        self.calls = 0
        try:
            sealed = line.receive() == SEALED
        except (EOFError, ValueError):
            sealed = False
        if not sealed:  # it has not begun with the program yet: this is not the program's fault
            self.end(UNCONFINED)

    def ask(self, question: object, known: list[Any]) -> Any:
        """Return the value that the program answers, or raise its exception."""
        try:
            self.line.send(question)
            answer = self.line.receive()
            if "raised" in answer:
                error = _rebuilt(answer["raised"], Unpacker().unpack(answer["with"]))
            else:
                return Unpacker(known).unpack(answer)
        except EOFError:
            self.end(self._fate())
        except (ValueError, TypeError, RecursionError, MemoryError, LookupError, AttributeError):
            self.end(b"wrong")
        if error is None:
            self.end(b"wrong")
        raise error

    def _fate(self) -> bytes:
        """Why a program does not answer any more."""
        for _ in range(200):  # its descriptors close a moment before it is gone
            ended, how = os.waitpid(self.process, os.WNOHANG)
            if ended:
                return b"timeout" if _overran(how) else b"wrong"
            time.sleep(0.01)
        return b"wrong"

    def end(self, verdict: bytes) -> NoReturn:
        """End the run."""
        _end(self.report, verdict)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function that is tested; lists and dicts among the arguments change as it changes them."""
        self.calls += 1
        packer = Packer()
        try:
            question = packer.pack((args, kwargs))
        except Unsupported:
            self.end(b"error: Unsupported")  # the tests', not the program's
        return self.ask(question, packer.objects)


def _examine(job: dict[str, str], far: Far) -> None:
    far.ask({"program": job["program"], "entry": job["entry"]}, [])
    if job["test"] is None:
        return

    def candidate(*args: Any, **kwargs: Any) -> Any:
        return far.call(*args, **kwargs)

    candidate.__name__ = candidate.__qualname__ = job["entry"]
    scope = sys.modules["tests"] = types.ModuleType("tests")
    try:
        # What the tests use besides the function (imports, helpers) comes from the prompt, not the program.
        exec(_definitions(job["prompt"]), scope.__dict__)
        scope.__dict__[job["entry"]] = candidate
        exec(compile(job["test"], "tests", "exec"), scope.__dict__)
        check = scope.__dict__["check"]
    except BaseException as error:
        # Before they called anything the tests failed of themselves.
        far.end(b"wrong" if far.calls else f"error: {type(error).__name__}".encode())
    check(candidate)


def _definitions(prompt: str) -> types.CodeType:
    for source in (prompt, prompt + "\n    pass\n"):
        try:
            return compile(source, "prompt", "exec")
        except SyntaxError:
            continue
    return compile(prompt.partition("def ")[0], "prompt", "exec")


def _rebuilt(names: list[str], values: tuple[Any, ...]) -> Exception | None:
    """An exception of the first built-in type of these names; none for what would end a process."""
    kinds = [getattr(builtins, name, None) for name in names]
    kinds = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseException)]
    if not kinds or not issubclass(kinds[0], (Exception, GeneratorExit)) or type(values) is not tuple:
        return None
    if issubclass(kinds[0], _QUIET):
        return RuntimeError(f"the function raised {kinds[0].__name__}")
    for kind in kinds:
        try:
            return kind(*values)
        except TypeError:  # UnicodeDecodeError and the like take more
            continue
    return None


# The program's side


def _program(plan: dict[str, Any], line: Line) -> NoReturn:
    try:
        for descriptor in set(range(3, 256)) - {line.near, line.far}:
            os.closerange(descriptor, descriptor + 1)
        confinement.seal(plan)
        if plan["hook"]:
            sys.addaudithook(_refuse)
        line.send(SEALED)
    except BaseException as error:
        sys.stderr.write(f"{error}\n")
        os._exit(1)
    try:
        _answer(line)
    finally:
        os._exit(0)


def _refuse(event: str, _: object) -> None:
    """Let these fail with an exception, as all else does: confined as they are, they would only return."""
    if event in ("os.system", "ctypes.dlopen"):
        raise PermissionError(event)


def _answer(line: Line) -> None:
    job = line.receive()
    module = sys.modules["program"] = types.ModuleType("program")
    entry = None

    def begin() -> dict[str, Any]:
        nonlocal entry
        exec(compile(job["program"], "program", "exec"), module.__dict__)
        if job["entry"] is not None:
            entry = module.__dict__[job["entry"]]  # once: `check` too gets the function, not its name
            if not callable(entry):
                raise TypeError(f"{job['entry']} is no function")
        return Packer().pack(None)

    answer = _outcome(begin)
    while True:
        line.send(answer)
        question = line.receive()

        def call(question: dict[str, Any] = question) -> dict[str, Any]:
            unpacker = Unpacker()
            args, kwargs = unpacker.unpack(question)
            return Packer(unpacker.objects).pack(entry(*args, **kwargs))

        answer = _outcome(call)


def _outcome(act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return act()
    except Unsupported as error:
        return {"unsupported": str(error)}
    except BaseException as error:
        names = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        try:
            values = Packer().pack(error.args)
        except Unsupported:
            values = Packer().pack((str(error),))
        return {"raised": names, "with": values}


# Between them


class Line:
    """Messages over two pipes: their length in four bytes, then JSON."""

    def __init__(self, near: int, far: int) -> None:
        self.near, self.far = near, far

    def send(self, message: object) -> None:
        """Send a message; EOFError when nobody is there."""
        text = json.dumps(message, separators=(",", ":")).encode()
        if len(text) > LONGEST:
            raise ValueError("the message is too long")
        left = memoryview(len(text).to_bytes(4, "big") + text)
        try:
            while left:
                left = left[os.write(self.far, left) :]
        except BrokenPipeError as error:
            raise EOFError from error

    def receive(self) -> Any:
        """Return the next message; EOFError when there will be none, ValueError when it is none."""
        length = int.from_bytes(self._read(4), "big")
        if length > LONGEST:
            raise ValueError("the message is too long")
        return json.loads(self._read(length))

    def _read(self, length: int) -> bytes:
        parts = []
        while length:
            piece = os.read(self.near, min(length, 1 << 20))
            if not piece:
                raise EOFError
            parts.append(piece)
            length -= len(piece)
        return b"".join(parts)


def _overran(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
