"""Overlap of training sets with benchmarks: exact and by n-gram, by name, before training and in results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from public_sets import public_set

from hammerlib import TrainConfig, evaluate, load_problems, train
from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.evaluation.benchmarks import overlap_line, training_overlap
from hammerlib.problems import decontaminate, make_table, overlap_counts, overlap_report

STORY = "A farmer has 12 rows with 7 apple trees each and sells every third tree before winter comes"


def table(*texts: str, source: str = "s"):
    return make_table(
        {"id": f"{source}-{i}", "prompt": text, "answer": str(i), "source": source, "topic": "t"}
        for i, text in enumerate(texts)
    )


def test_exact_and_partial_copies_are_told_apart() -> None:
    bench = table(f"{STORY}. How many are left?", "What is 2 + 2?", "What is 2 - 2?", source="b")
    own = table("Else", f"Long ago: {STORY}! What remains", "what is 2+2", source="t")
    report = overlap_report(own, {"bench": bench})
    assert report[["benchmark_id", "id", "kind", "same_answer"]].values.tolist() == [
        ["b-1", "t-2", "exact", False],
        ["b-0", "t-1", "n-gram", False],
    ]
    partial = report.iloc[1]
    assert partial["shared"] == 6 and partial["share"] == pytest.approx(6 / 10)  # 18 words in a row, of 22
    assert overlap_counts(report, {"bench": bench}) == {"bench": {"problems": 3, "exact": 1, "n_gram": 1}}
    assert overlap_report(own, {"bench": bench}, n=19)["kind"].tolist() == ["exact"]
    with pytest.raises(InputError, match="n = 1: must be at least 2"):
        overlap_report(own, {"bench": bench}, n=1)


def test_the_training_problem_that_shares_most_is_named() -> None:
    words = STORY.split()
    own = table(" ".join(words[:14]), STORY, source="t")
    report = overlap_report(own, {"b": table(f"{STORY} now", source="b")})
    assert report["id"].tolist() == ["t-1"]


def test_a_whole_test_set_in_a_training_file_is_reported_row_by_row() -> None:
    bench, clean = public_set("amc23_40.jsonl"), public_set("gsm8k_test.jsonl").select(range(100))
    rows = [row | {"id": f"t-{i}"} for i, row in enumerate([*clean.to_list(), *bench.to_list()])]
    report = overlap_report(make_table(rows), {"amc23": bench})
    exact = report[report["kind"] == "exact"]
    assert sorted(exact["benchmark_id"]) == sorted(bench["id"]) and exact["same_answer"].all()
    assert overlap_report(clean, {"amc23": bench}).empty


def test_copies_of_a_benchmark_with_other_wording_are_found() -> None:
    bench = public_set("math500.jsonl").select(range(60))
    reworded = [row | {"prompt": f"Please solve: {row['prompt']} Give a reason."} for row in bench.to_list()]
    counts = overlap_counts(overlap_report(make_table(reworded), {"m": bench}), {"m": bench})["m"]
    assert counts == {"problems": 60, "exact": 60, "n_gram": 0}  # what all rows share is aside
    told = [
        f"{row['prompt']} My teacher {word} me." for row, word in zip(bench.to_list(), WORDS, strict=True)
    ]
    counts = overlap_counts(overlap_report(table(*told), {"m": bench}), {"m": bench})["m"]
    long = sum(len(row["prompt"].split()) >= 20 and "[asy]" not in row["prompt"] for row in bench)
    assert counts["n_gram"] > 20 and counts["exact"] + counts["n_gram"] >= 0.9 * long


WORDS = [f"said{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(60)]
ASKED = r"Find all positive integers $n > 2$ with $n! \mid x y$ and $\frac{1}{2} \leqslant x^{2}$"
# What a person calls one problem, in another dress.
DRESSES = {
    "as it is": ASKED,
    "boxed": ASKED + r". Please reason step by step, and put your final answer within \boxed{}.",
    "boxed, a line below": ASKED
    + ".\n\nLet's think step by step and output the final answer within \\boxed{}.",
    "form of the answer": ASKED + ". The answer is in the form m/n. Please provide the value of m + n.",
    "glued": ASKED + ".Express your answer in interval notation.",
    "before": "Solve the following math problem step by step.\n\n" + ASKED,
    "before, one line": "Answer the following question: " + ASKED,
    "role": "You are a helpful assistant. Solve the problem below. " + ASKED,
    "DAPO": "Solve the following math problem step by step. The last line of your response should be of the "
    "form Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
    + ASKED
    + '\n\nRemember to put your answer on its own line after "Answer:".',
    "hashes": ASKED + '. Let\'s think step by step and output the final answer after "####".',
    "R1": ASKED + ". Show your work in <think> tags. And return the final answer in <answer> </answer> tags.",
    "one number": ASKED + ". Answer with a single number.",
    "integer": ASKED + ". Note that the answer is an integer.",
    "Chinese steps": ASKED + "。请一步步思考。",
    "chat": f"<|im_start|>{ASKED}<|im_end|>",
    "chat of roles": f"<|im_start|>user\n{ASKED}<|im_end|>\n<|im_start|>assistant\n",
    "chat of headers": f"<|start_header_id|>user<|end_header_id|>\n\n{ASKED}<|eot_id|>",
    "chat of turns": f"<start_of_turn>user\n{ASKED}<end_of_turn>\n<start_of_turn>model\n",
    "chat of marks": f"<s>[INST] {ASKED} [/INST]",
    "points behind": ASKED + ". (5 points)",
    "origin": f"[AIME 2024 #3] {ASKED}.",
    "origin behind": f"{ASKED}. (HMMT February 2020, Problem 3)",
    "a power of Python": ASKED.replace("x^{2}", "x**2"),
    "Chinese behind": ASKED + "。请逐步推理，并将最终答案放在 \\boxed{} 中。",
    "Chinese form": ASKED + "。原始的答案是\\frac{m}{n}的形式，其中m、n是互质的。请给出m + n的值",
    "Chinese before": "请解答下列问题：" + ASKED,
    "number": "12. " + ASKED,
    "label": "Problem 7: " + ASKED + "?",
    "bold label": "**Question:** " + ASKED,
    "Chinese label": "问题：" + ASKED,
    "question and answer": "Q: " + ASKED + "\nA:",
    "points": "(5 points) " + ASKED,
    "bullet": "- " + ASKED,
    "upper case": ASKED.replace("Find", "FIND").replace("positive", "Positive"),
    "double dollars": ASKED.replace("$", "$$"),
    "brackets": r"Find all positive integers \(n>2\) with \[n!\mid xy\] and \(\frac{1}{2} \leqslant x^{2}\)",
    "blanks": r"Find  all positive integers $n>2$ with $n ! \mid  xy$ and $\frac{ 1 }{2}\leqslant x ^ { 2}$",
    "unicode": "Find all positive integers n > 2 with n! | xy and ½ ≤ x²",
    "entities": "Find all positive integers n &gt; 2 with n! | xy and 1/2 &lt;= x^2",
    "full width": "Find all positive integers n＞2 with n！| xy and 1／2 ≤ x²．",
    "other LaTeX": r"Find all positive integers $n > 2$ with $n!\,\vert\,xy$ and $\dfrac12\le x^2$",
    "text": r"\text{Find all positive integers }n>2\text{ with }n!\mid xy\text{ and }\tfrac{1}{2}\leq x^2",
}
# Another number, sign, operator, name or question: another problem.
OTHERS = {
    "number": ASKED.replace("> 2", "> 3"),
    "sign": ASKED.replace("> 2", "> -2"),
    "relation": ASKED.replace(r"\leqslant", r"\geqslant"),
    "strict": ASKED.replace(r"\leqslant", "<"),
    "exponent": ASKED.replace("x^{2}", "x^{3}"),
    "index": ASKED.replace("x^{2}", "x_{2}"),
    "factorial": ASKED.replace("n!", "n"),
    "fraction": ASKED.replace("{1}{2}", "{2}{1}"),
    "letter": ASKED.replace("x y", "x z"),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_a_copy_in_another_dress_is_the_same_problem(dress: str) -> None:
    for one, other in [(DRESSES[dress], ASKED), (ASKED, DRESSES[dress])]:
        clean, report = decontaminate(table("Else", one), {"b": table("Other", other, source="b")})
        assert clean["prompt"][:] == ["Else"]
        assert report[["benchmark_id", "kind"]].values.tolist() == [["b-1", "exact"]]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("dress", ["as it is", "boxed", "before", "label"])
def test_another_number_or_sign_is_another_problem(dress: str, other: str) -> None:
    own = DRESSES[dress].replace(ASKED, OTHERS[other])
    clean, report = decontaminate(table(own), {"b": table(ASKED, source="b")})
    assert len(clean) == 1 and report.empty


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (r"What is $\lim_{x\to 0} f(x)$?", r"What is $\lim_{x\rightarrow\infty} f(x)$?"),
        ("What is 2**3?", "What is 2*3?"),
        ("Who won the AIME of 2024 by 3 points?", "Who won the AIME of 2024 by 5 points?"),
        ("(3 balls) How many ways?", "(5 balls) How many ways?"),
        ("How many sums are there (3)?", "How many sums are there (5)?"),
    ],
)
def test_what_looks_like_a_label_or_an_arrow_counts(own: str, other: str) -> None:
    assert len(decontaminate(table(own), {"b": table(other, source="b")})[0]) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda one: decontaminate(one, one),
        lambda one: decontaminate(one, {"b": [1]}),
        lambda one: decontaminate(None, {"b": one}),
        lambda one: decontaminate(one, {"b": one.remove_columns("answer")}),
        lambda one: decontaminate(one, {"b": one}, n="13"),
        lambda one: decontaminate(one, {"b": one}, n=13.5),
        lambda one: decontaminate(one, {"b": one}, share="half"),
        lambda one: overlap_report(one, None),
    ],
)
def test_what_is_no_table_or_number_is_one_line(call) -> None:
    with pytest.raises(InputError) as caught:
        call(table("What is 1 + 1?"))
    assert "\n" not in str(caught.value)


FIELDS = (
    "A triangle ABC has sides of 13, 14 and 15 units, and the point D lies on one side so that BD is 5 units."
)
QUESTION = f"{FIELDS} What is the largest possible area of the triangle ABD?"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (f"{FIELDS} Find the largest possible area of the triangle ABD, please, dear reader.", True),
        (f"Long ago: {QUESTION} It was an old teacher who said so.", True),
        (f"{QUESTION} Then take the sum of all such numbers.", True),
        (QUESTION.replace("13", "12"), False),
        (QUESTION.replace("BD is 5", "BD is 6"), False),
        (f"{FIELDS} What is the smallest possible area of the triangle ABD?", False),
        (f"{FIELDS} What is the largest possible perimeter of the triangle ABD?", False),
        (f"{FIELDS} What is the largest possible area of the triangle ABE?", False),
        (f"{FIELDS} How long is AD?", False),
    ],
)
def test_long_texts_of_the_same_words_are_one_problem_if_numbers_and_question_are_the_same(
    text: str, same: bool
) -> None:
    clean, report = decontaminate(table(text), {"b": table(QUESTION, source="b")})
    assert len(clean) == (not same) and report["kind"].tolist() == ["n-gram"] * same


INSTRUCTION = "When you are done, write DONE and stop talking."
TASKS = "Find the greatest common divisor of these two numbers: {}"


def test_what_nearly_all_prompts_share_is_no_part_of_the_problem() -> None:
    own = [f"Hello! {i} + {i * i} = ? {INSTRUCTION}" for i in range(2, 40)]
    clean, report = decontaminate(table(*own), {"b": table("7 + 49 = ?", "7 + 48 = ?", source="b")})
    assert report[["id", "benchmark_id", "kind"]].values.tolist() == [["s-5", "b-0", "exact"]]
    assert len(clean) == len(own) - 1
    # On both sides, but what both files have before the numbers is the problem itself.
    lcm = TASKS.replace("greatest common divisor", "least common multiple")
    pairs = [(i, 2 * i + 1) for i in range(3, 12)]
    own = table(*(f"{TASKS.format(pair)} Put your final answer in a box." for pair in pairs))
    assert decontaminate(own, {"b": table(*(lcm.format(pair) for pair in pairs))})[1].empty
    found = decontaminate(own, {"b": table(*(f"Solve this problem. {TASKS.format(pair)}" for pair in pairs))})
    assert len(found[0]) == 0 and len(found[1]) == len(pairs)


def test_a_chat_template_around_every_prompt_is_no_part_of_the_problem() -> None:
    chat = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n"
    chat += "<|im_start|>assistant\n"
    own = table(*(chat.format(f"What is {i} times {i + 1}") for i in range(2, 12)))
    _, report = decontaminate(own, {"b": table("What is 7 times 8?", "What is 7 times 9?", source="b")})
    assert report[["id", "benchmark_id", "kind"]].values.tolist() == [["s-5", "b-0", "exact"]]


def test_two_figures_are_two_problems() -> None:
    drawn = "What is $x$? [asy] size({}); draw((0,0)--({},1)); [/asy]"
    again = "What is $x$?[asy]size(9); draw( (0,0)--(2,1) );[/asy]"
    _, report = decontaminate(table(again, drawn.format(6, 3)), {"b": table(drawn.format(5, 2), source="b")})
    assert report["id"].tolist() == ["s-0"]


@pytest.mark.parametrize(
    "sentence", ["Present the answer in LaTeX format: \\boxed{Your answer}", INSTRUCTION]
)
def test_the_problems_of_math500_in_a_file_of_instructed_prompts_are_found(sentence: str) -> None:
    bench = public_set("math500.jsonl")
    hidden = [80, 101, 285, 292, 412, 422, 489]
    texts = public_set("gsm8k_test.jsonl").select(range(100))["prompt"]
    texts = [*texts, *(bench[place]["prompt"] for place in hidden)]
    clean, report = decontaminate(table(*(f"{text} {sentence}" for text in texts)), {"math500": bench})
    assert report["benchmark_id"].tolist() == [f"math500-{place}" for place in hidden]
    assert report["kind"].eq("exact").all() and len(clean) == 100


def test_dapo_holds_problems_of_three_benchmarks_and_removal_agrees_with_the_report() -> None:
    names = ("amc23_40", "math500", "olympiadbench675")
    sets = {name: public_set(f"{name}.jsonl") for name in names}
    dapo = public_set("dapo_math_17k.parquet")
    clean, removed = decontaminate(dapo, sets)
    exact = set(removed[removed["kind"] == "exact"]["benchmark_id"])
    for name, places in {
        "amc23_40": [3, 5, 8, 9, 13, 14, 17, 18, 20, 22, 27, 28, 34, 37],
        "math500": [80, 101, 110, 138, 175, 276, 285, 292, 412],
        "olympiadbench675": [20, 36, 38, 47, 54, 59, 84, 88, 89, 394, 459],
    }.items():
        assert {f"{name}-{place}" for place in places} <= exact
    # Read by hand: each pair is one problem. Other questions about one figure are not there.
    assert (len(removed), removed["kind"].eq("exact").sum()) == (126, 49)
    pairs = set(zip(removed["id"], removed["benchmark_id"], strict=True))
    assert ("dapo_math_17k-14273", "olympiadbench675-52") in pairs  # an arrow of two names
    assert not {f"math500-{place}" for place in (123, 177, 189, 320)} & set(removed["benchmark_id"])
    assert set(dapo["id"]) - set(clean["id"]) == set(removed["id"])
    few = dapo.select(range(0, len(dapo), 40))
    report = overlap_report(few, sets)
    assert set(report["id"]) == set(few["id"]) - set(decontaminate(few, sets)[0]["id"]) != set()


@pytest.mark.parametrize("name", ["amc23_40.jsonl", "math500.jsonl", "gsm8k_test.jsonl"])
def test_no_problem_of_a_benchmark_is_taken_for_another(name: str) -> None:
    bench = public_set(name)
    report = overlap_report(bench, {"itself": bench})
    assert (report["id"] == report["benchmark_id"]).all() and len(report) == len(bench)


def test_an_evaluation_says_what_its_model_was_trained_on(tmp_path: Path) -> None:
    problems = load_problems("reasoning-gym:nano", split="rl", n=8)
    config = TrainConfig(n_problems=8, order="random", max_completion_length=4)
    trained = train(config, root=tmp_path, progress=False)
    options = {"k": 1, "max_new_tokens": 4, "root": tmp_path}
    seen = evaluate(trained, problems, **options).manifest["overlap"]
    (counts,) = seen["benchmarks"].values()
    assert counts == {"problems": 8, "exact": 8, "n_gram": 0} and seen["exact_ids"] == problems["id"][:]
    unseen = evaluate(trained, "reasoning-gym:nano", n=4, **options).manifest["overlap"]
    assert unseen["benchmarks"]["reasoning-gym:nano"]["exact"] == 0 and unseen["ngram"] == 13
    assert overlap_line(unseen).startswith("trained on reasoning-gym:nano: of 4 problems 0 word for word")
    before = "the supervised part of reasoning-gym:nano, which shares no prompt with the others"
    assert overlap_line(unseen).endswith(f"; before that on {before}")
    assert overlap_line(training_overlap("nano", problems, "x")) == f"trained on {before}"
    assert overlap_line(training_overlap("of-a-stranger", problems, "x")).endswith("not known here")
    trained.manifest["problems_fingerprint"] = "of another table"
    lost = training_overlap(trained, problems, "x")
    assert lost["reason"] == "its problems cannot be loaded again"
    assert overlap_line(lost) == f"trained on {lost['trained_on']}: not compared, {lost['reason']}"


def test_training_reports_overlap_by_name_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"What is {i} + {i}?", "answer": f"#### {2 * i}"} for i in range(1319)]
    (tmp_path / "gsm8k_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:8]))
    monkeypatch.setenv("HAMMER_DATA", str(tmp_path))
    config = tmp_path / "train.yaml"
    config.write_text(
        f"problems: file:{tmp_path / 'mine.jsonl'}\nsplit: null\nn_problems: 8\norder: random\n"
        "max_completion_length: 4\n"
    )
    began = []

    def begin(config: TrainConfig, **options):
        began.append(capsys.readouterr().out)
        return train(config, root=tmp_path / "runs", progress=False, **options)

    monkeypatch.setattr("hammerlib.train", begin)
    assert main(["train", "--config", str(config)]) == 0
    assert began == ["overlap with gsm8k: 8 of 1319 problems exactly, 0 more by 13 words in a row\n"]
    (manifest,) = (tmp_path / "runs").glob("*/manifest.json")
    noted = json.loads(manifest.read_text())["overlap"]
    assert noted["benchmarks"]["gsm8k"]["exact"] == 8 and len(noted["problems"]) == 8
