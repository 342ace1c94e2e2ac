"""The cost of an order beside that of a difficulty probe: what is counted, what is scaled."""

from __future__ import annotations

from pathlib import Path

import pytest

from hammerlib import evaluate, load_backbone, load_problems
from hammerlib.evaluation import order_ledger
from hammerlib.problems.table import subset


def test_tokens_are_counted_and_the_probe_is_scaled(tmp_path: Path) -> None:
    backbone = load_backbone("nano")
    table = load_problems("reasoning-gym:nano", n=20)
    options = {"max_new_tokens": 6, "root": tmp_path}
    ledger = order_ledger(table, backbone, probed=5, samples=3, **options)
    assert ledger.index.tolist() == ["embedding", "hammer path", "min-path", "difficulty probe"]
    assert ledger["problems"].tolist() == [20, 20, 20, 5] and ledger["scale"].tolist() == [1, 1, 1, 4]
    prompts = backbone.tokenizer(list(table["prompt"]))["input_ids"]
    assert ledger.loc["embedding", "prompt_tokens"] == sum(map(len, prompts))
    assert (ledger.loc[["hammer path", "min-path"], "tokens_all"] == 0).all()
    probe = ledger.loc["difficulty probe"]
    some = subset(table, 5, 0)
    read = backbone.tokenizer(list(some["prompt"]))["input_ids"]
    assert probe["prompt_tokens"] == 3 * sum(map(len, read))
    made = evaluate(backbone, some, k=3, **options)  # the same run, found again
    assert probe["generated_tokens"] == pytest.approx(made.metrics["mean_tokens"]["value"] * 15)
    assert probe["generated_tokens"] <= 15 * 6
    assert probe["tokens_all"] == 4 * (probe["prompt_tokens"] + probe["generated_tokens"])
    assert probe["seconds_all"] == 4 * probe["seconds"] > 0
    assert (ledger["seconds"] >= 0).all() and ledger.loc["embedding", "seconds"] > 0


def test_equal_prompts_are_embedded_once_and_a_small_table_is_probed_whole(tmp_path: Path) -> None:
    backbone = load_backbone("nano")
    table = load_problems("reasoning-gym:nano", n=14)
    table = table.remove_columns("prompt").add_column(
        "prompt", [table["prompt"][0]] * 2 + table["prompt"][2:]
    )
    ledger = order_ledger(table, backbone, probed=99, samples=1, max_new_tokens=2, root=tmp_path)
    tokens = [len(ids) for ids in backbone.tokenizer(list(table["prompt"]))["input_ids"]]
    assert ledger.loc["embedding", "prompt_tokens"] == sum(tokens) - tokens[1]
    assert ledger.loc["difficulty probe", "prompt_tokens"] == sum(tokens)
    assert ledger.loc["difficulty probe", "scale"] == 1
