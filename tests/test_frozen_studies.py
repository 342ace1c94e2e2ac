"""The studies without training: their committed pages are what the records give, their parts by hand."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hammerlib import load_backbone, load_problems
from hammerlib.grading import final_answer
from hammerlib.systems.branching import Sampler
from hammerlib.systems.etmr.algorithm import TreeVotes
from hammerlib.systems.search import baselines
from hammerlib.training.generation import generate

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "results" / "benchmarks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["tree_votes", "step_search"])
def test_a_committed_page_is_what_its_record_gives(name: str) -> None:
    stem = name.replace("_", "-")
    record = json.loads((KEPT / f"{stem}.json").read_text(encoding="utf-8"))
    assert script(name).page(record, record["command"]) == (KEPT / f"{stem}.md").read_text(encoding="utf-8")
    assert record["problems"]["n"] == 512 and record["problems"]["draw"] == 0


@pytest.fixture(scope="module")
def frozen() -> Sampler:
    return Sampler(load_backbone("nano"), seed=3)


def test_a_frozen_policy_samples_by_name_and_counts_what_it_sampled(frozen: Sampler) -> None:
    rows = load_problems("reasoning-gym:nano", split="heldout", n=2).to_list()
    first, again = (Sampler(frozen.backbone, seed=3) for _ in range(2))
    made = generate(first, [row for row in rows for _ in range(4)])
    assert made.completion_ids == generate(again, [row for row in rows for _ in range(4)]).completion_ids
    assert made.completion_ids != generate(again, [row for row in rows for _ in range(4)]).completion_ids
    # nano is most uncertain of its first word, so that one fork begins anew; the other does not.
    leaves = TreeVotes(2, 2, 2, train="first").grow(first, made.take([0, 1, 4, 5]), 2)
    assert len(leaves.rows) == 20 and leaves.forced[:2] == [0, 0] and max(leaves.forced) > 0
    branches = sum(len(ids) - cut for ids, cut in zip(leaves.completion_ids, leaves.forced, strict=True))
    trunks = sum(len(made.completion_ids[k]) for k in (0, 1, 4, 5))
    assert first.sampled == sum(map(len, made.completion_ids)) + branches - trunks


def test_tree_arms_are_compared_at_their_own_tokens(frozen: Sampler) -> None:
    module = script("tree_votes")
    rows = load_problems("reasoning-gym:nano", split="heldout", n=3).to_list()
    kept = module.answered(Sampler(frozen.backbone, seed=1), rows)
    for arm in module.ARMS:
        tokens, votes = (np.array(kept[f"{arm}/{name}"]) for name in ("tokens", "votes"))
        # Nearest: not further off than half of the longest completion, and inside what was drawn.
        off = np.abs(tokens - np.array(kept[f"{arm}/separate_tokens"]))
        assert (off <= 24).all() and (votes > module.TREES).all()
        assert (votes < module.TREES + module.MORE).all()
        assert np.array(kept[f"{arm}/leaves"]).shape == (3, module.TREES)
    texts = module.packed(kept)
    assert module.digits(texts["trees/leaves"]).tolist() == np.array(kept["trees/leaves"]).ravel().tolist()
    assert module.digits(texts["votes_right"], 2).tolist() == kept["votes_right"]
    # By another way: the majority of the first votes, drawn again.
    again = Sampler(frozen.backbone, seed=1)
    parts = [generate(again, [row for row in rows for _ in range(n)]) for n in (module.TREES, module.MORE)]
    decode = frozen.processing_class.batch_decode
    answers = [
        np.array(
            [final_answer(text) for text in decode(part.completion_ids, skip_special_tokens=True)],
            dtype=object,
        )
        for part in parts
    ]
    drawn = np.hstack([answer.reshape(3, -1) for answer in answers])
    for k, row in enumerate(rows):
        ballot = drawn[k, : kept["trees/votes"][k]].tolist()
        right = [answer == row["answer"] for answer in ballot]
        assert kept["trees/separate"][k] == bool(baselines(ballot, right)["majority"])


def test_shares_of_a_search_are_those_of_its_digits() -> None:
    module = script("step_search")
    record = {
        "samples": 16,
        "searches": [
            {"majority": "101", "last": "001", "min": "000", "mean": "111", "sum": "100", "right": "160008"}
        ],
    }
    values = module.shares(record)
    assert values["random"].tolist() == [[1.0, 0.0, 0.5]] and values["oracle"].tolist() == [[1, 0, 1]]
    assert values["last"].tolist() == [[0, 0, 1]] and not {"distinct", "likelihood"} & set(values)
    record["searches"][0] |= {"distinct": [0.5, 0.25, 1.0], "likelihood": "110"}
    values = module.shares(record)
    assert values["distinct"].tolist() == [[0.5, 0.25, 1.0]] and values["likelihood"].tolist() == [[1, 1, 0]]
