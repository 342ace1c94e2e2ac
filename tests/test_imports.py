"""Anyone's completions become a run: right problem, our verdict, their claim beside it, bad lines named."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.evaluation.foreign import Entry, read_foreign, read_lines
from hammerlib.evaluation.imports import _Finder, import_completions
from hammerlib.problems import make_table
from hammerlib.problems.files import write_records

TEXTS = ["What is the sum of 3 and 4?", "What is the product of 3 and 4?", "Halve the number six please."]
GOLDS = ["7", "12", "3"]


def benchmark():
    rows = zip(TEXTS, GOLDS, strict=True)
    return make_table(
        {"id": f"b-{i}", "prompt": text, "answer": gold, "source": "b", "topic": "sums"}
        for i, (text, gold) in enumerate(rows)
    )


def lines(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def brought(path: Path, **options: object):
    return import_completions(path, benchmark(), root=path.parent / "runs", workers=1, **options)


def samples(record) -> list[dict]:
    return [json.loads(line) for line in (record.folder / "samples.jsonl").open()]


def test_a_list_of_completions_a_line_is_graded_beside_its_claims(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "theirs.jsonl",
        {"idx": 0, "response": [r"\boxed{7}", r"\boxed{8}"], "score": [True, True]},
        {"idx": 2, "response": [r"\boxed{3}", r"\boxed{}"], "score": [False, False]},
    )
    record = brought(path)
    rows = samples(record)
    assert [(row["id"], row["sample"]) for row in rows] == [("b-0", 0), ("b-0", 1), ("b-2", 0), ("b-2", 1)]
    assert [row["reason"] for row in rows] == ["correct", "wrong", "correct", "unextracted"]
    assert [row["claimed"] for row in rows] == [1.0, 1.0, 0.0, 0.0]
    assert record.metrics["pass@1"]["value"] == 0.5 == record.metrics["claimed_pass@1"]["value"]
    assert record.metrics["pass@2"]["n"] == 2 and "mean_tokens" not in record.metrics
    assert record.manifest["missing_problems"] == ["b-1"]
    claims = pd.read_csv(record.folder / "claims.csv")
    assert claims.to_dict("records") == [
        {"id": "b-0", "claimed": 1.0, "graded": 0.5},
        {"id": "b-2", "claimed": 0.0, "graded": 0.5},
    ]
    assert brought(path).run_id == record.run_id


def test_texts_decide_over_numbers_and_may_stand_inside_a_prompt(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        {
            "index": 0,
            "prompt": f"Solve it.\n\n{TEXTS[1]} Think.",
            "output": "#### 12",
            "finish_reason": "stop",
        },
        {
            "index": 1,
            "prompt": [{"role": "user", "content": TEXTS[0]}],
            "output": "so 3",
            "finish_reason": "length",
        },
    )
    rows = samples(brought(path))
    assert [(row["id"], row["reason"]) for row in rows] == [("b-0", "truncated"), ("b-1", "correct")]


CHAT = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n"
SHORT = ["2+2?", "2+2*5?", "Halve six.", "7-4", "7-4?", *TEXTS]
NOBODYS, SEVERAL = "belongs to no problem", r"could belong to 2 problems of the benchmark: {}"


@pytest.mark.parametrize(("prompt", "place"), [
    # a short text that is whole sentences, among what tells how to answer
    ("2+2?", 0), ("2+2? Answer with a number.", 0), ("Answer with a number. 2+2?", 0),
    ("2+2*5? Answer with a number.", 1), ("Halve six. Answer with a number.", 2),
    ("Question: 2+2?\nAnswer:", 0), ("Solve the problem.\n\n2 + 2?\n\nThink.", 0),
    ("2+2? Put your final answer in \\boxed{} with 2 digits.", 0),
    (CHAT.format("2+2? Answer with a number.") + "<|im_start|>assistant\n", 0),
    # a long one anywhere, also in bold or behind a number
    (f"1. **{TEXTS[0]}** Let's think.", 5), (f"<q>{TEXTS[1]}</q> - think step by step", 6),
    # a part of another sentence, or beside something else that asks or calculates
    ("What is 2+2? Answer with a number.", NOBODYS), ("2+2+1? Answer with a number.", NOBODYS),
    ("12+2? Answer with a number.", NOBODYS), ("2+2? And three times that?", NOBODYS),
    ("Tom has 5 apples. 2+2?", NOBODYS), ("2+2? 3*3? Answer both.", NOBODYS),
    ("Halve six. Double seven. How many?", NOBODYS), ("", NOBODYS),
    # long ones that go on, which are other problems
    ("What is the sum of 3 and 42?", NOBODYS), ("What is the sum of 3 and 4 + 5?", NOBODYS),
    ("5 * What is the sum of 3 and 4?", NOBODYS), ("Somewhat is the sum of 3 and 4?", NOBODYS),
    # several
    ("7-4? Answer with a number.", SEVERAL.format("s-3, s-4")),
    (f"{TEXTS[0]} {TEXTS[1]}", SEVERAL.format("s-5, s-6")),
    (f"Q: {TEXTS[0]} A: 7. Q: {TEXTS[2]} A:", SEVERAL.format("s-5, s-7")),
])  # fmt: skip
def test_a_prompt_is_of_the_one_problem_whose_text_it_holds(prompt: str, place: object) -> None:
    rows = (
        {"id": f"s-{i}", "prompt": text, "answer": "1", "source": "s", "topic": ""}
        for i, text in enumerate(SHORT)
    )
    find = _Finder(make_table(rows))
    entry = Entry(1, None, prompt, ["1"], [None], [{}])
    if isinstance(place, int):
        assert find(entry) == f"s-{place}"
    else:
        assert find(entry) is None and re.match(place, find.reason(entry))


def test_a_column_that_some_lines_lack_is_told_and_claims_are_of_the_lines_that_have_one(
    tmp_path: Path,
) -> None:
    said = [{"id": f"b-{i}", "output": f"#### {gold}", "score": 0} for i, gold in enumerate(GOLDS)]
    del said[0]["score"]
    path = lines(tmp_path / "a.jsonl", said[0], said[1] | {"truncated": True}, said[2])
    with pytest.warns(UserWarning, match=r"a.jsonl: truncated is not used: 2 of 3 completions lack it"):
        record = brought(path)
    assert record.manifest["imported"]["columns_lacking"] == {"truncated": 2}
    assert record.manifest["without_claim"] == 1 and record.metrics["claimed_pass@1"]["n"] == 2
    assert pd.read_csv(record.folder / "claims.csv")["id"].tolist() == ["b-1", "b-2"]


def test_any_other_reason_to_stop_is_no_cut(tmp_path: Path) -> None:
    reasons = ("length", "eos", "max_tokens")
    said = [{"id": f"b-{i}", "output": "so 7 +", "finish_reason": why} for i, why in enumerate(reasons)]
    assert [row["truncated"] for row in samples(brought(lines(tmp_path / "a.jsonl", *said)))] == [
        True, False, True,
    ]  # fmt: skip


def test_texts_decide_over_ids_that_happen_to_be_those_of_the_benchmark(tmp_path: Path) -> None:
    rows = [{"id": f"b-{1 - i}", "prompt": TEXTS[i], "output": f"#### {GOLDS[i]}"} for i in (0, 1)]
    assert brought(lines(tmp_path / "a.jsonl", *rows)).metrics["pass@1"]["value"] == 1.0


def test_problems_without_topic_or_source_are_unknown_and_not_dropped(tmp_path: Path) -> None:
    problems = make_table({"id": str(i), "prompt": f"{i}?", "answer": str(i)} for i in range(2))
    path = lines(tmp_path / "a.jsonl", {"id": "0", "output": "so 0"}, {"id": "1", "output": "so 0"})
    record = import_completions(path, problems, root=tmp_path)
    topics = pd.read_csv(record.folder / "topics.csv")
    assert topics[["topic", "problems", "value"]].values.tolist() == [["unknown", 2, 0.5]]
    assert record.manifest["gold"] == {"source": "unnamed"}


def test_ids_of_the_benchmark_are_ids(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        *({"id": f"b-{i}", "completion": f"#### {gold}"} for i, gold in enumerate(GOLDS)),
    )
    assert brought(path).metrics["pass@1"]["value"] == 1.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": 0, "output": "a", "prediction": "b"}, r"each could be the completion; .*completion=output"),
        ({"id": 0, "idx": 1, "output": "a"}, r"each could be the id"),
        ({"id": 0, "text": "a"}, r"no column is known to hold the completions"),
        ({"output": "a"}, r"no column is known to hold the problem"),
    ],
)
def test_what_could_be_meant_twice_is_asked_for(row: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_foreign(lines(tmp_path / "a.jsonl", row))


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"id": 0, "output": "#### 7", "prediction": "9", "mark": 1})
    _, (entry,), _ = read_foreign(path, {"completion": "output", "claimed": "mark"})
    assert (entry.completions, entry.claimed) == (["#### 7"], [1.0])
    for columns, message in (
        ({"completion": "none"}, "no such column"),
        ({"reply": "output"}, "map some of"),
    ):
        with pytest.raises(InputError, match=message):
            read_foreign(path, columns)


def a_chat(text: str) -> list[dict]:
    return [{"role": "assistant", "content": "let me see"}, {"role": "assistant", "content": text}]


PAIRS = [*enumerate(zip(TEXTS, GOLDS, strict=True))]
DUMPS = {
    "verl, as verl_score pays": [
        {"input": f"user\n{problem}\nassistant\n", "output": f"#### {gold}", "score": 0.5, "acc": 1.0,
         "step": 1}
        for _, (problem, gold) in PAIRS
    ],
    "verifiers' results": [
        {"example_id": i, "prompt": [{"role": "user", "content": problem}], "reward": 1.0,
         "completion": a_chat(f"#### {gold}")} for i, (problem, gold) in PAIRS
    ],
    "several chats a line": [
        {"id": i, "completions": [a_chat(f"#### {gold}")] * 2} for i, (_, gold) in PAIRS
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", DUMPS)
@pytest.mark.parametrize("files", [0, 1, 3])
def test_dumps_of_trainers_are_read_from_a_file_or_a_folder(kind: str, files: int, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    if files:
        path.mkdir()
        for number in range(files):
            lines(path / f"{number + 1}.jsonl", *DUMPS[kind][number::files])
    else:
        path = lines(tmp_path / "dump.jsonl", *DUMPS[kind])
    record = brought(path)
    assert record.metrics["pass@1"]["value"] == 1.0 and not record.manifest["imported"]["left_out"]
    if kind != "several chats a line":
        assert record.metrics["claimed_pass@1"]["value"] == 1.0


def test_a_conversation_of_trls_is_read_by_its_last_turn(tmp_path: Path) -> None:
    rows = [
        {"prompt": [{"role": "user", "content": problem}], "completion": a_chat(f"#### {gold}"), "step": 1}
        for problem, gold in zip(TEXTS, GOLDS, strict=True)
    ]
    (tmp_path / "completions").mkdir()
    write_records(rows, tmp_path / "completions" / "completions_00001.parquet")
    assert brought(tmp_path / "completions").metrics["pass@1"]["value"] == 1.0


def test_a_folder_is_of_one_kind_and_names_the_file_of_a_bad_line(tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    folder.mkdir()
    with pytest.raises(InputError, match=r"holds no \.jsonl or \.parquet; name a folder"):
        read_foreign(folder)
    lines(folder / "1.jsonl", {"id": 0, "output": "#### 7"})
    (folder / "2.jsonl").write_text('{"id": 1, "output": "a"}\n{"id": 1, "outp')
    with pytest.raises(InputError, match=r"line 2 of 2\.jsonl"):
        brought(folder)


BROKEN = [
    '{"id": 0, "output": "#### 7"}',
    '{"id": 1, "outp',
    "[1, 2]",
    '{"id": 9, "output": "#### 7"}',
    '{"id": 2}',
]


def test_bad_lines_are_named_and_left_out_only_on_request(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", *BROKEN, '{"id": 1, "output": "12"')
    with pytest.raises(
        InputError, match=r"line 2 is not JSON, or cut off; line 3 is no JSON object; line 4 belongs"
    ):
        brought(path)
    assert not (tmp_path / "runs").exists()
    record = brought(path, skip_bad=True)
    assert [one["line"] for one in record.manifest["imported"]["left_out"]] == [2, 3, 4, 5, 6]
    assert [row["id"] for row in samples(record)] == ["b-0"]
    assert record.manifest["missing_problems"] == ["b-1", "b-2"]


def test_a_sample_that_stands_there_twice_is_named(tmp_path: Path) -> None:
    row = {"id": 0, "sample": 3, "output": "#### 7"}
    with pytest.raises(InputError, match=r"line 2 is sample 3 of b-0 a second time"):
        brought(lines(tmp_path / "a.jsonl", row, row))


def test_nothing_of_the_benchmark_is_an_error(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"problem": "Another problem altogether?", "output": "#### 7"})
    with pytest.raises(InputError, match="holds no completion of this benchmark"):
        brought(path, skip_bad=True)


def test_problems_with_unequal_numbers_of_samples_are_compared_at_the_smallest(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", *({"id": i, "output": "#### 7"} for i in (0, 0, 0, 1, 1)))
    record = brought(path)
    assert record.manifest["samples_per_problem"] == [2, 3]
    assert record.metrics["pass@1"]["value"] == 0.5 and "pass@3" not in record.metrics


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400), noise=st.binary(max_size=8))
def test_wherever_a_file_is_cut_every_line_is_read_or_named(cut, noise, tmp_path_factory) -> None:
    whole = "".join(json.dumps({"id": i, "output": "ä\n7" * 5}) + "\n" for i in range(6)).encode()
    path = tmp_path_factory.mktemp("cut") / "a.jsonl"
    path.write_bytes(whole[:cut] + noise)
    found, bad = read_lines(path)
    numbers = sorted([number for number, _ in found] + [one.line for one in bad])
    written = [number for number, raw in enumerate(path.read_bytes().split(b"\n"), 1) if raw.strip()]
    assert numbers == written
    assert len(found) >= whole[:cut].count(b"\n") - 1


# Layouts of other evaluators


def test_details_of_lighteval(tmp_path: Path) -> None:
    rows = [
        {
            "doc": {
                "query": f"Solve.\n\n{TEXTS[i]}",
                "choices": [GOLDS[i]],
                "gold_index": 0,
                "task_name": "t",
            },
            "model_response": {"text": said, "output_tokens": [[1, 2]] * 2, "truncated_tokens_count": 0},
            "metric": {"pass@k:k=1&n=2": claim},
        }
        for i, said, claim in [(0, ["#### 7", "#### 8"], 0.5), (1, ["#### 11", "#### 13"], 1.0)]
    ]
    path = tmp_path / "details_t_2026.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    record = brought(path)
    assert record.manifest["imported"]["layout"] == "lighteval"
    assert record.metrics["mean_tokens"]["value"] == 2.0
    assert record.metrics["pass@1"]["value"] == 0.25 and record.metrics["claimed_pass@1"]["value"] == 0.75
    assert record.manifest["claims_that_differ"] == 1


def test_details_of_lighteval_as_they_were(tmp_path: Path) -> None:
    row = {
        "example": TEXTS[2],
        "full_prompt": "x",
        "predictions": str(["so \\boxed{3}"]),
        "metrics": str({"em": 1.0}),
    }
    path = tmp_path / "details_old.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row | {"gold": "['3']"}]), path)
    record = brought(path)
    assert record.metrics["pass@1"]["value"] == 1.0 == record.metrics["claimed_pass@1"]["value"]
    other = tmp_path / "other.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"a": 1}]), other)
    with pytest.raises(InputError, match="are not those of lighteval"):
        brought(other)


def test_samples_of_the_harness_with_several_filters(tmp_path: Path) -> None:
    rows = [
        {"doc_id": i, "doc": {"question": TEXTS[i]}, "target": GOLDS[i], "resps": [[said]], "filter": name}
        | {"filtered_resps": ["x"], "metrics": ["exact_match"], "exact_match": claim}
        for i, said in enumerate(["#### 7", "#### 13"])
        for name, claim in (("strict-match", 1.0), ("flexible-extract", 0.0))
    ]
    record = brought(lines(tmp_path / "samples_t.jsonl", *rows))
    assert record.manifest["imported"]["layout"] == "lm-eval"
    assert [(row["correct"], row["claimed"]) for row in samples(record)] == [(True, 1.0), (False, 1.0)]


def test_the_command_says_what_it_read(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = tmp_path / "bench.jsonl"
    source.write_text(
        "".join(json.dumps({"prompt": t, "answer": g}) + "\n" for t, g in zip(TEXTS, GOLDS, strict=True))
    )
    path = lines(tmp_path / "a.jsonl", {"id": 0, "output": "#### 7"}, "{")
    words = [
        "import",
        str(path),
        "--benchmark",
        f"file:{source}",
        "--results",
        str(tmp_path / "r"),
        "--workers",
        "1",
    ]
    assert main(words) == 2
    assert "line 2 is not JSON" in capsys.readouterr().err
    assert main([*words, "--skip-bad"]) == 0
    assert "read as jsonl, 1 lines left out, 2 problems without a completion" in capsys.readouterr().out
    assert main([*words, "--columns", "completion"]) == 2


def test_two_files_of_others_can_be_compared(tmp_path: Path) -> None:
    from hammerlib.evaluation import compare

    folders = []
    for name, said in (("one", ["#### 7", "#### 9", "#### 9"]), ("two", ["#### 7", "#### 12", "#### 3"])):
        path = lines(
            tmp_path / f"{name}.jsonl", *({"idx": i, "response": text} for i, text in enumerate(said))
        )
        folders.append(brought(path).folder)
    found = compare(*folders)
    assert found.problems["outcome"].value_counts().to_dict() == {"won": 2, "tied": 1}


@pytest.mark.skipif(importlib.util.find_spec("inspect_ai") is not None, reason="inspect_ai is installed")
def test_a_log_of_inspects_needs_its_package_in_one_line(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "log.eval")]) == 2
    assert capsys.readouterr().err == (
        "error: package = 'inspect_ai': is not installed; pip install inspect_ai\n"
    )
