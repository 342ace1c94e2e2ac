"""Cheats and escapes of a model's program: none is right, none leaves a trace, as root or as another user."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_escapes import (
    ATTACKS,
    CHEATS,
    ENDLESS,
    TEST,
    cases,
    gone,
    left_over,
    program_of,
    verdict_of,
    verdicts_on_attacks,
)

from hammerlib.grading import code

pytestmark = pytest.mark.skipif(bool(code.refused()), reason=f"cannot be confined here: {code.refused()}")
NAMES = [*CHEATS, *ENDLESS, *ATTACKS]
PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/root", "/", "/etc", "/home", os.path.dirname(os.__file__))
KEPT = ("mode", "uid", "gid", "mtime_ns", "ctime_ns", "nlink", "size")


def traces(folder: Path) -> dict[str, object]:
    """What a program could have changed: the canary's folder in all its attributes, new names elsewhere."""
    found: dict[str, object] = {}
    for path in (folder, *sorted(folder.rglob("*")), Path(os.__file__)):
        seen = path.lstat()
        kept = [getattr(seen, f"st_{name}") for name in KEPT]
        found[str(path)] = kept, path.read_bytes() if stat.S_ISREG(seen.st_mode) else b""
    for place in PLACES:
        with contextlib.suppress(OSError):
            found[f"names in {place}"] = sorted(one for one in os.listdir(place) if "hammer-escape" in one)
    found["host"] = os.uname().nodename
    return found


@pytest.fixture(scope="module")
def given() -> Iterator[dict[str, object]]:
    """A folder that anybody may write to, outside the room, and listeners whom nobody may call."""
    folder = Path(tempfile.mkdtemp(prefix="hammer-canary-"))
    canary = folder / "precious"
    canary.write_text("kept")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        unix = (socket.AF_UNIX, socket.SOCK_STREAM)
        kinds = [(socket.AF_INET, socket.SOCK_STREAM), unix, (socket.AF_UNIX, socket.SOCK_DGRAM), unix]
        internet, stream, datagram, abstract = [stack.enter_context(socket.socket(*kind)) for kind in kinds]
        internet.bind(("127.0.0.1", 0))
        stream.bind(f"{folder}/s")
        datagram.bind(f"{folder}/s.d")
        abstract.bind(f"\0hammer-{os.getpid()}")
        for one in (internet, stream, abstract):
            one.listen()
            one.setblocking(False)
        datagram.setblocking(False)
        canary.chmod(0o666)
        for one in (f"{folder}/s", f"{folder}/s.d", folder):
            os.chmod(one, 0o777)
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("HAMMER_ESCAPE", "secret")
        yield {
            "folder": folder,
            "canary": canary,
            "checkout": Path(__file__).resolve().parents[1],
            "home": Path.home(),
            "pid": os.getpid(),
            "port": internet.getsockname()[1],
            "unix": f"{folder}/s",
            "abstract": f"hammer-{os.getpid()}",
        }
        for one in (internet, stream, abstract):
            with pytest.raises(BlockingIOError):
                one.accept()
        with pytest.raises(BlockingIOError):
            datagram.recv(1)


def assert_nothing_left(folder: Path, before: dict[str, object]) -> None:
    """No trace and, at once or after a moment, no process."""
    assert traces(folder) == before
    assert gone(), f"still running: {left_over()}"


@pytest.mark.parametrize("name", NAMES)
def test_no_cheat_is_right_and_no_escape_leaves_a_trace(name: str, given: dict[str, object]) -> None:
    before = traces(given["folder"])
    verdict = verdict_of(*cases(given)[name], seconds=1.0 if name in ENDLESS else 20.0)
    assert verdict in ("wrong", "timeout")
    if name in ATTACKS:
        assert verdict == "wrong"
    assert_nothing_left(given["folder"], before)


# Each weaker set of means that is still enough, as far as this machine has them.
@pytest.mark.parametrize("means", [("seccomp", "namespaces"), ("seccomp", "landlock")], ids="+".join)
def test_the_same_by_fewer_means(means: tuple[str, ...], given: dict[str, object]) -> None:
    if any(code.means()[name] for name in means):
        pytest.skip(f"not here: {code.means()}")
    before = traces(given["folder"])
    found = verdicts_on_attacks(given, means)
    assert found.pop("control") == "correct"
    assert {name: verdict for name, verdict in found.items() if verdict != "wrong"} == {}
    assert_nothing_left(given["folder"], before)


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="becomes another user")
def test_the_same_as_nobody(given: dict[str, object]) -> None:
    closed = [place for place in Path(sys.executable).parents if not place.stat().st_mode & 0o001]
    if closed:
        pytest.skip(f"no other user can start Python here: {closed[-1]} is closed to others")
    before = traces(given["folder"])
    told = {name: value if isinstance(value, int) else str(value) for name, value in given.items()}
    script = Path(__file__).with_name("code_escapes.py")
    command = [sys.executable, str(script), json.dumps(told)]
    path = os.pathsep.join(os.path.abspath(one) for one in sys.path if one)
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["user"] == 65534 and found["left"] == []
    assert found["verdicts"].pop("control") == "correct"
    assert set(found["verdicts"]) == set(ATTACKS)
    assert {name: one for name, one in found["verdicts"].items() if one != "wrong"} == {}
    assert_nothing_left(given["folder"], before)


def test_an_attack_that_gets_through_would_be_seen() -> None:
    assert verdict_of(program_of("return True", {}), TEST) == "correct"
    assert verdict_of(program_of("open('a', 'w').write('x'); return open('a').read() == 'x'", {}), TEST) in (
        "correct",
        "wrong",  # where the kernel refuses name spaces there is no folder to write in
    )
    assert verdict_of(program_of("return False", {}), TEST) == "wrong"
