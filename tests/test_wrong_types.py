"""Every field of every configuration file with wrong values: one line each, exit code 2."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path

import pytest

import hammerlib
from hammerlib.cli import commands, main
from hammerlib.models.nano.recipe import Recipe
from hammerlib.study.plan import Study
from hammerlib.training import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
# YAML text -> what it is; each is wrong for a field unless its kind takes it.
VALUES = {
    "'3'": "text",
    "word": "text",
    "''": "empty",
    "2026-11-29": "text",
    "3": "int",
    "0": "zero",
    "-1": "negative",
    "1.5": "float",
    "-0.5": "below",
    "true": "bool",
    "null": "null",
    "[]": "no list",
    "[1]": "list",
    "[[a]]": "list",
    "[null]": "list",
    "{}": "no mapping",
    "{a: 1}": "mapping",
    ".nan": "infinite",
    ".inf": "infinite",
    "1e999": "infinite",
}
# Kind of a field -> what it may take; of texts and lists the content decides, which no wrong value here has.
TAKES = {
    "int": {"int", "zero", "negative"},
    "float": {"int", "float", "zero", "negative", "below"},
    "bool": {"bool"},
    "str": {"text"},
    "tuple": {"no list"},
    "list": {"no list"},
    "dict": {"no mapping"},
}
# Values of the right type that are out of range all the same.
OUT = {"zero", "negative", "below"}


def wrong_values(hint: object, signed: bool = False) -> list[str]:
    """The values that a field annotated so cannot take."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    kind = typing.get_origin(options[0]) or options[0]
    takes = TAKES.get("str" if kind is typing.Literal else kind.__name__)
    takes = takes | ({"null"} if types.NoneType in options else set())
    if not signed:
        takes = takes - {"negative", "below"}
    return [value for value, what in VALUES.items() if what not in takes]


def fields(kind: type, skip: tuple[str, ...] = ()) -> list[tuple[str, list[str]]]:
    """Every field of a dataclass with its wrong values."""
    hints = typing.get_type_hints(kind)
    names = [one.name for one in dataclasses.fields(kind) if one.name not in skip]
    found = {name: wrong_values(hints[name], signed=name == "layer") for name in names}
    if "reward_weights" in found:
        found["reward_weights"].remove("[1]")  # one reward, one weight
    return list(found.items())


def named(field: str, value: str) -> list[str]:
    """What the line names: a number that is not finite is refused by the reader, which names the file."""
    return [] if VALUES[value] == "infinite" else [field]


def one_line(capsys: pytest.CaptureFixture, words: list[str], *named: str) -> str:
    """Run a command, and return its only line of complaint."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("error: ") and len(err) < 2000, err
    assert all(name in err for name in named), (named, err)
    problem, _, remedy = err.rpartition("; ")
    assert " = " in problem and len(remedy) > 4, err
    return err


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A value that passes ends the test at once."""

    def accepted(*given: object, **named: object) -> None:
        raise AssertionError("the value was accepted")

    monkeypatch.setattr(commands, "_overlap", accepted)
    monkeypatch.setattr(hammerlib, "train", accepted, raising=False)
    monkeypatch.chdir(tmp_path)


TRAIN = fields(TrainConfig)
STUDY = {"study": "s", "replicates": "2", "starts": "{backbone: nano}", "arms": "{random: {order: random}}"}
STUDY_FIELDS = fields(Study)
ARM = {"order": str, "order_options": dict, "vectors": str, "direction": str, "twin": str, "replicates": int}
ARM_FIELDS = [(name, wrong_values(kind)) for name, kind in ARM.items()]
FRESH = ("backbone", "problems", "split", "n_problems", "seed", "save_steps", "completions_every")
ARM_FIELDS += fields(TrainConfig, skip=(*FRESH, "order", "order_options"))
NANO = fields(Recipe, skip=("seed", "steps"))
OPTIONS = {"start": str, "eta": float, "eta_mode": str, "centre": str}
OPTION_VALUES = [(name, wrong_values(kind)) for name, kind in OPTIONS.items()]


@pytest.mark.parametrize(("field", "values"), TRAIN)
def test_a_training_file(field: str, values: list[str], capsys: pytest.CaptureFixture) -> None:
    for value in values:
        Path("t.yaml").write_text(f"{field}: {value}\n")
        one_line(capsys, ["train", "--config", "t.yaml"], *named(field, value))


@pytest.mark.parametrize(
    "text",
    [
        "- 1",
        "3",
        "word",
        "''",
        "null",
        "",
        "[a]",
        "true",
        "{1: 2}",
        "{null: 1}",
        "{[a]: 1}",
        "orderr: hammer",
        "a: b: c",
        "[",
        "order: [",
        "{order: random",
        "order: hammer\norder: random",
        "--- 1\n--- 2",
        "? [1]\n: 2",
        "!!python/object:a.b {}",
        "&a [*a]",
        "order: *b",
        "order: 'hamer'",
        "order: Hammer",
        "[" * 3000,
        "{a: " * 3000,
        "seed: " + "9" * 5000,
        "\ud800".encode("utf-8", "surrogatepass").decode("latin1"),
        "\x00",
        "seed: 99999999999999999999",
        "order_options: {eta: 2}",
        "order_options: {etaa: 0.1}",
        "order_options: {start: last}",
        "order_options: {seed: 1}",
        "order_options: {window: 8}",
        "order: reversed\norder_options: {of: hamer}",
        "order: reversed\norder_options: {of: [a]}",
        "order: batch-diverse\norder_options: {window: 0}",
        "order: min-path\norder_options: {gap: -1}",
        "order: logdet\norder_options: {ridge: 0}",
        "order: random\norder_options: {centre: argmin}",
        "rewards: [accuracy, accurate]",
        "rewards: accuracy",
        "reward_weights: [1, a]",
        "adjustment_options: {smi: x}",
        "adjustment_options: {eps: a}",
        "adjustment_options: {clamp: 1}",
        "report_to: [x]",
        "embedder: nothing",
        "vllm: sometimes",
        "vllm_memory: 2",
    ],
)
def test_a_training_file_that_is_none(text: str, capsys: pytest.CaptureFixture) -> None:
    Path("t.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    one_line(capsys, ["train", "--config", "t.yaml"])


def swept(capsys: pytest.CaptureFixture, changed: dict[str, str], *names: str) -> None:
    """A study with changed lines is refused in one line."""
    Path("s.yaml").write_text("".join(f"{key}: {text}\n" for key, text in (STUDY | changed).items()))
    one_line(capsys, ["sweep", "s.yaml", "--dry-run"], *names)


@pytest.mark.parametrize(("field", "values"), STUDY_FIELDS)
def test_a_study_file(field: str, values: list[str], capsys: pytest.CaptureFixture) -> None:
    for value in values:
        swept(capsys, {field: value}, *named(field, value))


@pytest.mark.parametrize(("field", "values"), ARM_FIELDS)
def test_an_arm_and_the_base_of_a_study(field: str, values: list[str], capsys: pytest.CaptureFixture) -> None:
    for value in values:
        swept(capsys, {"arms": f"{{random: {{{field}: {value}}}}}"}, *named(f"arms.random.{field}", value))
        if field not in ARM:
            swept(capsys, {"base": f"{{{field}: {value}}}"}, *named(f"base.{field}", value))


@pytest.mark.parametrize(("field", "values"), NANO)
def test_the_starts_of_a_study(field: str, values: list[str], capsys: pytest.CaptureFixture) -> None:
    for value in values:
        starts = f"{{seeds: [0], stops: [10], {field}: {value}}}"
        swept(capsys, {"starts": starts}, *named(f"starts.{field}", value))


@pytest.mark.parametrize(("field", "values"), OPTION_VALUES)
def test_the_options_of_an_order(field: str, values: list[str], capsys: pytest.CaptureFixture) -> None:
    for value in values:
        swept(capsys, {"arms": f"{{random: {{order: hammer, order_options: {{{field}: {value}}}}}}}"})
        Path("t.yaml").write_text(f"order_options: {{{field}: {value}}}")
        one_line(capsys, ["train", "--config", "t.yaml"])


@pytest.mark.parametrize(
    "lines",
    [
        "replicates: '3'",
        "replicates: 1.5",
        "replicates: null",
        "replicates: true",
        "replicates: 1000000",
        "starts: 5",
        "starts: {}",
        "starts: {backbone: 3}",
        "starts: {backbone: null}",
        "starts: {backbone: nano, x: 1}",
        "starts: {seeds: [0]}",
        "starts: {seeds: 0, stops: [1]}",
        "starts: {seeds: [a], stops: [1]}",
        "starts: {seeds: [0, 0], stops: [1]}",
        "starts: {seeds: [0], stops: [1, 1]}",
        "starts: {seeds: [], stops: [1]}",
        "starts: {seeds: [0], stops: [0]}",
        "starts: {seeds: [0], stops: [1], steps: 3}",
        "starts: {seeds: [0], stops: [1], widht: 3}",
        "starts: {seeds: [true], stops: [1]}",
        "arms: {random: null}",
        "arms: {random: 3}",
        "arms: {random: []}",
        "arms: {}",
        "arms: [random]",
        "arms: {1: {}}",
        "arms: {../../x: {}}",
        "arms: {'a b': {}}",
        "arms: {'': {}}",
        "arms: {'a/b': {order: random}}",
        "arms: {hammer: {}}",
        "arms: {random: {}, b: {twin: c}}",
        "arms: {random: {bonus: 3}}",
        "arms: {random: {bonus: {}}}",
        "arms: {random: {bonus: {name: [a]}}}",
        "arms: {random: {bonus: {name: distinct-answers, weight: a}}}",
        "arms: {random: {bonus: {name: distinct-answers, weight: 0}}}",
        "arms: {random: {window: 3}}",
        "arms: {random: {window: [0, 2]}}",
        "arms: {random: {window: [a, b]}}",
        "arms: {random: {window: [0.1]}}",
        "arms: {random: {order_options: {cooldown: 2}}}",
        "arms: {random: {order_options: {inside: 3}}}",
        "arms: {random: {order: matched, order_options: {by: x}}}",
        "arms: {random: {order: matched, order_options: {bins: 1.5}}}",
        "arms: {random: {order: random-batches, order_options: {block: a}}}",
        "arms: {random: {order: random, direction: either}}",
        "arms: {random: {ordr: hammer}}",
        "arms: {random: {order_options: {of: hammer}}}",
        "arms: {random: {seed: 3}}",
        "base: null",
        "base: []",
        "base: {backbone: nano}",
        "base: {learnig_rate: 1}",
        "base: {group_size: 1}",
        "words: {x: y}",
        "words: {random: 3}",
        "words: []",
        "unseen: equation",
        "unseen: [3]",
        "unseen: [null]",
        "study: ../../x",
        "study: a/b",
        "study: ''",
        "study: 3",
        "study: [a]",
        'study: "a\\eb"',
        "study: .hidden",
        "points: 0",
        "samples: -1",
        "first: -1",
        "first: 1.0",
        "n_problems: 1e3",
        "n_held_out: .inf",
        "sceds: 1",
        "problems: null",
        "split: 3",
        "held_out: []",
    ],
)
def test_lines_of_a_study_that_are_wrong(lines: str, capsys: pytest.CaptureFixture) -> None:
    field, _, text = lines.partition(":")
    swept(capsys, {field: text})


@pytest.mark.parametrize("field", STUDY)
def test_a_study_without_what_it_needs(field: str, capsys: pytest.CaptureFixture) -> None:
    Path("s.yaml").write_text("".join(f"{key}: {text}\n" for key, text in STUDY.items() if key != field))
    one_line(capsys, ["sweep", "s.yaml", "--dry-run"], field)


def test_near_names_are_offered(capsys: pytest.CaptureFixture) -> None:
    Path("t.yaml").write_text("learning_rat: 1")
    assert "did you mean learning_rate?" in one_line(capsys, ["train", "--config", "t.yaml"])
    Path("t.yaml").write_text("order: hamer")
    assert "did you mean hammer?" in one_line(capsys, ["train", "--config", "t.yaml"])
