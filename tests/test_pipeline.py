"""The pipeline on a tiny checkout: three notebooks that sum, stop in five ways, and do nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.pipeline import NotebookError, notebook_run, plan_notebooks, run_notebooks
from hammerlib.pipeline.parameters import check_value, declared, run_name
from hammerlib.pipeline.plan import _inputs_hash
from hammerlib.runs import RunRecord

ROOT = Path(__file__).resolve().parents[1]
CODE = (
    "import sys; from hammerlib.pipeline import plan, run_notebooks; plan._code_hash = lambda: 'frozen'; "
    "run_notebooks('ci', overrides=sys.argv[1:])"
)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, with the package importable in its kernels."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "tests" / "fixtures" / "checkout", folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("hammerlib.pipeline.plan._code_hash", lambda: "frozen")
    return folder


def stamps(folders: list[Path]) -> list[int]:
    """Modification times that change only when a notebook was executed again."""
    return [(folder / "execution.json").stat().st_mtime_ns for folder in folders]


def cell(**values: object) -> dict:
    """A notebook's namespace after its parameters cell."""
    kinds = {"profile": str, "seed": int, "rate": float, "arms": list[str]}
    return {"profile": "ci", "seed": 0, "rate": 0.5, "arms": ["a"], "__annotations__": kinds} | values


def test_notebooks_side_by_side_are_those_of_one_after_the_other(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    together = run_notebooks("laptop", overrides={"terms": [4, 5]}, root=tmp_path / "two", jobs=2)
    said = capfd.readouterr().out
    assert said.count(": running") == 3 and said.count(": done in") == 3
    kept = stamps(together)
    assert run_notebooks("laptop", overrides={"terms": [4, 5]}, root=tmp_path / "two") == together
    assert stamps(together) == kept, "kept by a call of the other kind"
    after = run_notebooks("laptop", overrides={"terms": [4, 5]}, root=tmp_path / "one")
    metrics = [[RunRecord.load(folder).manifest["metrics"] for folder in runs] for runs in (together, after)]
    assert metrics[0] == metrics[1] and any(metrics[0])


def test_an_error_beside_other_notebooks_is_the_calls_own(small: Path, tmp_path: Path) -> None:
    with pytest.raises(NotebookError) as alone:
        run_notebooks("ci", overrides={"mode": "broken"}, root=tmp_path / "one")
    with pytest.raises(NotebookError) as together:
        run_notebooks("ci", overrides={"mode": "broken"}, root=tmp_path / "two", jobs=2)
    assert (str(together.value), together.value.kind) == (str(alone.value), alone.value.kind)


# One run of all three, looked at from every side (each kernel start costs seconds).


def test_a_run_leaves_records_pages_and_is_kept_when_nothing_changed(
    small: Path, capfd: pytest.CaptureFixture
) -> None:
    folders = run_notebooks("laptop", overrides={"terms": [4, 5]})
    assert [folder.name.split("__")[:2] for folder in folders] == [
        ["00_first", "laptop"],
        ["01_second", "laptop"],
        ["02_third", "laptop"],
    ]
    first = RunRecord.load(folders[0])
    assert first.status == "success" and first.metrics["sum"]["value"] == 18  # flag doubles in this profile
    assert first.metrics["draw"]["value"] == np.random.RandomState(1).random_sample()
    assert first.manifest["parameters"] == {
        "profile": "laptop",
        "seed": 1,
        "rate": 1.0,
        "terms": [4, 5],
        "flag": True,
    }
    assert first.manifest["parameters_passed"] == {"terms": [4, 5]} and first.manifest["seeds"] == [1]
    assert {one["path"] for one in first.manifest["artefacts"]} == {"notebook.ipynb", "notebook.html"}
    execution = json.loads((folders[0] / "execution.json").read_text())
    assert execution["seconds"] > 0 and len(execution["notebook_sha256"]) == len(execution["key"]) == 64
    nbformat.validate(nbformat.read(folders[0] / "notebook.ipynb", as_version=4))
    assert_works_offline((folders[0] / "notebook.html").read_text())
    assert "TCP" not in capfd.readouterr().err

    before = stamps(folders)
    assert run_notebooks("laptop", overrides=["terms=[4, 5]"]) == folders
    assert stamps(folders) == before
    assert capfd.readouterr().out.count("unchanged") == 3

    assert run_notebooks("laptop", only="00,02", overrides={"terms": [4, 5]}) == [folders[0], folders[2]]
    assert stamps(folders) == before

    second = small / "notebooks" / "01_second.ipynb"
    second.write_text(second.read_text().replace("it may stop", "it may halt"))
    run_notebooks("laptop", overrides={"terms": [4, 5]})
    after = stamps(folders)
    assert after[0] == before[0] and after[1] != before[1] and after[2] != before[2]


def assert_works_offline(page: str) -> None:
    loads = re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*[\"']?([^\"' >]+)", page)
    assert [one for one in loads if not one.startswith(("data:", "#"))] == []
    assert not re.findall(r"(?:import|from)\s+[\"']https?:", page)
    assert not re.findall(r"url\(\s*[\"']?https?:", page)


@pytest.mark.parametrize(
    ("mode", "kind", "line"),
    [
        ("broken", "RuntimeError", "01_second, In [3]: RuntimeError: the second cell"),
        (
            "refused",
            "InputError",
            "01_second, In [3]: InputError: group_size = 3: does not divide the batch; set group_size: 4",
        ),
        (
            "unfinished",
            "NotFinished",
            "01_second, last cell: NotFinished: its run ended as 'started', not 'success'",
        ),
        ("dies", "DeadKernel", "01_second, kernel: DeadKernel: the process died; often it ran out of memory"),
    ],
)
def test_a_notebook_that_stops_is_one_clear_line_and_keeps_its_folder(
    small: Path, mode: str, kind: str, line: str
) -> None:
    with pytest.raises(NotebookError) as caught:
        run_notebooks("ci", only="01", overrides={"mode": mode})
    assert str(caught.value) == line and caught.value.kind == kind
    (folder,) = (small.parent / "runs").iterdir()
    assert RunRecord.load(folder).status == "error" and RunRecord.load(folder).manifest["error"] == line
    assert (folder / "notebook.ipynb").exists() and not (folder / "execution.json").exists()


@pytest.mark.long
def test_after_a_kill_only_the_killed_notebook_and_the_rest_run_again(small: Path) -> None:
    runs = small.parent / "runs"
    command = [sys.executable, "-c", CODE, "mode=waits"]
    process = subprocess.Popen(command, cwd=small, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not (runs / "waiting").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    first, second = sorted(folder for folder in runs.iterdir() if folder.is_dir())
    assert RunRecord.load(first).status == "success" and RunRecord.load(second).status == "started"
    before = stamps([first])

    again = subprocess.run(
        command, cwd=small, env=os.environ | {"RESUMED": "1"}, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert "00_first: unchanged" in again.stdout and "01_second: done" in again.stdout
    folders = sorted(folder for folder in runs.iterdir() if folder.is_dir())
    assert [RunRecord.load(folder).status for folder in folders] == ["success"] * 3
    assert stamps([first]) == before
    assert not [path for path in runs.rglob("*") if path.name.endswith(".part")]


def test_two_equal_calls_execute_each_notebook_once(small: Path) -> None:
    command = [sys.executable, "-c", CODE]
    calls = [subprocess.Popen(command, cwd=small, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(call.communicate()[0] for call in calls)
    assert [call.returncode for call in calls] == [0, 0]
    assert [said.count(word) for word in (": running", ": done", ": unchanged")] == [3, 3, 3]


def test_a_killed_call_leaves_no_room_behind_the_next(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAMMER_CACHE", str(small.parent / "cache"))
    rooms = small.parent / "cache" / "rooms" / "notebooks"
    (rooms / "00_first__ci__01234567-89abcdef.part").mkdir(parents=True)
    run_notebooks("ci", only="02")
    assert not list(rooms.glob("*.part"))


def test_an_executed_notebook_names_no_folder_of_this_machine(small: Path) -> None:
    for folder in run_notebooks("ci", only="00"):
        for path in folder.rglob("*.*"):
            assert str(small.parent) not in path.read_text(encoding="utf-8"), path
        notes = nbformat.read(folder / "notebook.ipynb", as_version=4).metadata.papermill
        assert (notes.input_path, notes.output_path) == ("notebooks/00_first.ipynb", "notebook.ipynb")


def test_a_dry_run_tells_the_seconds_of_last_time_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["run", "--dry-run", "--only", "00", "--results", str(tmp_path)]
    assert main([*words, "--profile", "laptop"]) == 0
    last = next((ROOT / "results/published").glob("00_overview__laptop__*/execution.json"))
    seconds = json.loads(last.read_text())["seconds"]
    assert f"00_overview: would run, {seconds:.0f} s when it was last timed" in capsys.readouterr().out
    assert main([*words, "--profile", "gpu"]) == 0
    assert "never timed here in profile gpu" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


# Everything that can be wrong is said before the first kernel starts.


@pytest.mark.parametrize(
    ("profile", "only", "overrides", "words"),
    [
        ("huge", None, None, "profile = 'huge': there is no such profile; choose from ci, laptop"),
        (
            "ci",
            "07",
            None,
            "only = '07': no notebook's name starts so; choose from 00_first, 01_second, 02_third",
        ),
        ("ci", "", None, "only = '': no notebook's name starts so"),
        (
            "ci",
            None,
            {"sed": 3},
            "sed = 3: no notebook has this parameter; choose from flag, mode, profile, rate, seed, terms",
        ),
        ("ci", None, ["sed=3"], "sed = '3': no notebook has this parameter"),
        ("ci", None, ["seed"], "--set = 'seed': has no '='; write --set name=value"),
        (
            "ci",
            None,
            ["profile=laptop"],
            "profile = 'laptop': is not set like other parameters; use --profile",
        ),
        ("ci", None, {"seed": "3"}, "seed = '3': must be a whole number; give one, without quotes"),
        ("ci", None, {"seed": True}, "seed = True: must be a whole number"),
        ("ci", None, ["flag=no thanks"], "flag = 'no thanks': must be true or false; write true or false"),
        ("ci", None, ["rate=fast"], "rate = 'fast': must be a number; give one, without quotes"),
        ("ci", None, {"rate": float("inf")}, "rate = inf: must be a finite number"),
        ("ci", None, ["terms=3"], "terms = 3: must be a list; write [a, b]"),
        ("ci", None, ["terms=[1, x]"], "terms[1] = 'x': must be a whole number"),
    ],
)
def test_wrong_input_is_named_before_anything_runs(
    small: Path, profile: str, only: str | None, overrides: object, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        run_notebooks(profile, only=only, overrides=overrides)
    assert str(caught.value).startswith(words)
    assert not (small.parent / "runs").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("profile: ci\nseeed: 3\n", "seeed = 3: no notebook has this parameter"),
        ("profile: ci\nrate: fast\n", "rate = 'fast': must be a number; give one, without quotes"),
        ("- a\n", "profile = 'ci': configs/ci.yaml holds no names and values"),
        ("a: [\n", "profile = 'ci': configs/ci.yaml cannot be read"),
    ],
)
def test_a_wrong_profile_file_is_named(small: Path, text: str, words: str) -> None:
    (small / "configs" / "ci.yaml").write_text(text)
    with pytest.raises(InputError, match=re.escape(words)):
        plan_notebooks("ci")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"parameters"', '"parametres"', "has 0 cells tagged 'parameters'"),
        ("seed: int = 0", "seed: int = 2 - len('ab')", "holds more than lines of literals"),
        ("seed: int = 0", "seed = 0", "holds more than lines of literals"),
        ("seed: int = 0", "seed: int = 0.5", "seed = 0.5: must be a whole number"),
        ("seed: int = 0", "seed: dict = 0", "is no type of a parameter"),
        ("seed: int = 0", "seed: float = 0", "declares another type than an earlier notebook"),
        ('profile: str = \\"ci\\"', 'prof: str = \\"ci\\"', "declares no parameter 'profile'"),
        ("{", "", "is no readable notebook"),
    ],
)
def test_a_wrong_parameters_cell_is_named(small: Path, old: str, new: str, words: str) -> None:
    path = small / "notebooks" / "01_second.ipynb"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=re.escape(words)):
        plan_notebooks("ci")


def test_a_folder_without_a_checkout_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="change into the checkout"):
        plan_notebooks("ci")


def test_values_come_from_the_cell_then_the_profile_then_the_caller(small: Path) -> None:
    (small / "configs" / "ci.yaml").write_text("profile: ci\nseed: 7\nterms: [9]\n")
    first, second, _ = plan_notebooks("ci", overrides=["terms=[3]", "mode=007"])
    assert first.parameters == {"profile": "ci", "seed": 7, "rate": 0.5, "terms": [3], "flag": False}
    assert second.parameters["mode"] == "007" and second.passed == {"mode": "007"}
    assert declared(first.path)["rate"].default == 0.5


def test_a_change_moves_the_key_of_its_notebook_and_of_all_after_it(small: Path) -> None:
    before = [step.key for step in plan_notebooks("ci")]
    after = [step.key for step in plan_notebooks("ci", overrides={"mode": "slow"})]
    assert after[0] == before[0] and after[1] != before[1] and after[2] != before[2]
    assert [step.key for step in plan_notebooks("ci", only="02")] == before[2:]


# The line inside each notebook, for readers who never use the runner.


def test_notebook_run_checks_seeds_and_opens_the_run() -> None:
    record = notebook_run("demo", cell(rate=1, np=np, _hidden=3, In=["a"]))
    assert record.status == "started" and record.run_id.startswith("demo__ci__")
    assert record.manifest["parameters"] == {"profile": "ci", "seed": 0, "rate": 1.0, "arms": ["a"]}
    draw = np.random.random()
    notebook_run("demo", cell(rate=1))
    assert np.random.random() == draw


def test_notebook_run_replaces_what_an_earlier_run_left() -> None:
    record = notebook_run("demo", cell())
    record.log(1, reward=0.5)
    assert not (notebook_run("demo", cell()).folder / "metrics.csv").exists()


def test_notebook_run_and_the_runner_agree_on_the_folder() -> None:
    assert notebook_run("demo", cell(rate=1)).run_id == run_name(
        "demo", {"arms": ["a"], "profile": "ci", "rate": 1.0, "seed": 0}
    )


def test_notebook_run_may_be_called_again_after_later_cells_made_variables() -> None:
    namespace = cell()
    notebook_run("demo", namespace)
    namespace["total"] = 3
    assert notebook_run("demo", namespace).status == "started"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sed": 3}, "sed = 3: is no parameter of this notebook; choose from arms, profile, rate, seed"),
        ({"seed": "0"}, "seed = '0': must be a whole number"),
        ({"arms": "a"}, "arms = 'a': must be a list; write [a, b]"),
        ({"rate": "false"}, "rate = 'false': must be a number"),
        ({"__annotations__": {"seed": int}}, "profile = 'ci': demo does not declare it"),
    ],
)
def test_notebook_run_refuses_what_papermill_would_only_warn_about(values: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        notebook_run("demo", cell(**values))
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        (1, "float", 1.0),
        (1.5, "float", 1.5),
        (True, "bool", True),
        ("a", "str", "a"),
        ([1, 2.5], "list[float]", [1.0, 2.5]),
        ([], "list[str]", []),
    ],
)
def test_values_of_the_declared_type_pass(value: object, kind: str, result: object) -> None:
    checked = check_value("x", value, kind)
    assert checked == result and type(checked) is type(result)


def test_systems_run_only_when_named_and_stand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    walk = plan_notebooks("ci")
    assert all(step.label == step.name and step.path.parent.name == "notebooks" for step in walk)
    everything = plan_notebooks("ci", only="systems")
    assert len(everything) >= 3 and all(step.label == f"systems/{step.name}" for step in everything)
    assert {step.upstream for step in everything} == {""}  # a change of the walk leaves them as they are
    (one,) = plan_notebooks("ci", only="systems/puzzleclone", overrides={"puzzles_per_spec": 3})
    assert one.run_id.startswith("puzzleclone__ci__") and one.parameters["puzzles_per_spec"] == 3
    assert [step.name for step in plan_notebooks("ci", only="03,systems/quant")] == [
        "03_ordering",
        "03b_claims",
        "quantifiers",
    ]


def test_a_file_or_folder_that_a_parameter_names_is_part_of_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "study"
    folder.mkdir(parents=True)
    given = {
        "records": "results/study",
        "profile": "ci",
        "empty": "",
        "n": 3,
        "gone": "no/where",
        "outside": "/etc/ssl",
    }
    seen = [_inputs_hash(given, tmp_path)]
    for text in ("one", "two"):
        (folder / "a.json").write_text(text)
        seen.append(_inputs_hash(given, tmp_path))
    assert len(set(seen)) == 3
    assert _inputs_hash(given | {"records": "results/study/a.json"}, tmp_path) == seen[-1]
    assert _inputs_hash({"records": "", "outside": "/etc/ssl"}, tmp_path) == seen[0]


def test_a_profile_has_a_section_for_a_notebook(small: Path) -> None:
    profile = small / "configs" / "ci.yaml"
    profile.write_text("seed: 7\n01_second:\n  seed: 8\n")
    seeds = {step.name: step.parameters["seed"] for step in plan_notebooks("ci") if "seed" in step.parameters}
    assert seeds["01_second"] == 8 and set(seeds.values()) == {7, 8}
    flat = {step.name: step.run_id for step in plan_notebooks("ci", overrides={"seed": 8})}
    assert {step.name: step.run_id for step in plan_notebooks("ci")}["01_second"] == flat["01_second"]
    for text, problem in (
        ("01_secnd:\n  seed: 8\n", "did you mean 01_second"),
        ("01_second:\n  sed: 8\n", "sed = 8: no notebook has this parameter"),
    ):
        profile.write_text(text)
        with pytest.raises(InputError, match=problem):
            plan_notebooks("ci")
