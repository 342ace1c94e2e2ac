"""Foreign files: what cannot be read for certain is refused in one line with its place, never guessed."""

from __future__ import annotations

import datetime
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from hammerlib import load_problems
from hammerlib.errors import InputError
from hammerlib.problems import check_problems, fingerprint, make_table
from hammerlib.problems.files import read_records, write_records
from hammerlib.problems.layouts import to_rows
from hammerlib.runs.reading import parse_json

DEEP = 50_000


def file_of(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(path: Path, **options):
    return load_problems(f"file:{path}", **options)


def refused(call, words: str) -> str:
    with pytest.raises(InputError, match=words) as caught:
        call()
    told = str(caught.value)
    assert "\n" not in told and len(told) < 400
    return told


# The same two rows in every format and dress read the same

ROWS = [
    {"prompt": "What is 1,000 + 1?", "answer": "1001"},
    {"prompt": "Was ist 3,5 · 2 (°)?", "answer": "025"},
]
CSV = 'prompt,answer\n"What is 1,000 + 1?",1001\n"Was ist 3,5 · 2 (°)?",025\n'
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
DRESSES = {
    "csv": ("a.csv", CSV),
    "csv with a byte-order mark": ("a.csv", "\ufeff" + CSV),
    "csv of Windows": ("a.csv", CSV.replace("\n", "\r\n")),
    "csv with blanks after commas": ("a.csv", CSV.replace('",', '", ').replace("prompt,", "prompt , ")),
    "csv with empty lines": ("a.csv", CSV + "\n\n"),
    "csv, all quoted": ("a.csv", CSV.replace("1001", '"1001"').replace("025", '"025"')),
    "jsonl": ("a.jsonl", JSONL),
    "jsonl with a byte-order mark": ("a.jsonl", "\ufeff" + JSONL),
    "jsonl of Windows": ("a.jsonl", JSONL.replace("\n", "\r\n")),
    "jsonl with empty lines": ("a.jsonl", "\n" + JSONL.replace("\n", "\n\n")),
    "jsonl without a last line end": ("a.jsonl", JSONL.rstrip()),
    "jsonl in ASCII": ("a.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS)),
    "json": ("a.json", json.dumps(ROWS)),
    "json with a byte-order mark": ("a.json", "\ufeff" + json.dumps(ROWS, indent=1)),
    "upper-case ending": ("a.JSONL", JSONL),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_the_same_rows_in_every_dress(tmp_path: Path, dress: str) -> None:
    table = load(file_of(tmp_path, *DRESSES[dress]))
    assert [
        dict(zip(ROWS[0], pair, strict=True)) for pair in zip(table["prompt"], table["answer"], strict=True)
    ] == ROWS
    assert table["id"][:] == ["a-0", "a-1"]


@pytest.mark.parametrize("kind", ["string", "large_string", "binary", "large_binary", "dictionary"])
def test_parquet_texts_of_every_kind(tmp_path: Path, kind: str) -> None:
    import pyarrow
    import pyarrow.parquet

    types = {"binary": pyarrow.binary(), "large_binary": pyarrow.large_binary(), "string": pyarrow.string()}
    types |= {"large_string": pyarrow.large_string()}
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    arrays = {
        name: pyarrow.array(cells).cast(types.get(kind, pyarrow.string())) for name, cells in columns.items()
    }
    if kind == "dictionary":
        arrays = {name: one.dictionary_encode() for name, one in arrays.items()}
    pyarrow.parquet.write_table(pyarrow.table(arrays), tmp_path / "a.parquet")
    table = load(tmp_path / "a.parquet")
    assert (table["prompt"][:], table["answer"][:]) == (columns["prompt"], columns["answer"])


# What a gold may be

GOLDS = {
    "text": ("025", "025"),
    "whole number": (3, "3"),
    "whole float": (3.0, "3"),
    "a tenth": (0.1, "0.1"),
    "negative zero": (-0.0, "0"),
    "large float": (1e22, "10000000000000000000000"),
    "small float": (1e-7, "1e-07"),
    "large whole number": (10**40, str(10**40)),
    "yes": (True, "True"),
    "no": (False, "False"),
    "list of one": (["5"], "5"),
    "list": (["1", 2, 3.0], "1, 2, 3"),
    "bytes": (b"2", "2"),
    "decimal": (Decimal("1.50"), "1.50"),
    "whole decimal": (Decimal("27.00"), "27"),
    "small decimal": (Decimal("1E-8"), "0.00000001"),
    "tab and newline inside": ("1\t2\n3", "1\t2\n3"),
}
NO_GOLDS = {
    "an object": ({"value": 5}, "of the kind dict"),
    "a list of lists": ([["1", "2"], ["3"]], "a list of more than texts and numbers"),
    "a list of objects": ([{"a": 1}], "a list of more than texts and numbers"),
    "a list with a hole": (["1", None], "a list of more than texts and numbers"),
    "a date": (datetime.date(2024, 5, 1), "of the kind date"),
    "a moment": (datetime.datetime(2024, 5, 1, 12), "of the kind datetime"),
    "a span": (datetime.timedelta(seconds=3), "of the kind timedelta"),
    "NaN": (float("nan"), "no finite number"),
    "infinity": (float("-inf"), "no finite number"),
    "NaN in a list": ([1.0, float("nan")], "no finite number"),
    "a decimal NaN": (Decimal("NaN"), "no finite number"),
    "bytes that are no text": (b"\xff\xfe", "bytes that are no UTF-8"),
    "NUL": ("5\0", "NUL"),
    "a set": ({1, 2}, "of the kind set"),
    "a complex number": (1j, "of the kind complex"),
}


@pytest.mark.parametrize("kind", GOLDS)
def test_a_gold_is_written_as_text(kind: str) -> None:
    gold, text = GOLDS[kind]
    for record, columns in (
        ({"prompt": "a?", "answer": gold}, None),
        ({"problem": "a?", "answer": gold}, None),
        ({"question": "a?", "answer": gold}, None),
        ({"question": "a?", "ref_answer": gold}, None),
        ({"question": "a?", "final_answer": gold}, None),
        ({"prompt": "a?", "reward_model": {"ground_truth": gold}}, None),
        ({"task": "a?", "key": gold}, {"prompt": "task", "answer": "key"}),
        ({"task": "a?", "meta": {"key": gold}}, {"prompt": "task", "answer": "meta.key"}),
    ):
        assert to_rows([record], source="s", columns=columns)[0]["answer"] == text


@pytest.mark.parametrize("kind", NO_GOLDS)
def test_what_is_no_text_is_refused_with_row_and_column(kind: str) -> None:
    gold, words = NO_GOLDS[kind]
    first = {"prompt": "a?", "answer": "1"}
    refused(lambda: to_rows([first, first | {"answer": gold}], source="s"), f"answer = .*row 1 .*{words}")
    nested = [{"prompt": "a?", "reward_model": {"ground_truth": gold}}]
    refused(lambda: to_rows(nested, source="s"), f"answer = .*row 0 .*{words}")
    mapped = {"prompt": "p", "answer": "a"}
    refused(lambda: to_rows([{"p": "a?", "a": gold}], source="s", columns=mapped), words)


def test_numbers_of_parquet_print_as_they_were_written(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    numbers = {
        pyarrow.float32(): ([0.1, 2.5, 3.0], ["0.1", "2.5", "3"]),
        pyarrow.float64(): ([0.1, 2.5, 3.0], ["0.1", "2.5", "3"]),
        pyarrow.int8(): ([1, -2, 3], ["1", "-2", "3"]),
        pyarrow.uint64(): ([2**64 - 1, 0, 3], [str(2**64 - 1), "0", "3"]),
        pyarrow.decimal128(10, 2): (
            [Decimal("1.50"), Decimal("2.00"), Decimal("0.05")],
            ["1.50", "2", "0.05"],
        ),
        pyarrow.bool_(): ([True, False, True], ["True", "False", "True"]),
        pyarrow.list_(pyarrow.string()): ([["1"], ["2", "3"], ["4"]], ["1", "2, 3", "4"]),
    }
    for kind, (cells, texts) in numbers.items():
        path = tmp_path / "a.parquet"
        columns = {"prompt": ["a?", "b?", "c?"], "answer": pyarrow.array(cells, kind)}
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
        assert load(path)["answer"][:] == texts, kind


@pytest.mark.parametrize("kind", ["date32", "timestamp", "float nan", "bytes", "struct"])
def test_parquet_golds_that_are_no_text(tmp_path: Path, kind: str) -> None:
    import pyarrow
    import pyarrow.parquet

    cells = {
        "date32": pyarrow.array([datetime.date(2024, 1, 2)]),
        "timestamp": pyarrow.array([datetime.datetime(2024, 1, 2)]),
        "float nan": pyarrow.array([float("nan")]),
        "bytes": pyarrow.array([b"\xff"]),
        "struct": pyarrow.array([{"a": 1}]),
    }[kind]
    pyarrow.parquet.write_table(pyarrow.table({"prompt": ["a?"], "answer": cells}), tmp_path / "a.parquet")
    refused(lambda: load(tmp_path / "a.parquet"), "answer = .*row 0")


# Broken files

GOOD = '{"prompt": "a?", "answer": "1"}\n'
BROKEN = {
    "NaN": ("a.jsonl", GOOD + '{"prompt": "b?", "answer": NaN}', "line 2 holds NaN at answer"),
    "Infinity": ("a.jsonl", '{"prompt": "b?", "answer": Infinity}', "line 1 holds Infinity at answer"),
    "minus infinity": (
        "a.jsonl",
        '{"prompt": "b?", "answer": -Infinity}',
        "line 1 holds -Infinity at answer",
    ),
    "NaN inside": ("a.jsonl", '{"prompt": "b?", "answer": "1", "x": [1, {"y": NaN}]}', r"NaN at x\[1\]\.y"),
    "beyond floats": ("a.jsonl", '{"prompt": "b?", "answer": 1e999}', "1e999 at answer"),
    "NaN in a list": ("a.json", '[{"prompt": "b?", "answer": NaN}]', r"NaN at \[0\]\.answer"),
    "a key twice": (
        "a.jsonl",
        GOOD + '{"prompt": "b?", "answer": "1", "answer": "2"}',
        "line 2 has the key 'answer' twice",
    ),
    "a key twice inside": ("a.json", '[{"prompt": "b?", "answer": {"x": 1, "x": 2}}]', "the key 'x' twice"),
    "surrogate": (
        "a.jsonl",
        GOOD + '{"prompt": "\\ud800", "answer": "1"}',
        "line 2 holds half a surrogate pair at prompt",
    ),
    "surrogate key": ("a.jsonl", '{"prompt": "a?", "answer": "1", "\\udc00": 1}', "half a surrogate pair"),
    "deep": (
        "a.jsonl",
        '{"prompt": "a?", "answer": "1", "x": ' + "[" * DEEP + "]" * DEEP + "}",
        "line 1 is nested",
    ),
    "deep, 200": (
        "a.jsonl",
        '{"prompt": "a?", "answer": "1", "x": ' + "[" * 200 + "]" * 200 + "}",
        "is nested more than 100",
    ),
    "deep list": ("a.json", "[" * DEEP, "is nested|is not JSON"),
    "5,000 digits": (
        "a.jsonl",
        '{"prompt": "a?", "answer": ' + "9" * 5000 + "}",
        "line 1 has a whole number of 5000 digits",
    ),
    "cut off": ("a.jsonl", GOOD + '{"prompt": "b', "line 2 is not JSON, or cut off"),
    "two objects in a line": ("a.jsonl", GOOD.strip() + GOOD, "line 1 is not JSON"),
    "Python": ("a.jsonl", "{'prompt': 'a?', 'answer': '1'}", "line 1 is not JSON"),
    "a list": ("a.jsonl", GOOD + "[1]", "line 2 is no JSON object"),
    "text": ("a.jsonl", GOOD + '"a"', "line 2 is no JSON object"),
    "an object of lists": ("a.json", '{"prompt": ["a?"], "answer": ["1"]}', "is not a JSON list of objects"),
    "lines in a json file": ("a.json", GOOD + GOOD, "is not JSON"),
    "NUL": ("a.jsonl", GOOD + '{"prompt": "b\0?", "answer": "1"}', "line 2 holds a NUL"),
    "NUL by its escape": ("a.jsonl", '{"prompt": "b\\u0000?", "answer": "1"}', "prompt = .*row 0.*NUL"),
    "latin-1": (
        "a.jsonl",
        '{"prompt": "für?", "answer": "1"}'.encode("latin-1"),
        "line 1 is no UTF-8 .byte 0xfc",
    ),
    "latin-1 csv": (
        "a.csv",
        "prompt,answer\na?,1\nfür?,1\n".encode("latin-1"),
        "line 3 is no UTF-8 .byte 0xfc",
    ),
    "utf-16": ("a.jsonl", GOOD.encode("utf-16"), "is UTF-16"),
    "utf-16 csv": ("a.csv", "prompt,answer\na?,1\n".encode("utf-16"), "is UTF-16"),
    "utf-16 without its mark": ("a.csv", "prompt,answer\na?,1\n".encode("utf-16-le"), "line 1 holds a NUL"),
    "empty": ("a.jsonl", "", "holds no problems"),
    "empty json": ("a.json", "", "is not JSON"),
    "an empty list": ("a.json", "[]", "holds no problems"),
    "empty csv": ("a.csv", "", "no header"),
    "only a byte-order mark": ("a.csv", "\ufeff", "no header"),
    "only a header": ("a.csv", "prompt,answer\n", "holds no problems"),
    "empty parquet": ("a.parquet", b"", "cannot be read as parquet"),
    "no parquet": ("a.parquet", b"PAR1xxxxPAR1", "cannot be read as parquet"),
    "longer row": (
        "a.csv",
        "prompt,answer\na?,1\nWhat is 1,000+1?,1001\n",
        "line 3 has 3 cells, the header 2.*quotes",
    ),
    "shorter row": ("a.csv", "prompt,answer,topic\na?,1,x\nb?,2\n", "line 3 has 2 cells, the header 3"),
    "one cell": ("a.csv", "prompt,answer\na?\n", "line 2 has 1 cells"),
    "trailing comma": ("a.csv", "prompt,answer\na?,1,\n", "line 2 has 3 cells"),
    "a header twice": ("a.csv", "prompt,answer,answer\na?,1,2\n", "names 'answer' twice"),
    "a header twice but for blanks": ("a.csv", "prompt,answer, answer\na?,1,2\n", "names 'answer' twice"),
    "a nameless column": ("a.csv", ",prompt,answer\n0,a?,1\n", "a column without a name"),
    "semicolons": ("a.csv", "prompt;answer\na?;1\n", "separated by ';'"),
    "tabs": ("a.csv", "prompt\tanswer\na?\t1\n", "separated by"),
    "an open quote": ("a.csv", 'prompt,answer\n"a?,1\nb?,2\n', "cannot be read as csv"),
    "text behind a quote": ("a.csv", 'prompt,answer\n"a"b?,1\n', "cannot be read as csv"),
    "csv nan": ("a.csv", "prompt,answer\na?,1\nb?,nan\n", "line 3: answer is nan"),
    "csv NaN": ("a.csv", "prompt,answer\nb?,NaN\n", "line 2: answer is NaN"),
    "csv inf": ("a.csv", 'prompt,answer\n"b\nc?",-inf\n', "line 3: answer is -inf"),
    "csv Infinity": ("a.csv", "prompt,answer\nb?, Infinity \n", "line 2: answer is Infinity"),
    "csv <NA>": ("a.csv", "prompt,answer\nb?,<NA>\n", "line 2: answer is <NA>"),
    "csv of a spreadsheet": ("a.csv", "prompt,answer\na?,1\nb?,#DIV/0!\n", "line 3: answer is #DIV/0!"),
    "a comma of thousands": ("a.csv", "prompt,answer,level\nIs it 1,000+1?,1001\n", "1,000 may be one"),
    "twelve thousand": ("a.csv", 'prompt,level,answer\n"a\nb?",1,2\nIs 12,345 odd?,yes\n', "line 4: 12,345"),
    "a chat as numpy prints it": (
        "a.csv",
        "prompt,answer\n\"[{'content': 'Sum.', 'role': 'system'}\n {'content': 'a?', 'role': 'user'}]\",1\n",
        "looks like a chat",
    ),
    "no answer": ("a.csv", "prompt,answer\na?,\n", "has no answer"),
    "no prompt": ("a.csv", "prompt,answer\n ,1\n", "has no prompt"),
    "unknown columns": ("a.csv", "frage,antwort\na?,1\n", "unknown layout"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_one_line(tmp_path: Path, kind: str) -> None:
    name, content, words = BROKEN[kind]
    refused(lambda: load(file_of(tmp_path, name, content)), words)


@pytest.mark.parametrize(
    "rows",
    [
        "a?,7,100", "What is 50+50,100,1", "train-7,100 apples?,5", '"What is 1,000+1?",1001,2', "12,345,678",
        "In 2024,100 apples?,1", "What is 1.5,345 or so,1", "a 1, 000 b,2", 'What is 1,"100 apples",2',
    ],
)  # fmt: skip
def test_numbers_beside_a_comma_are_cells(tmp_path: Path, rows: str, recwarn) -> None:
    table = load(file_of(tmp_path, "a.csv", f"a,b,c\n{rows}\n"), columns={"prompt": "a", "answer": "b"})
    assert (len(table), list(recwarn)) == (1, [])


@pytest.mark.parametrize("row", ["a?,1,000", "a?,5,025", "What is 1,000,2"])
def test_a_number_that_may_be_cut_warns(tmp_path: Path, row: str) -> None:
    with pytest.warns(UserWarning, match=r"a\.csv, line 3: \d,0.. may be one number"):
        load(file_of(tmp_path, "a.csv", f"prompt,answer,level\na?,1,2\n{row}\n"))


def test_parquet_numbers_of_32_bits_inside(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    inner = pyarrow.struct([("ground_truth", pyarrow.list_(pyarrow.float32())), ("style", pyarrow.string())])
    rows = pyarrow.array([{"ground_truth": [0.1, 0.7], "style": "rule"}, None], inner)
    table = pyarrow.table({"prompt": ["a?", "b?"], "reward_model": rows})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    columns = {"prompt": "prompt", "answer": "reward_model.ground_truth"}
    read = to_rows(read_records(tmp_path / "a.parquet"), source="a", columns=columns)
    assert [row["answer"] for row in read] == ["0.1, 0.7", ""]


def test_a_huge_line_is_no_error(tmp_path: Path) -> None:
    long = "word " * 60_000
    assert load(file_of(tmp_path, "a.csv", f"prompt,answer\n{long},1\n"))["prompt"][0] == long.strip()
    assert (
        load(file_of(tmp_path, "a.jsonl", json.dumps({"prompt": long, "answer": "1"})))["prompt"][0]
        == long.strip()
    )


def test_digits_that_a_float_drops_are_kept() -> None:
    record = parse_json('{"prompt": "pi?", "answer": 3.14159265358979323846}')
    assert to_rows([record], source="s")[0]["answer"] == "3.14159265358979323846"
    assert parse_json("[0.1, 1e22, -0.0, 2.50, 12345678901234567890]") == [
        0.1,
        1e22,
        0.0,
        2.5,
        12345678901234567890,
    ]


def test_nothing_of_json_is_lost() -> None:
    value = {"a": [1, 2.5, "x", None, True, {"b": {}}], "ä": "😀", "": []}
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


# Prompts

TEXT = {"type": "text", "text": "a?"}
CHATS = {
    "text": ("a?", "a?"),
    "user turn": ([{"role": "user", "content": "a?"}], "a?"),
    "system and user": ([{"role": "system", "content": "s"}, {"role": "user", "content": "a?"}], "s\n\na?"),
    "empty system": ([{"role": "system", "content": ""}, {"role": "user", "content": "a?"}], "a?"),
    "no system": ([{"role": "system", "content": None}, {"role": "user", "content": "a?"}], "a?"),
    "developer": ([{"role": "developer", "content": "s"}, {"role": "user", "content": "a?"}], "s\n\na?"),
    "content part": ([{"role": "user", "content": [TEXT]}], "a?"),
    "content parts": ([{"role": "user", "content": [TEXT, {"type": "text", "text": " b?"}]}], "a? b?"),
    "part without type": ([{"role": "user", "content": [{"text": "a?"}]}], "a?"),
    "parts as texts": ([{"role": "user", "content": ["a?"]}], "a?"),
    "no role": ([{"content": "a?"}], "a?"),
    "as JSON text": ('[{"role": "user", "content": "a?"}]', "a?"),
    "as Python text": ("[{'role': 'user', 'content': 'a?'}]", "a?"),
    "a text that begins with a bracket": ("[1, 2] is a list?", "[1, 2] is a list?"),
    "a list as a question": ("[1, 2, 3]", "[1, 2, 3]"),
    "bytes": (b"a?", "a?"),
    "more keys": ([{"role": "user", "content": "a?", "name": "x", "tool_calls": None}], "a?"),
}
NO_CHATS = {
    "turns as texts": (["a?"], "turn 1 .* is no object"),
    "turns as numbers": ([1], "turn 1 .* is no object"),
    "turns as lists": ([["user", "a?"]], "turn 1 .* is no object"),
    "a turn that is nothing": ([None], "turn 1 .* is no object"),
    "a second turn that is text": ([{"role": "user", "content": "a?"}, "b"], "turn 2 .* is no object"),
    "ShareGPT": ([{"from": "human", "value": "a?"}], "turn 1 .* is no object"),
    "an answer": (
        [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "1"}],
        "holds an assistant turn",
    ),
    "a tool": ([{"role": "tool", "content": "1"}], "holds a tool turn"),
    "an image": (
        [{"role": "user", "content": [TEXT, {"type": "image", "image": "x"}]}],
        "part of type image",
    ),
    "an image address": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
        "part of type image_url",
    ),
    "sound": ([{"role": "user", "content": [{"type": "input_audio"}]}], "part of type input_audio"),
    "a part without text": ([{"role": "user", "content": [{"type": "text"}]}], "part without text"),
    "a part that is a number": ([{"role": "user", "content": [5]}], "part without text"),
    "content as a number": ([{"role": "user", "content": 5}], "content of turn 1 is no text"),
    "content as an object": ([{"role": "user", "content": {"text": "a?"}}], "content of turn 1 is no text"),
    "one turn, no list": ({"role": "user", "content": "a?"}, "of the kind dict"),
    "NaN": (float("nan"), "no finite number"),
}


@pytest.mark.parametrize("kind", CHATS)
def test_a_prompt_is_read(kind: str) -> None:
    prompt, text = CHATS[kind]
    assert to_rows([{"prompt": prompt, "answer": "1"}], source="s")[0]["prompt"] == text
    record = {"prompt": prompt, "reward_model": {"ground_truth": "1"}}
    assert to_rows([record], source="s")[0]["prompt"] == text
    assert (
        to_rows([{"q": prompt, "a": "1"}], source="s", columns={"prompt": "q", "answer": "a"})[0]["prompt"]
        == text
    )


@pytest.mark.parametrize("kind", NO_CHATS)
def test_a_prompt_that_is_no_text_is_one_line(kind: str) -> None:
    prompt, words = NO_CHATS[kind]
    refused(lambda: to_rows([{"prompt": prompt, "answer": "1"}], source="s"), f"prompt = .*row 0 .*{words}")


REWARD_MODELS = {
    "object": {"ground_truth": "5", "style": "rule"},
    "JSON text": '{"ground_truth": "5", "style": "rule"}',
    "JSON text, a number": '{"ground_truth": 5}',
    "Python text": "{'ground_truth': '5', 'style': 'rule'}",
    "bytes": b'{"ground_truth": "5"}',
    "list": {"ground_truth": ["5"]},
}


@pytest.mark.parametrize("kind", REWARD_MODELS)
def test_a_reward_model_may_be_text(tmp_path: Path, kind: str) -> None:
    record = {"prompt": [{"role": "user", "content": "a?"}], "reward_model": REWARD_MODELS[kind]}
    assert to_rows([record], source="s")[0]["answer"] == "5"


@pytest.mark.parametrize("value", ["5", "{", "[1]", "{'a': __import__('os')}", None, 5, {"truth": "5"}])
def test_a_reward_model_without_a_gold_leaves_a_hole(value: object) -> None:
    assert to_rows([{"prompt": "a?", "reward_model": value}], source="s")[0]["answer"] == ""


@pytest.mark.parametrize(
    ("extra", "difficulty"),
    [
        ({"extra_info": {"difficulty": 62.5}}, 62.5),  # AdaRFT
        ({"extra_info": {"difficulty": "62.5"}}, 62.5),
        ({"extra_info": '{"difficulty": 62.5}'}, 62.5),
        ({"extra_info": {"difficulty": 1e-05}}, 1e-05),
        ({"extra_info": {"index": 3}}, None),
        ({"extra_info": "no object"}, None),
        ({"extra_info": {"difficulty": float("nan")}}, None),
        ({"difficulty": 3, "extra_info": {"difficulty": 62.5}}, 3.0),
        ({"level": "Level 4"}, 4.0),
        ({"level": "Level ?"}, None),
        ({"level": 5}, 5.0),
        ({"difficulty": "hard"}, None),
        ({"difficulty": {"mean": 2}}, None),
    ],
)
def test_a_difficulty_is_read_where_it_stands(extra: dict, difficulty: float | None) -> None:
    record = {"prompt": "a?", "reward_model": {"ground_truth": "5"}} | extra
    assert to_rows([record], source="s")[0]["difficulty"] == difficulty


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"prompt": "q", "answer": 3}, "no such column"),
        ({"prompt": "q", "answer": "a", "difficulty": "q"}, "is no number"),
        ({"prompt": "q", "answer": "a", "difficulty": "d"}, "no finite number"),
    ],
)
def test_a_mapping_that_fits_nothing_is_one_line(columns: dict, words: str) -> None:
    record = {"q": "a?", "a": "1", "d": float("inf")}
    refused(lambda: to_rows([record], source="s", columns=columns), words)


def test_mapped_names_may_hold_dots_and_metadata_are_json() -> None:
    record = {"task.text": "a?", "meta": {"gold": "5"}, "note": {"b": 1, "a": "ä"}}
    columns = {"prompt": "task.text", "answer": "meta.gold", "metadata": "note"}
    row = to_rows([record], source="s", columns=columns)[0]
    assert (row["prompt"], row["answer"], row["metadata"]) == ("a?", "5", '{"a": "ä", "b": 1}')


# Tables that are built by hand

GOOD_ROW = {"id": "a", "prompt": "a?", "answer": "1", "source": "s", "topic": "t"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": "\ud800"}, "prompt = .*row 0 holds half a surrogate pair"),
        ({"answer": "\udfff1"}, "answer = .*row 0 holds half a surrogate pair"),
        ({"answer": 5}, "answer = 5: row 0 holds a int"),
        ({"id": 5}, "id = 5: row 0 holds a int"),
        ({"prompt": ["a?"]}, "prompt = .*row 0 holds a list"),
        ({"answer": b"5"}, "answer = .*row 0 holds a bytes"),
        ({"difficulty": "hard"}, "difficulty = 'hard': row 0 holds no number"),
        ({"metadata": {"a": 1}}, "metadata = .*row 0 holds a dict"),
    ],
)
def test_a_row_of_wrong_kinds_is_one_line(change: dict, words: str) -> None:
    refused(lambda: make_table([GOOD_ROW | change]), words)


@pytest.mark.parametrize("cells", [[5], [["a?"]], [{"a": 1}], [2.5], [True], [b"5"]])
def test_a_foreign_dataset_without_texts_is_one_line(cells: list) -> None:
    from datasets import Dataset

    for name in ("prompt", "answer", "id"):
        table = Dataset.from_list([GOOD_ROW | {name: cells[0]}])
        refused(lambda table=table: check_problems(table), f"{name} = ")


def test_rows_with_bytes_are_written_as_their_text(tmp_path: Path) -> None:
    write_records([{"prompt": b"a?", "answer": "1"}], tmp_path / "a.jsonl")
    assert read_records(tmp_path / "a.jsonl") == [{"prompt": "a?", "answer": "1"}]


# Completions of others

TASKS = make_table(
    [
        {
            "id": f"b-{i}",
            "prompt": f"What is {i} plus {i}, if anything?",
            "answer": str(2 * i),
            "source": "b",
            "topic": "t",
        }
        for i in range(3)
    ]
)


def imported(folder: Path, *rows: object, **options):
    from hammerlib.evaluation.imports import import_completions

    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path = file_of(folder, "theirs.jsonl", "\n".join(lines) + "\n")
    return import_completions(path, TASKS, root=folder, workers=1, **options)


SCALES = {
    "-1 and 1": ([1, -1, 1], "there is -1"),
    "0 to 100": ([0, 100, 100], "there is 100"),
    "0 to 100, a list": ([[0, 100], [100], [0]], "there is 100|2 values of claimed for 1 completions"),
    "1 to 5": ([1, 5, 3], "there is 5"),
    "percent": ([55.5, 1, 0], "there is 55.5"),
    "as text": (["0", "100", "100"], "there is 100"),
}


@pytest.mark.parametrize("kind", SCALES)
def test_verdicts_on_another_scale_are_refused(tmp_path: Path, kind: str) -> None:
    scores, words = SCALES[kind]
    rows = [{"id": i, "output": str(2 * i), "score": score} for i, score in enumerate(scores)]
    refused(lambda: imported(tmp_path, *rows), words)
    record = imported(tmp_path, *rows, columns={"claimed": ""})  # the remedy that the line names
    assert "claimed_pass@1" not in record.metrics and record.metrics["pass@1"]["value"] == 1.0


def test_verdicts_from_0_to_1_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = [{"id": i, "output": str(2 * i), "score": score} for i, score in enumerate([True, 0.5, "0"])]
    record = imported(tmp_path, *rows)
    assert record.metrics["claimed_pass@1"]["value"] == 0.5 and record.metrics["pass@1"]["value"] == 1.0


FIRST = {"id": 0, "output": "0"}
BAD_LINES = {
    "a verdict that is NaN": ('{"id": 1, "output": "2", "score": NaN}', "line 2 holds NaN at score"),
    "a verdict in words": ({"id": 1, "output": "2", "score": "good"}, "line 2 cannot be read"),
    "nan in words": ({"id": 1, "output": "2", "score": "nan"}, "line 2 cannot be read .*a verdict is nan"),
    "a verdict that is a list of lists": ({"id": 1, "output": "2", "score": [[1]]}, "line 2 cannot be read"),
    "fewer verdicts": (
        {"id": 1, "output": ["2", "3"], "score": [1]},
        "1 values of claimed for 2 completions",
    ),
    "more verdicts": ({"id": 1, "output": ["2"], "score": [1, 0]}, "2 values of claimed for 1 completions"),
    "verdicts for one text": (
        {"id": 1, "output": "2", "score": [1, 0]},
        "2 values of claimed for 1 completions",
    ),
    "n_tokens in words": ({"id": 1, "output": "2", "n_tokens": "x"}, "n_tokens is 'x', no count"),
    "n_tokens below zero": ({"id": 1, "output": "2", "n_tokens": -1}, "n_tokens is -1, no count"),
    "half a token": ({"id": 1, "output": "2", "n_tokens": 1.5}, "n_tokens is 1.5, no count"),
    "n_tokens true": ({"id": 1, "output": "2", "n_tokens": True}, "n_tokens is True, no count"),
    "truncated in words": ({"id": 1, "output": "2", "truncated": "no"}, "truncated is 'no'"),
    "truncated as a number": ({"id": 1, "output": "2", "truncated": 1}, "truncated is 1"),
    "a sample that is a list": ({"id": 1, "output": ["2"], "sample": [[0]]}, "sample is .*no count"),
    "an id that is an object": ({"id": {"a": 1}, "output": "2"}, "an id is dict"),
    "an id that is true": ({"id": True, "output": "2"}, "an id is bool"),
    "an id of 5,000 digits": ({"id": "9" * 5000, "output": "2"}, "line 2 belongs to no problem"),
    "an id behind the last": ({"id": 3, "output": "2"}, "line 2 belongs to no problem"),
    "a completion that is a number": ({"id": 1, "output": 2}, "line 2 cannot be read"),
    "no completion": ({"id": 1, "output": []}, "line 2 cannot be read"),
    "a completion in a list of lists": ({"id": 1, "output": [["2"]]}, "line 2 cannot be read"),
    "a chat of texts": ({"prompt": ["What is 1?"], "output": "2"}, "line 2 belongs to no problem"),
    "a key twice": ('{"id": 1, "output": "2", "output": "3"}', "line 2 has the key 'output' twice"),
    "deep": ('{"id": 1, "output": ' + "[" * DEEP, "line 2 is"),
    "5,000 digits": ('{"id": ' + "9" * 5000 + ', "output": "2"}', "line 2 has a whole number of 5000 digits"),
    "NUL": ('{"id": 1, "output": "2\0"}', "line 2 is not JSON"),
}


@pytest.mark.parametrize("kind", BAD_LINES)
def test_a_line_of_completions_that_cannot_be_used_is_named(tmp_path: Path, kind: str) -> None:
    line, words = BAD_LINES[kind]
    refused(lambda: imported(tmp_path, FIRST, line), words)
    record = imported(tmp_path, FIRST, line, skip_bad=True)
    assert [one["line"] for one in record.manifest["imported"]["left_out"]] == [2]


@pytest.mark.parametrize(
    "row",
    [
        {"id": 1.0, "output": "2"},
        {"id": "1", "output": "2"},
        {"id": "b-1", "output": ["2"]},
        {
            "prompt": [{"role": "user", "content": [{"type": "text", "text": TASKS["prompt"][1]}]}],
            "output": "2",
        },
        {
            "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": TASKS["prompt"][1]}],
            "output": "2",
        },
    ],
)
def test_completions_find_their_problem(tmp_path: Path, row: dict) -> None:
    record = imported(tmp_path, row)
    assert record.metrics["pass@1"]["value"] == 1.0 and record.manifest["missing_problems"] == ["b-0", "b-2"]


def test_completions_with_a_byte_order_mark_and_half_a_character(tmp_path: Path) -> None:
    first = "\ufeff" + json.dumps({"id": 1, "output": "2"})
    rows = [
        json.loads(line)
        for line in (
            imported(tmp_path, first, '{"id": 2, "output": "4 \\ud83d"}').folder / "samples.jsonl"
        ).open()
    ]
    assert [row["completion"] for row in rows] == ["2", "4 \ufffd"]


OUTCOMES = {
    "more right than drawn": ("a,4,5,t", "row 1: 5 of 4 samples are correct"),
    "none drawn": ("a,0,0,t", "n is 0"),
    "below zero": ("a,4,-1,t", "correct is '-1', no count"),
    "half a sample": ("a,4,1.5,t", "correct is '1.5', no count"),
    "words": ("a,four,1,t", "n is 'four', no count"),
    "nothing": ("a,4,,t", "correct is '', no count"),
    "NaN": ("a,4,nan,t", "line 2: correct is nan"),
    "an id twice": ("a,4,1,t\na,4,2,t", "row 2: the id 'a' is there twice"),
    "no id": (",4,1,t", "row 1: there is no id"),
    "cut off": ("a,4,1,t\nb,4", "line 3 has 2 cells, the header 4"),
    "5,000 digits": (f"a,{'9' * 5000},1,t", "no count"),
}


@pytest.mark.parametrize("kind", OUTCOMES)
def test_outcomes_that_cannot_be_are_refused(tmp_path: Path, kind: str) -> None:
    from hammerlib.evaluation.samples import read_outcomes

    rows, words = OUTCOMES[kind]
    path = file_of(tmp_path, "outcomes.csv", f"id,n,correct,topic\n{rows}\n")
    refused(lambda: read_outcomes(path), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no header"),
        ("id,n,correct,topic\n", "no problems"),
        ("id,n,correct\na,1,1\n", "lacks topic"),
        (b"\xff\xfe", "UTF-16"),
    ],
)
def test_damaged_outcomes_are_refused(tmp_path: Path, content: str | bytes, words: str) -> None:
    from hammerlib.evaluation.samples import read_outcomes

    refused(lambda: read_outcomes(file_of(tmp_path, "outcomes.csv", content)), words)


SCORES = {
    "n_tokens": ({"n_tokens": "x"}, "n_tokens is 'x'"),
    "n_tokens below zero": ({"n_tokens": -3}, "n_tokens is -3"),
    "truncated": ({"truncated": "yes"}, "truncated is 'yes'"),
    "sample": ({"sample": [1]}, "sample is"),
    "seed": ({"seed": {"a": 1}}, "seed is"),
    "seed true": ({"seed": True}, "seed is True"),
    "topic": ({"topic": ["a"]}, "topic is"),
    "extracted": ({"extracted": ["4"]}, "extracted is"),
    "correct in words": ({"correct": "yes"}, "correct is 'yes'"),
    "correct in percent": ({"correct": 100}, "correct is 100"),
    "correct -1": ({"correct": -1}, "correct is -1"),
    "correct half": ({"correct": 0.5}, "correct is 0.5"),
    "correct as a list": ({"correct": [True]}, "correct is"),
    "id": ({"id": ["a"]}, "an id that is no name"),
}


@pytest.mark.parametrize("kind", SCORES)
def test_a_graded_line_of_wrong_kinds_is_named(tmp_path: Path, kind: str) -> None:
    from hammerlib.evaluation.comparison import read_scores

    change, words = SCORES[kind]
    good = {"id": "a", "correct": True}
    path = file_of(
        tmp_path, "a.jsonl", "\ufeff" + "\n".join(json.dumps(one) for one in (good, good | change))
    )
    assert "line 2" in refused(lambda: read_scores(path), words)
    for line in ('{"id": "a", "correct": NaN}', '{"id": "a", "id": "b", "correct": true}', "[" * DEEP):
        path.write_text(json.dumps(good) + "\n" + line)
        assert "line 2" in refused(lambda: read_scores(path), "line 2")


# The part fits the source


def test_a_file_is_trained_on_whole(tmp_path: Path) -> None:
    path = file_of(tmp_path, "a.jsonl", GOOD)
    assert (
        fingerprint(load(path))
        == fingerprint(load(path, split="rl"))
        == fingerprint(load(path, split="train"))
    )
    for split in ("heldout", "test", "validation", "supervised", ""):
        refused(lambda split=split: load(path, split=split), "a file has no parts")


def test_a_config_on_a_file_needs_no_split(tmp_path: Path) -> None:
    from hammerlib.training import TrainConfig
    from hammerlib.training.run import prepare

    rows = "".join(json.dumps({"prompt": f"{i} + 1 = ?", "answer": str(i + 1)}) + "\n" for i in range(8))
    path = file_of(tmp_path, "mine.jsonl", rows)
    (tmp_path / "train.yaml").write_text(f"problems: file:{path}\nn_problems: 8\norder: random\n")
    job = prepare(TrainConfig.from_yaml(tmp_path / "train.yaml"))
    assert len(job.problems) == 8


@pytest.mark.parametrize("split", ["split: rl\n", "split: train\n", "split: null\n", ""])
def test_a_split_that_fits_a_file_is_taken(tmp_path: Path, split: str) -> None:
    from hammerlib.training import TrainConfig

    rows = "".join(json.dumps({"prompt": f"{i} + 1 = ?", "answer": str(i + 1)}) + "\n" for i in range(8))
    path = file_of(tmp_path, "mine.jsonl", rows)
    (tmp_path / "train.yaml").write_text(f"problems: file:{path}\nn_problems: 8\norder: random\n{split}")
    config = TrainConfig.from_yaml(tmp_path / "train.yaml")
    assert len(load_problems(config.problems, split=config.split, n=config.n_problems)) == 8


def test_the_default_part_fits_generated_puzzles_and_sets_that_evolve(tmp_path: Path) -> None:
    assert (
        load_problems("puzzles:weekday", split="rl", n=2)["id"][:]
        == load_problems("puzzles:weekday", n=2)["id"][:]
    )
    path = file_of(
        tmp_path, "a.jsonl", '{"question": "Tom has 3 apples and buys 4. How many?", "answer": "7"}\n'
    )
    assert len(load_problems(f"evolmath:file:{path}", split="rl")) >= 1


# Columns at every door

OWN = "".join(
    json.dumps({"task": f"{i} + 1 = ?", "meta": {"gold": i + 1}, "no": f"x{i}"}) + "\n" for i in range(8)
)
MAPPED = {"prompt": "task", "answer": "meta.gold"}


@pytest.mark.parametrize(
    ("words", "mapping"),
    [
        ([], None),
        (["prompt=task", "answer=meta.gold"], MAPPED),
        (["prompt=task,answer=meta.gold"], MAPPED),
        (["prompt=task,answer=meta.gold", "id=no"], MAPPED | {"id": "no"}),
        (["prompt=task, please,answer=a=b"], {"prompt": "task, please", "answer": "a=b"}),
        (["claimed="], {"claimed": ""}),
    ],
)
def test_columns_are_words_of_the_command_line(words: list[str], mapping: dict | None) -> None:
    from hammerlib.cli.ordering import parse_columns

    assert parse_columns(words) == mapping


@pytest.mark.parametrize("words", [["prompt"], ["=task"], ["prompt=a", "prompt=b"], ["prompt=a,prompt=b"]])
def test_columns_that_say_nothing_are_refused(words: list[str]) -> None:
    from hammerlib.cli.ordering import parse_columns

    refused(lambda: parse_columns(words), "columns = ")


def test_every_command_that_takes_problems_takes_columns(tmp_path: Path, monkeypatch, capsys) -> None:
    from hammerlib.cli import main

    monkeypatch.chdir(tmp_path)
    own = f"file:{file_of(tmp_path, 'own.jsonl', OWN)}"
    mapped = ["--columns", "prompt=task,answer=meta.gold"]
    answers = "".join(json.dumps({"id": i, "output": str(i + 1)}) + "\n" for i in range(8))
    theirs = str(file_of(tmp_path, "theirs.jsonl", answers))
    results = ["--results", str(tmp_path / "runs")]
    commands = {
        "embed": ["embed", own, "--out", "a.safetensors"],
        "order": ["order", own, "--backbone", "nano", "--out", "order.json"],
        "evaluate": ["evaluate", "--model", "nano", "--benchmark", own, "--samples", "1", *results],
    }
    for name, words in commands.items():
        assert main(words) == 2, name
        assert "unknown layout" in capsys.readouterr().err
        assert main([*words, *mapped]) == 0, name
    imported = ["import", theirs, "--benchmark", own, *results]
    assert main(imported) == 2
    assert main([*imported, "--benchmark-columns", "prompt=task", "answer=meta.gold"]) == 0
    assert "pass@1                              1.0000" in capsys.readouterr().out
    (run,) = (tmp_path / "runs").glob("import__*")
    assert main(["regrade", str(run), "--benchmark", own, *mapped, *results]) == 0
    lines = f"problems: {own}\nn_problems: 8\norder: random\ncolumns: {{prompt: task, answer: meta.gold}}\n"
    (tmp_path / "train.yaml").write_text(lines)
    assert main(["train", "--config", "train.yaml", "--dry-run"]) == 0


def test_columns_of_a_config_name_the_run_only_where_there_are_any() -> None:
    from hammerlib.training import TrainConfig

    assert "columns" not in TrainConfig().identity()
    assert TrainConfig(columns=MAPPED).identity()["columns"] == MAPPED
    for columns in (["prompt"], {"prompt": 3}, "prompt"):
        with pytest.raises(InputError, match="columns"):
            TrainConfig.from_dict({"columns": columns})


@pytest.mark.skipif("HAMMER_DATA" not in os.environ, reason="needs the public files")
@pytest.mark.parametrize(
    ("name", "rows"),
    [("dapo_math_17k.parquet", 17917), ("math_train7474.json", 7474), ("olympiadbench675.jsonl", 675)],
)
def test_public_files_are_read_whole(name: str, rows: int) -> None:
    records = read_records(Path(os.environ["HAMMER_DATA"]) / name)
    assert len(records) == rows
    assert len(to_rows(records, source="s")) == rows
