"""Problem files: known layouts are recognised, unknown ones can be mapped, bad files are named."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.problems import check_problems, load_problems, make_table, register_source
from hammerlib.problems.layouts import to_rows


def write(folder, name, *records):
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def load(path, **options):
    return load_problems(f"file:{path}", **options)


CASES = {
    "worked answers with ####": ({"question": "Q?", "answer": "So 1,200. #### 1,200"}, "1200"),
    "problem, solution, answer": ({"problem": "Q?", "solution": "S \\boxed{1}", "answer": "025"}, "025"),
    "problem and solution only": (
        {"problem": "Q?", "solution": "\\boxed{1}, no: \\boxed{\\frac{1}{2}}"},
        "\\frac{1}{2}",
    ),
    "chat": ({"prompt": [{"role": "user", "content": "Q?"}], "reward_model": {"ground_truth": "34"}}, "34"),
    "final_answer list": ({"question": "Q?", "final_answer": ["$69$,$84$"]}, "69,84"),
    "ref_answer": ({"question": "Q?", "ref_answer": "216"}, "216"),
    "prompt and answer": ({"prompt": "Q?", "answer": 7}, "7"),
    "question and answer": ({"question": "Q?", "answer": 27.0}, "27"),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_known_layouts_are_recognised(tmp_path, case):
    record, gold = CASES[case]
    row = load(write(tmp_path, "set.jsonl", record))[0]
    assert (row["prompt"], row["answer"], row["id"], row["topic"]) == ("Q?", gold, "set-0", "set")


def test_the_four_kinds_of_file_give_the_same_table(tmp_path):
    records = [{"prompt": f"What is {i} + 1?", "answer": f"0{i + 1}", "level": i} for i in range(5)]
    paths = [write(tmp_path, "sums.jsonl", *records)]
    for name in ("sums.json", "sums.parquet", "sums.csv"):
        paths.append(tmp_path / name)
    paths[1].write_text(json.dumps(records))
    pd.DataFrame(records).to_parquet(paths[2])
    pd.DataFrame(records).to_csv(paths[3], index=False)
    tables = [load(path).to_list() for path in paths]
    assert tables[0][3] == {
        "id": "sums-3",
        "prompt": "What is 3 + 1?",
        "answer": "04",
        "source": "sums",
        "topic": "sums",
        "difficulty": 3.0,
    }
    assert all(table == tables[0] for table in tables)


def test_a_system_turn_stays_and_an_assistant_turn_is_refused(tmp_path):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q?"}]
    record = {"prompt": turns, "reward_model": {"ground_truth": "1"}}
    assert load(write(tmp_path, "a.jsonl", record))["prompt"][0] == "Be brief.\n\nQ?"
    record["prompt"] = [*turns, {"role": "assistant", "content": "1"}]
    with pytest.raises(InputError, match="assistant turn"):
        load(write(tmp_path, "b.jsonl", record))


def test_an_unknown_layout_says_what_it_saw_and_how_to_map_it(tmp_path):
    path = write(tmp_path, "odd.jsonl", {"task": "Q?", "meta": {"gold": "5"}, "hard": "2.5"})
    with pytest.raises(InputError) as caught:
        load(path)
    assert "'task'" in str(caught.value) and 'columns={"prompt"' in str(caught.value)
    row = load(
        path, columns={"prompt": "task", "answer": "meta.gold", "difficulty": "hard", "topic": "task"}
    )[0]
    assert (row["prompt"], row["answer"], row["difficulty"], row["topic"]) == ("Q?", "5", 2.5, "Q?")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"prompt": "task"}, "map both"),
        ({"prompt": "task", "answer": "nowhere"}, "it has task"),
        ({"prompt": "task", "gold": "key"}, "no such table column"),
        ({"prompt": "task", "answer": "key", "difficulty": "task"}, "is no number"),
    ],
)
def test_a_wrong_mapping_is_named(columns, words):
    with pytest.raises(InputError, match=words):
        to_rows([{"task": "Q?", "key": "5"}], source="s", columns=columns)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.jsonl", None, "no such file"),
        ("set.txt", b"1", "unknown kind of file"),
        ("empty.jsonl", b"", "no problems"),
        ("empty.json", b"[]", "no problems"),
        ("empty.csv", b"prompt,answer\n", "no problems"),
        ("bad.jsonl", b'{"prompt": "Q?", "answer": "1"}\n{"prompt"', "line 2 is not JSON"),
        ("list.jsonl", b"[1]\n", "line 1 is no JSON object"),
        ("bad.json", b"{", "is not JSON, or cut off"),
        ("object.json", b'{"a": 1}', "not a JSON list"),
        ("bad.parquet", b"PAR1 no more", "cannot be read as parquet"),
        ("binary.jsonl", b"\xff\xfe\x00", "is UTF-16"),
        ("folder.jsonl", "folder", "no such file"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, name, content, words):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"prompt": "", "answer": "1"}, "prompt"),
        ({"prompt": None, "answer": "1"}, "prompt"),
        ({"prompt": "Q?", "answer": " "}, "answer"),
        ({"prompt": "Q?", "answer": None}, "answer"),
        ({"prompt": "Q?"}, "answer"),
        ({"answer": "1"}, "prompt"),
    ],
)
def test_a_row_without_text_or_answer_is_named(tmp_path, record, field):
    path = write(tmp_path, "set.jsonl", {"prompt": "A?", "answer": "1"}, record)
    with pytest.raises(InputError, match=rf"row 1 \(id set-1\) has no {field}"):
        load(path)


def test_duplicate_ids_are_refused(tmp_path):
    rows = [{"prompt": f"{i}?", "answer": "1", "key": "same"} for i in range(2)]
    with pytest.raises(InputError, match="2 rows share this id"):
        load(write(tmp_path, "a.jsonl", *rows), columns={"prompt": "prompt", "answer": "answer", "id": "key"})


def test_an_empty_or_incomplete_table_is_refused():
    with pytest.raises(InputError, match="set is empty"):
        check_problems(make_table([]))
    row = {"id": "a", "prompt": "p", "answer": "1", "source": "s", "topic": "t"}
    with pytest.raises(InputError, match=r"lacks \['topic'\]"):
        check_problems(make_table([row]).remove_columns("topic"))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 30), seed=st.integers(0, 1000))
def test_a_subset_is_random_by_seed_and_in_file_order(tmp_path_factory, n, seed):
    path = tmp_path_factory.getbasetemp() / "thirty.jsonl"
    if not path.exists():
        write(path.parent, path.name, *({"prompt": f"{i}?", "answer": str(i)} for i in range(30)))
    rows = [int(answer) for answer in load(path, n=n, seed=seed)["answer"]]
    assert rows == sorted(set(rows)) and len(rows) == n
    assert rows == [int(answer) for answer in load(path, n=n, seed=seed)["answer"]]


def test_more_than_there_is_and_a_split_are_refused(tmp_path):
    path = write(tmp_path, "one.jsonl", {"prompt": "Q?", "answer": "1"})
    with pytest.raises(InputError, match="only 1 problems"):
        load(path, n=2)
    with pytest.raises(InputError, match="a file has no parts"):
        load(path, split="heldout")
    assert len(load(path, split="rl")) == len(load(path, split="train")) == 1  # what is trained on: all of it


def test_dedupe_drops_later_copies(tmp_path):
    path = write(
        tmp_path,
        "a.jsonl",
        *({"prompt": p, "answer": "2"} for p in ("What is 1+1?", "what is 1 + 1", "Else?")),
    )
    assert len(load(path)) == 3
    assert load(path, dedupe=True)["id"][:] == ["a-0", "a-2"]


def test_another_source_registers_by_prefix():
    row = {"id": "a", "prompt": "p", "answer": "1", "source": "s", "topic": "t"}
    register_source("mine", lambda name, *, split, n, seed, columns: make_table([row | {"id": name}]))
    assert load_problems("mine:x")["id"][:] == ["x"]
