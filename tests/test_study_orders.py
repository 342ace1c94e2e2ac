"""The orders of the study's arms: each keeps what it says it keeps, and draws the rest at random."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ordering_samples import clusters, problem_table

from hammerlib.errors import InputError
from hammerlib.models import load_backbone, untrained_like
from hammerlib.models.embeddings import Embeddings
from hammerlib.ordering import STRATEGIES, Order, edge_costs, order_by
from hammerlib.problems import item_hashes, load_problems
from hammerlib.study.orders import (
    arm_order,
    learnable_window,
    matched,
    order_vectors,
    random_batches,
    strata,
    tfidf_vectors,
)
from hammerlib.study.plan import OrderSettings
from hammerlib.training import TrainConfig, train

N, K = 240, 8
RNG = np.random.default_rng(5)
LENGTHS = RNG.integers(10, 90, N)
PROBLEMS = problem_table(N, prompt=["x" * length for length in LENGTHS])
RATES = RNG.binomial(8, RNG.beta(2, 2, N)) / 8
VECTORS = Embeddings(clusters(N, 24), list(PROBLEMS["id"]), "key", {}, item_hashes(PROBLEMS))


def made(order: str, seed: int = 3, direction: str = "forward", **options: object) -> Order:
    settings = OrderSettings(order, options, direction=direction, window=K)
    rates = RATES if settings.needs_pass_rates else None
    return arm_order(settings, PROBLEMS, lambda kind: VECTORS, pass_rates=rates, seed=seed)


def by_step(values: np.ndarray, order: Order) -> np.ndarray:
    return values[order.permutation].reshape(-1, K).mean(axis=1)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_order_is_a_permutation_of_its_problems_and_repeats(name: str) -> None:
    order = made(name)
    assert sorted(order.permutation) == list(range(N)) and order.strategy == name
    order.verify(PROBLEMS)
    assert order.hash == made(name).hash
    assert order.cost == pytest.approx(edge_costs(order.permutation, VECTORS).mean(), abs=1e-6)


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_order_by_knows_is_what_order_by_makes(name: str) -> None:
    options = {"pass_rate": RATES} if name in ("easy-to-hard", "hard-to-easy", "matched") else {}
    plain = order_by(name, VECTORS, problems=PROBLEMS, seed=3, certify=False, **options)
    assert made(name).permutation.tolist() == plain.permutation.tolist()


def test_eta_centre_and_start_reach_the_strategy() -> None:
    told = [
        {},
        {"start": "random"},
        {"eta": 0.2},
        {"eta": 0.1, "eta_mode": "pool"},
        {"centre": "argmin"},
        {"centre": "renormalise"},
    ]
    orders = [made("hammer", **options) for options in told]
    assert len({tuple(order.permutation) for order in orders}) == len(told)
    assert [order.provenance["options"] for order in orders] == told


def test_derived_orders_are_made_of_the_very_order_of_the_same_seed() -> None:
    path = made("hammer", start="random").permutation
    assert made("reversed", start="random").permutation.tolist() == path[::-1].tolist()
    steps = {tuple(step) for step in path.reshape(-1, K)}
    assert {
        tuple(step) for step in made("batch-shuffled", start="random").permutation.reshape(-1, K)
    } == steps
    backwards = made("reversed", of="min-path")
    assert backwards.permutation.tolist() == made("min-path").permutation[::-1].tolist()
    easy = made("reversed", of="easy-to-hard").permutation
    assert (np.diff(RATES[easy]) >= 0).all()


def test_random_batches_follow_the_path_and_their_make_up_does_not() -> None:
    path = made("hammer", start="random").permutation
    order = made("random-batches", start="random")
    place = np.argsort(path)
    means = place[order.permutation].reshape(-1, K).mean(axis=1)
    assert (np.diff(means) >= 0).all()
    gaps = [np.ptp(place[step]) for step in order.permutation.reshape(-1, K)]
    assert np.mean(gaps) > 0.6 * N  # a batch of the path itself spans K - 1 places
    assert order.cost == pytest.approx(order.random_cost, abs=0.05) and order.cost > made("hammer").cost + 0.1
    told = order.provenance["path_correlation"]
    assert told == pytest.approx(np.corrcoef(np.arange(N), place[order.permutation])[0, 1])
    assert told == pytest.approx(K**-0.5, abs=0.1)


def test_random_batches_of_a_block_keep_the_drift() -> None:
    path, block = np.random.default_rng(0).permutation(N), 5 * K
    found = random_batches(path, K, 1, block=block)
    place = np.argsort(path)[found]
    assert (np.sort(place.reshape(-1, block), axis=1) == np.arange(N).reshape(-1, block)).all()
    assert np.corrcoef(place, np.arange(N))[0, 1] > 0.95 and (place != np.arange(N)).mean() > 0.8
    assert random_batches(path, 7, 1).tolist() != path.tolist()
    assert sorted(random_batches(path, 7, 1)) == list(range(N))  # 240 = 34 x 7 + 2
    with pytest.raises(InputError, match="multiple of 8"):
        random_batches(path, K, 1, block=12)


def test_stretches_shuffled_are_the_batches_of_random_batches_in_another_sequence() -> None:
    options = {"start": "random", "block": 5 * K}
    kept = made("random-batches", **options)
    order = made("batch-shuffled", of="random-batches", **options)
    steps = [[tuple(step) for step in one.permutation.reshape(-1, K)] for one in (kept, order)]
    assert set(steps[0]) == set(steps[1]) and steps[0] != steps[1]
    assert "path_correlation" in kept.provenance and "path_correlation" not in order.provenance


def test_matched_by_topic_keeps_the_topic_of_every_place_and_needs_no_pass_rate() -> None:
    assert not OrderSettings("matched", {"by": "topic"}).needs_pass_rates
    path, order = made("hammer", start="random"), made("matched", start="random", by="topic")
    topics = np.array(PROBLEMS["topic"])
    assert topics[order.permutation].tolist() == topics[path.permutation].tolist()
    assert order.provenance["moved"] > 0.8
    assert order.permutation.tolist() != made("matched", start="random").permutation.tolist()


def test_matched_keeps_length_and_pass_rate_place_by_place_and_not_the_neighbours() -> None:
    path, order = made("hammer", start="random"), made("matched", start="random")
    stratum = strata(LENGTHS, RATES)
    assert stratum[order.permutation].tolist() == stratum[path.permutation].tolist()
    for values in (LENGTHS.astype(float), RATES):
        profile, of_path = by_step(values, order), by_step(values, path)
        random = by_step(values, made("random"))
        apart = np.abs(profile - of_path).mean()
        assert apart < 0.5 * np.abs(random - of_path).mean()
    assert order.cost == pytest.approx(order.random_cost, abs=0.05) and order.cost > path.cost + 0.1
    assert 0.8 < order.provenance["moved"] < 1
    assert made("matched", seed=4, start="first").permutation.tolist() != order.permutation.tolist()


def test_strata_by_hand_and_one_stratum_is_a_shuffle() -> None:
    lengths, rates = np.array([1, 2, 3, 4, 5, 6]), np.array([0, 0, 0, 0, 1, 1])
    assert strata(lengths, rates, bins=2).tolist() == [0, 0, 0, 2, 3, 3]
    assert set(strata(np.ones(4), np.zeros(4))) == {0}
    path = np.arange(N)
    assert sorted(matched(path, np.zeros(N), 0)) == list(range(N))
    assert matched(path, path, 0).tolist() == path.tolist()  # alone in its stratum, nothing can move
    with pytest.raises(InputError, match="bins"):
        strata(lengths, rates, bins=0)


def test_either_direction_is_drawn_by_the_seed() -> None:
    forward, drawn = made("min-path", seed=0), [made("min-path", seed, "either") for seed in range(8)]
    told = [order.provenance["direction"] for order in drawn]
    assert set(told) == {"forward", "reversed"}
    for seed, order in enumerate(drawn):
        plain = made("min-path", seed).permutation.tolist()
        assert order.permutation.tolist() == (plain if told[seed] == "forward" else plain[::-1])
        assert order.cost == pytest.approx(forward.cost, abs=0.01) and order.lower_bound is not None
    seed = told.index("reversed")
    steps = [
        {*step} for step in made("batch-diverse", seed, "either", window=7).permutation[:238].reshape(-1, 7)
    ]
    plain = [{*step} for step in made("batch-diverse", seed, window=7).permutation[:238].reshape(-1, 7)]
    assert steps == plain[::-1]
    with pytest.raises(InputError, match="another order"):
        made("hammer", direction="either")


def test_a_cool_down_is_random_and_its_problems_are_drawn_beforehand() -> None:
    order = made("similar", start="first", cooldown=0.2)
    head, tail = order.permutation[:192], order.permutation[192:]
    assert order.provenance["tail"] == 48 and len(head) % K == 0
    rows = np.sort(head)
    plain = order_by("similar", VECTORS.vectors[rows], start="first", certify=False)
    assert head.tolist() == rows[plain.permutation].tolist()
    assert edge_costs(order.permutation, VECTORS)[192:].mean() == pytest.approx(order.random_cost, abs=0.1)
    twin = made("random", cooldown=0.2)  # the same problems cool down after any order of the same seed
    assert twin.permutation[192:].tolist() == tail.tolist()


def test_inside_a_window_of_pass_rates_comes_first_as_a_path() -> None:
    order = made("hammer", start="first", inside=[0.25, 0.75])
    within = (RATES >= 0.25) & (RATES <= 0.75)
    count = int(within.sum())
    assert within[order.permutation[:count]].all() and not within[order.permutation[count:]].any()
    assert edge_costs(order.permutation, VECTORS)[: count - 1].mean() < order.random_cost - 0.1
    assert order.provenance["tail"] == N - count
    with pytest.raises(InputError, match="holds no problem"):
        made("hammer", inside=[0.01, 0.02])


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"order": "greedy"}, "order = 'greedy'"),
        ({"order": "matched", "options": {"of": "best"}}, "order_options.of = 'best'"),
        ({"order": "matched", "options": {"by": "mood"}}, "by = 'mood'"),
        ({"vectors": "bert"}, "vectors = 'bert'"),
        ({"direction": "backwards"}, "direction = 'backwards'"),
        ({"window": 0}, "window = 0"),
        ({"options": {"cooldown": 1.5}}, "cooldown = 1.5"),
        ({"options": {"inside": [0.8, 0.2]}}, "inside = "),
        ({"options": {"cooldown": 0.2, "inside": [0.2, 0.8]}}, "both say what comes last"),
    ],
)
def test_settings_of_no_use_are_refused_before_anything_is_embedded(told: dict, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("[", r"\[")):
        OrderSettings(**told)


def test_pass_rates_are_asked_for_where_they_are_needed_only() -> None:
    assert not OrderSettings("hammer").needs_pass_rates
    assert OrderSettings("reversed", {"of": "matched"}).needs_pass_rates
    assert not OrderSettings("reversed", {"of": "matched", "by": "topic"}).needs_pass_rates
    for name in ("easy-to-hard", "hard-to-easy", "matched"):
        with pytest.raises(InputError, match="pass_rates"):
            arm_order(OrderSettings(name), PROBLEMS, lambda kind: VECTORS)
    with pytest.raises(InputError, match="is no option of 'matched'"):
        made("matched", gap=0.1)
    with pytest.raises(InputError, match="leaves no whole step"):
        made("random", cooldown=0.99)


def test_vectors_of_the_start_of_an_untrained_copy_and_of_counted_words() -> None:
    problems, nano = load_problems("reasoning-gym:nano", split="rl", n=24), load_backbone("nano")
    vectors_of = partial(order_vectors, problems=problems, backbone=nano, seed=2)
    found = {kind: vectors_of(kind) for kind in ("backbone", "untrained", "tfidf")}
    assert all(one.item_hashes == item_hashes(problems) for one in found.values())
    assert len({one.key for one in found.values()}) == 3
    assert found["untrained"].info["weights_hash"] == untrained_like(nano, 2).weights_hash
    orders = {
        kind: arm_order(OrderSettings("hammer", vectors=kind), problems, vectors_of, seed=1) for kind in found
    }
    assert len({tuple(order.permutation) for order in orders.values()}) == 3
    assert orders["tfidf"].provenance["backbone"] == "tfidf"
    with pytest.raises(InputError, match="vectors = 'bert'"):
        vectors_of("bert")


def test_tfidf_sees_digits_and_signs() -> None:
    problems = problem_table(3, prompt=["3 + 4 =", "3 - 4 =", "3 + 4 ="])
    units = tfidf_vectors(problems).vectors
    assert np.allclose((units**2).sum(axis=1), 1) and units[0] @ units[2] == pytest.approx(1)
    # Terms 3, 4, = stand in all three (idf 1), + in two, - in one: cosines follow by hand.
    plus, minus = np.log(4 / 3) + 1, np.log(4 / 2) + 1
    by_hand = 3 / np.sqrt((3 + plus**2) * (3 + minus**2))
    assert units[0] @ units[1] == pytest.approx(by_hand, abs=1e-6)


def test_an_untrained_copy_is_the_recipes_own_and_leaves_the_random_state() -> None:
    import torch

    nano = load_backbone("nano")
    before = torch.get_rng_state()
    copy = untrained_like(nano, 0)
    assert torch.equal(before, torch.get_rng_state())
    assert copy.weights_hash == load_backbone("nano-untrained").weights_hash != nano.weights_hash
    assert untrained_like(nano, 1).weights_hash != copy.weights_hash and copy.tokenizer is nano.tokenizer


def test_an_arm_trains_its_order_inside_a_window(tmp_path: Path) -> None:
    table = load_problems("reasoning-gym:nano", split="rl", n=12)
    rates = np.tile([0.0, 0.25, 0.5, 0.75, 1.0, 0.5], 2)
    chosen = learnable_window(table, rates, [0.25, 0.75], samples=4, prompts_per_step=4)
    vectors_of = partial(order_vectors, problems=chosen.problems, backbone=load_backbone("nano"))
    settings = OrderSettings("matched", {"of": "min-path", "bins": 2}, window=4)
    order = arm_order(settings, chosen.problems, vectors_of, pass_rates=rates[chosen.rows], seed=1)
    small = TrainConfig(
        order="dataset",
        prompts_per_step=4,
        group_size=2,
        max_completion_length=4,
        epochs=chosen.epochs,
        max_steps=chosen.max_steps,
    )
    record = train(small, problems=chosen.problems, order=order, root=tmp_path, progress=False)
    log = pd.read_csv(record.folder / "index_log.csv")
    assert chosen.max_steps == 3 and chosen.epochs == 2 and len(log) == 12
    ids = [chosen.problems["id"][row] for row in order.permutation]
    assert log.groupby("step")["id"].agg(list).sum() == [*ids, *ids[:4]]
    assert record.run_id.startswith("train__matched__none__")
