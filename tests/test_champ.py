"""CHAMP without training: the committed page is what its record gives, its parts by hand."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "results" / "benchmarks"


@pytest.fixture(scope="module")
def champ() -> ModuleType:
    spec = importlib.util.spec_from_file_location("champ", ROOT / "benchmarks" / "champ.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_what_its_record_gives(champ: ModuleType) -> None:
    record = json.loads((KEPT / "champ.json").read_text(encoding="utf-8"))
    assert champ.page(record) == (KEPT / "champ.md").read_text(encoding="utf-8")
    assert all((KEPT / name).stat().st_size > 1000 for name in ("champ.svg", "champ-map.svg"))
    changed = json.loads(json.dumps(record))
    values = changed["values"]["redundant | MiniLM"]
    values[next(iter(values))] += 0.5
    assert champ.page(changed) != champ.page(record)


def test_a_chance_by_pairs(champ: ModuleType) -> None:
    assert champ.auc(np.array([3.0, 1.0]), np.array([1.0, 0.0])) == (1 + 1 + 0.5 + 1) / 4
    assert champ.found(np.array([2.0, 2.0, 1.0]), 1) == 0.5 and champ.found(np.array([2.0, 1.0]), 1) == 0.0


def test_steps_cover_a_text_and_end_at_lines_and_sentences(champ: ModuleType) -> None:
    text = "We see that 3.5 > 2. Hence x = 1 holds.\n1. Then\nthe rest is easy! So"
    steps = champ.steps_of(text)
    assert [text[start:end] for start, end in steps] == [
        "We see that 3.5 > 2. ",
        "Hence x = 1 holds.\n",
        "1. Then\nthe rest is easy! So",
    ]
    assert "".join(text[start:end] for start, end in steps) == text
    assert champ.steps_of("short") == [(0, 5)]
    assert champ.marked_step(steps, 15, 30) == 1 and champ.marked_step(steps, 0, 5) == 0


def test_scores_are_high_where_a_step_is_unlikely(champ: ModuleType) -> None:
    scores = champ.suspicion([np.array([-1.0, -3.0]), np.array([-4.0]), np.array([-1.0, -1.0, -0.5])])
    assert scores["mean"].tolist() == pytest.approx([2, 4, 2.5 / 3])
    # the mean of all tokens before: -2, then -8 / 3
    assert scores["drop"].tolist() == pytest.approx([0, 2, -8 / 3 + 2.5 / 3])
    assert scores["least likely token"].tolist() == [3, 4, 1] and scores["sum"].tolist() == [4, 4, 2.5]
    assert scores["longest step"].tolist() == [2, 1, 3] and scores["by lot"].tolist() == [0, 0, 0]


def test_a_first_wrong_step_is_scored_by_the_tokens_that_end_in_it(champ: ModuleType) -> None:
    text = "This step is right.\nThis step is wrong.\nThis step follows."
    ends = np.arange(4, len(text) + 1)[::5]
    ends[-1] = len(text)
    logps = np.full(len(ends), -1.0, dtype=np.float32)
    logps[(ends > 20) & (ends <= 40)] = -2.0  # the second line
    notes = pd.DataFrame({"id": ["a", "a"], "completion": [text, text], "start": [20, -1], "end": [39, -1]})
    told = champ.scored_notes(notes, [logps, logps], [ends, ends])
    values = told["values"]
    assert values["found | mean"] == {"a": 1.0} and values["found | by lot"]["a"] == pytest.approx(
        1 / 3, abs=1e-5
    )
    assert values["auc | mean"] == {"a": 1.0} and values["before | last step"] == {"a": 1.0}
    assert [row["wrong"] for row in told["whole"]] == [True, False] and told["counts"]["beyond"] == 0
    assert told["whole"][0]["min"] == -2.0 and told["whole"][0]["last"] == -1.0
    # a text that is read up to its second step only: the third is no candidate
    short = champ.scored_notes(notes[:1], [logps[:8]], [np.append(ends[:7], 40)])
    assert short["counts"]["steps"] == [1, 2.0] and short["values"]["found | by lot"] == {"a": 0.5}


def test_redundant_right_ones_of_one_group(champ: ModuleType) -> None:
    vectors = np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    right = np.array([True, True, False, False])
    told = champ.likeness(vectors, right)
    assert told == {"redundant": 1.0, "among right": 1.0, "among wrong": 0.0, "right less wrong": 1.0}
    moved = champ.weighting(vectors, right)
    assert moved["least / largest weight"] == pytest.approx(0.5, abs=1e-4)
    assert moved["signs turned"] == moved["pairs turned"] == 0 and moved["range among right"] == 0
    # of seven right ones six are copies: their halved reward falls below the mean that the seventh lifts
    several = np.vstack([np.tile([1.0, 0, 0], (6, 1)), [[0, 1.0, 0]], [[0, 0, 1.0]]])
    turned = champ.weighting(several, np.arange(8) < 7)
    assert turned["signs turned"] == 6 / 8 and turned["pairs turned"] == 0 and turned["range among right"] > 1


def test_topics_by_vote_and_neighbours_in_common(champ: ModuleType) -> None:
    cosines = np.array([[1, 0.9, 0.1, 0], [0.9, 1, 0.2, 0.1], [0.1, 0.2, 1, 0.8], [0, 0.1, 0.8, 1]])
    assert champ.nearest(cosines, 2).tolist() == [[1, 2], [0, 2], [3, 1], [2, 1]]
    codes = np.array([0, 0, 1, 1])
    # one vote each: the nearest's counts
    assert champ.vote(champ.nearest(cosines, 2), codes).tolist() == [True] * 4
    assert champ.vote(champ.nearest(cosines, 2), np.array([0, 1, 0, 1])).tolist() == [False] * 4
    assert champ.overlap(cosines, cosines[::-1, ::-1], 1).tolist() == [1.0] * 4
    assert champ.overlap(cosines, -cosines, 1).tolist() == [0.0] * 4


def test_the_sample_is_one_mixed_group_a_problem_and_the_same_every_time(champ: ModuleType) -> None:
    rows = [
        {"id": f"p{problem}", "model": model, "right": k < right, "completion": f"{problem} {model} {k}"}
        for problem in range(3)
        for model, right in (("a", 4), ("b", 9), ("c", 1))
        for k in range(10)
    ]
    groups = champ.eligible(pd.DataFrame(rows))
    assert [set(group["model"]) for group in groups] == [{"a"}] * 3  # b has one wrong, c one right
    drawn = champ.drawn_groups(groups)
    assert [len(group) for group in drawn] == [8] * 3 and {g["id"].iloc[0] for g in drawn} == {
        "p0",
        "p1",
        "p2",
    }
    again = champ.drawn_groups(groups)
    assert all(one.equals(other) for one, other in zip(drawn, again, strict=True))


def test_kernels_of_length_and_of_text(champ: ModuleType) -> None:
    texts = ["ab" * 50, "ba" * 50, "a" * 400, "ab" * 50]
    cosines = champ.same_text(texts) @ champ.same_text(texts).T
    assert cosines[0].tolist() == [1, 0, 0, 1]
    vectors = champ.lengths(texts)
    assert vectors[0] @ vectors[1] == pytest.approx(1) and vectors[0] @ vectors[2] < 0.999
    assert champ.shared_words("Let x = 2", "let X = 3") == 2 / 4


def test_ranks_across_problems_resample_problems(champ: ModuleType) -> None:
    scores, labels = [3.0, 2.0, 1.0, 0.0] * 5, [True, True, False, False] * 5
    problems = [str(k) for k in range(20)]
    told = champ.ranked(scores, labels, problems)
    assert told == (1.0, 1.0, 1.0)
    assert champ.ranked([-score for score in scores], labels, problems).value == 0.0
