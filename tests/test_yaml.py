"""YAML: the core schema of YAML 1.2 in one function, and one line for what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hammerlib.cli.ordering import parse_options
from hammerlib.errors import InputError
from hammerlib.pipeline.parameters import Parameter, read_settings
from hammerlib.pipeline.plan import read_profile
from hammerlib.runs.reading import parse_yaml, read_yaml
from hammerlib.study.plan import read_study
from hammerlib.systems.puzzles.spec import read_spec
from hammerlib.training import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = sorted(
    path
    for folder in ("configs", "hammerlib", "launch", "tests/fixtures")
    for path in (ROOT / folder).rglob("*.yaml")
)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_committed_files_read_as_they_did_under_yaml_1_1(path: Path) -> None:
    assert repr(read_yaml(path)) == repr(yaml.safe_load(path.read_text()))  # repr: 1 is not 1.0 or True


def test_there_are_files_to_compare() -> None:
    assert len(COMMITTED) >= 28


READ = {
    "010": 10,  # YAML 1.1: 8
    "08": 8,
    "-010": -10,
    "+1": 1,
    "0o10": 8,
    "0x1F": 31,
    "1e-4": 1e-4,  # YAML 1.1: text
    "2E5": 2e5,
    "1.": 1.0,
    ".5": 0.5,
    "true": True,
    "False": False,
    "null": None,
    "~": None,
    "": None,
    "off": "off",  # YAML 1.1: False
    "on": "on",
    "yes": "yes",
    "No": "No",
    "n": "n",
    "1:30": "1:30",  # YAML 1.1: 90
    "2026-11-29": "2026-11-29",  # YAML 1.1: a date
    "1_000": "1_000",  # YAML 1.1: 1000; as text, it is refused where a number is due
    "0b11": "0b11",
    "tRUE": "tRUE",
    "+": "+",
    ".": ".",
    "=": "=",
    "!!str 010": "010",
    '"010"': "010",
    "|\n  off\n": "off\n",
}


@pytest.mark.parametrize("text", READ)
def test_a_scalar_is_what_the_core_schema_of_yaml_1_2_says(text: str) -> None:
    value = parse_yaml(f"x: {text}", "test")["x"]
    assert value == READ[text]
    assert type(value) is type(READ[text])


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("", None),
        ("# nothing\n", None),
        ("\ufeffx: 1\n", {"x": 1}),
        ("x: 1\r\ny: 2\r\n", {"x": 1, "y": 2}),
        ("a: &a [1, 2]\nb: *a\n", {"a": [1, 2], "b": [1, 2]}),
        ("a: &x 1\nb: &x 2\nc: *x\n", {"a": 1, "b": 2, "c": 2}),
        ("<<: {a: 1}\nb: 2\n", {"<<": {"a": 1}, "b": 2}),  # merge keys are no part of YAML 1.2
        ("%YAML 1.2\n---\nx: 010\n", {"x": 10}),
        ("off: 1\n", {"off": 1}),
        ("[" * 49 + "]" * 49, eval("[" * 49 + "]" * 49)),
    ],
)
def test_a_text_reads_as(text: str, content: object) -> None:
    assert parse_yaml(text, "test") == content


BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
REFUSED = {
    "a key twice": ("x: 1\ny: 2\nx: 3\n", r"line 3: the key 'x' is there twice"),
    "a key twice, quoted": ("x: 1\n'x': 1\n", r"line 2: the key 'x' is there twice"),
    "a key twice, inside": ("x:\n  y: {z: 1, z: 2}\n", r"line 2: the key 'z' is there twice"),
    "a Python object": (
        "x: !!python/object/apply:os.system [true]",
        "tag !!python/object/apply:os.system is",
    ),
    "bytes": ("x: !!binary aGk=", "tag !!binary is not allowed"),
    "a date by its tag": ("x: !!timestamp 2026-11-29", "tag !!timestamp is not allowed"),
    "a set": ("!!set {a}", "tag !!set is not allowed"),
    "a tag of one's own": ("x: !mine 1", "tag !mine is not allowed"),
    "a tag that does not fit": ("x: !!int abc", "does not fit its tag"),
    "an empty number": ("x: !!int ''", "does not fit its tag"),
    "a list by the tag of a mapping": ("!!map [1]", "expected a mapping"),
    "infinity": ("x: .inf", "inf is no finite number"),
    "a number beyond floats": ("x: 1e999", "inf is no finite number"),
    "not a number": ("x: [.nan]", "nan is no finite number"),
    "5,000 digits": ("x: " + "9" * 5000, "more than 128 bits"),
    "5,000 hexadecimal digits": ("x: 0x" + "f" * 5000, "more than 128 bits"),
    "50 digits": ("x: " + "9" * 50, "more than 128 bits"),
    "deep lists": ("[" * 5000, "nested more than 50 deep"),
    "deep lists, closed": ("[" * 51 + "]" * 51, "nested more than 50 deep"),
    "deep mappings": ("{a: " * 2000, "nested more than 50 deep"),
    "deep blocks": ("\n".join(" " * i + "a:" for i in range(2000)), "nested more than 50 deep"),
    "deep dashes": ("- " * 5000, "nested more than 50 deep"),
    "an alias bomb": (BOMB, "aliases make more than 100,000 values"),
    "a list in itself": ("&a [*a]", "a value holds itself"),
    "a mapping in itself": ("x: &a {b: *a}", "a value holds itself"),
    "an alias of nothing": ("x: *a", "undefined alias"),
    "a tab": ("x:\n\t- 1", r"line 2: .*\\t"),
    "two documents": ("x: 1\n---\nx: 2\n", "another document"),
    "YAML 1.1 declared": ("%YAML 1.1\n---\nx: 010\n", "YAML 1.1 is declared"),
    "an open list": ("x: [1", "expected ',' or ']'"),
    "an open string": ("x: '", "end of stream"),
    "a colon too many": ("a: b: c", "mapping values are not allowed"),
    "half a surrogate pair": ('x: "\\ud800"', "surrogate"),
    "half a surrogate pair as a key": ('"\\udfff": 1', "surrogate"),
    "no character": ('x: "\\U00110000"', "escape is no character"),
    "NUL": ("x: \0", "special characters"),
    "a list as a key": ("? [a]\n: 1", "a key is a list"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_be_misread_is_refused_in_one_line(kind: str) -> None:
    text, words = REFUSED[kind]
    with pytest.raises(InputError, match=words) as caught:
        parse_yaml(text, "train.yaml", field="config")
    told = str(caught.value)
    assert told.startswith("config = 'train.yaml': cannot be read (")
    assert "\n" not in told and len(told) < 300


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x: ä".encode("latin-1"), "byte 3 is no UTF-8"),
        ("x: 1".encode("utf-16"), "byte 0 is no UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_utf8_or_missing_is_named(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "train.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_yaml(path, field="config")
    assert "train.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_or_an_impossible_name_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, "a\0b", "x" * 5000):
        with pytest.raises(InputError, match="cannot be read"):
            read_yaml(path)


# Every reader of YAML is this one: what tells 1.2 from 1.1 is tried at each door.


def test_training_files_are_yaml_1_2(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("seed: 010\nvllm: off\nlearning_rate: 2e-4\n")
    config = TrainConfig.from_yaml(path)
    assert (config.seed, config.vllm, config.learning_rate) == (10, "off", 2e-4)
    path.write_text("seed: 1\nseed: 2\n")
    with pytest.raises(InputError, match="the key 'seed' is there twice"):
        TrainConfig.from_yaml(path)


def test_studies_profiles_and_puzzles_refuse_a_key_twice(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    path = tmp_path / "configs" / "twice.yaml"
    path.write_text("name: 1\nname: 2\n")
    for read in (
        lambda: read_study(path),
        lambda: read_profile("twice", tmp_path),
        lambda: read_spec(path),
    ):
        with pytest.raises(InputError, match="line 2: the key 'name' is there twice"):
            read()
    path.write_text("seed: 010\n")
    assert read_profile("twice", tmp_path)["seed"] == 10


KNOWN = {name: Parameter(name, kind, value) for name, kind, value in [("a", "int", 0), ("f", "float", 0.0)]}


@pytest.mark.parametrize("words", [["a=1", "a=2"], ["a=1", "f=1", "a=1"]])
def test_a_setting_is_given_once(words: list[str]) -> None:
    with pytest.raises(InputError, match="a is set twice"):
        parse_options(words)
    with pytest.raises(InputError, match="a is set twice"):
        read_settings(words, KNOWN)


def test_settings_of_the_command_line_are_yaml_1_2() -> None:
    assert parse_options(["a=010", "b=off", "c=1e-4", "d=[1, 2]"]) == {
        "a": 10,
        "b": "off",
        "c": 1e-4,
        "d": [1, 2],
    }
    assert read_settings(["a=010", "f=1e-4"], KNOWN) == {"a": 10, "f": 1e-4}
    for value in ("1_000", "1:30", "off", "{x: 1, x: 2}", "1.5"):
        with pytest.raises(InputError):
            read_settings([f"a={value}"], KNOWN)
    for value in ("nan", "inf", ".nan", "1e999", "yes"):
        with pytest.raises(InputError):
            read_settings([f"f={value}"], KNOWN)
    for value in ("{x: 1, x: 2}", "!!python/name:os.system", ".nan", "[" * 5000):
        with pytest.raises(InputError):
            parse_options([f"a={value}"])
