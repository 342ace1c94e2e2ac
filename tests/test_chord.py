"""CHORD: schedules and weights by the paper's numbers, and the mixed loss in one-step runs of nano."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.exact.modes import expert_flow
from hammerlib.grading import grade
from hammerlib.models import load_backbone
from hammerlib.models.nano.recipe import encode
from hammerlib.models.nano.solutions import strategy_of
from hammerlib.problems import load_problems
from hammerlib.runs import RunRecord
from hammerlib.systems.chord import PRESETS, adaptive_mu, expert_loss, mixed_loss, mu_at, token_weights
from hammerlib.systems.chord.algorithm import Chord, check_reading
from hammerlib.systems.chord.experts import Experts, load_experts, nano_experts
from hammerlib.training import Hooks, TrainConfig, train
from hammerlib.training.hooks import name_of

CHANCES = torch.tensor([[0.9, 0.5, 0.1]], dtype=torch.float64)
ALL = torch.ones(1, 3)
ONE = TrainConfig(
    n_problems=2,
    order="random",
    prompts_per_step=2,
    group_size=4,
    max_completion_length=12,
    learning_rate=1e-3,
    loss_type="dapo",
)


@pytest.fixture(scope="module")
def experts() -> Experts:
    """Six solutions of the supervised part in nano's rarest way of writing."""
    table = nano_experts(load_problems("reasoning-gym:nano", split="supervised", n=6))
    return load_experts(table, load_backbone("nano"))


# Schedules


@pytest.mark.parametrize(("settings", "known"), [
    ({"peak": 0.9, "valley": 0.05, "decay": 200},
     {0: 0.9, 50: 0.7755, 100: 0.475, 150: 0.1745, 200: 0.05, 900: 0.05}),
    ({"peak": 0.5, "valley": 0.02, "warmup": 200, "decay": 400},
     {0: 0, 100: 0.25, 200: 0.5, 400: 0.26, 600: 0.02, 601: 0.02}),
    ({"peak": 0.3, "valley": 0.3}, {0: 0.3, 7: 0.3}),
    ({"peak": 0.9, "valley": 0.2}, {0: 0.2}),  # no fall: at the valley at once, and no division by zero
    ({"peak": 0.8, "valley": 0.2, "warmup": 4}, {0: 0, 1: 0.2, 3: 0.6, 4: 0.2}),
])  # fmt: skip
def test_mu_follows_the_schedule_of_the_paper(settings: dict, known: dict[int, float]) -> None:
    assert {step: mu_at(step, **settings) for step in known} == pytest.approx(known, abs=5e-5)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 30), st.integers(0, 30), st.integers(0, 90))
def test_mu_stays_between_zero_and_its_ends(
    peak: float, valley: float, warmup: int, decay: int, step: int
) -> None:
    mu = mu_at(step, peak=peak, valley=valley, warmup=warmup, decay=decay)
    low = 0 if step < warmup else min(peak, valley)
    assert low - 1e-12 <= mu <= max(peak, valley) + 1e-12


def test_adaptive_mu_ends_where_the_policy_succeeds() -> None:
    assert [adaptive_mu(reward) for reward in (0.0, 0.2, 0.5, 1.0)] == pytest.approx([0.5, 0.3, 0, 0])
    assert adaptive_mu(-1.0) == 1.0 and adaptive_mu(0.6, tau=0.7) == pytest.approx(0.1)


# Weights and losses


def test_losses_of_three_tokens() -> None:
    losses = {name: expert_loss(CHANCES.log(), ALL, weighting=name).item() for name in ("none", "is", "phi")}
    assert losses == pytest.approx({"none": 1.03370, "is": 0.22389, "phi": 0.13000}, abs=5e-6)
    # Per token, p (1 - p) ln(1/p): 0.09 x 0.105361, 0.25 x 0.693147, 0.09 x 2.302585.
    each = -token_weights(CHANCES.log(), "phi") * CHANCES.log()
    assert each[0].tolist() == pytest.approx([0.00948, 0.17329, 0.20723], abs=5e-6)
    # Half of the tokens masked: -ln 0.9 alone, or over the tokens of a larger batch.
    assert expert_loss(CHANCES.log(), torch.tensor([[1, 0, 0]]), weighting="none").item() == pytest.approx(
        0.1053605
    )
    assert expert_loss(CHANCES.log(), ALL, weighting="none", tokens=6).item() == pytest.approx(
        1.03370 / 2, abs=5e-6
    )


def test_the_mixture_is_convex() -> None:
    # GRPO at ratio 1: advantages 1, -1 on completions of 1 and 3 tokens, token mean -(1 - 3)/4 = 0.5;
    # mu 0.25: 0.75 x 0.5 + 0.25 x 0.13 = 0.4075; the sum 0.5 + 0.25 x 0.13 would be 0.5325.
    grpo = torch.tensor(-(1 * 1.0 + 3 * -1.0) / 4)
    found = mixed_loss(grpo, expert_loss(CHANCES.log(), ALL), 0.25).item()
    assert found == pytest.approx(0.4075, abs=5e-6) and found != pytest.approx(0.5325, abs=1e-2)


@pytest.mark.parametrize(("weighting", "known"), [
    ("none", [-0.1, -0.5, -0.9]),
    ("is", [-0.09, -0.25, -0.09]),
    ("phi", [-0.009, -0.125, -0.081]),
])  # fmt: skip
def test_gradient_of_the_tokens_own_logit(weighting: str, known: list[float]) -> None:
    # With p = sigmoid(z) the logit of the token against the rest, d(-w log p)/dz = -w (1 - p), w detached.
    logits = torch.logit(CHANCES).requires_grad_()
    (3 * expert_loss(torch.nn.functional.logsigmoid(logits), ALL, weighting=weighting)).backward()
    assert logits.grad[0].tolist() == pytest.approx(known, abs=1e-9)


def test_without_the_stop_gradient_a_rare_expert_token_would_be_pushed_down() -> None:
    chances = CHANCES.clone().requires_grad_()
    (3 * expert_loss(chances.log(), ALL)).backward()
    # -phi(p) / p = -(1 - p): -0.1, -0.5, -0.9.
    assert chances.grad[0].tolist() == pytest.approx([-0.1, -0.5, -0.9])
    free = CHANCES.clone().requires_grad_()
    (-(free * (1 - free)) * free.log()).sum().backward()
    # d(-(p - p^2) ln p)/dp = -(1 - 2p) ln p - (1 - p): at 0.9 -0.0843 - 0.1, at 0.1 1.842 - 0.9.
    assert free.grad[0, [0, 2]].tolist() == pytest.approx([-0.184, 0.942], abs=5e-4)


def test_the_cutoff_stops_the_gradient_above_it() -> None:
    chances = CHANCES.clone().requires_grad_()
    expert_loss(chances.log(), ALL, weighting="none", cutoff=0.7).backward()
    assert chances.grad[0].tolist() == pytest.approx([0.0, -1 / 0.5 / 3, -1 / 0.1 / 3])


# Experts


def test_expert_solutions_are_right_and_in_the_chosen_way() -> None:
    table = nano_experts(load_problems("reasoning-gym:nano", split="supervised", n=24), strategy="tens")
    assert {strategy_of(text) for text in table["solution"]} == {"tens"}
    assert all(grade(text, row["answer"]).correct for text, row in zip(table["solution"], table, strict=True))
    nano = load_backbone("nano")
    experts = load_experts(table, nano)
    assert [nano.tokenizer.decode(ids[:-1]) for ids in experts.completion_ids] == table["solution"][:]
    assert {ids[-1] for ids in experts.completion_ids} == {nano.tokenizer.eos_token_id}


@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 3))
def test_every_solution_comes_once_before_one_comes_again(n: int, size: int, seed: int) -> None:
    names = tuple(map(str, range(n)))
    experts = Experts(names, ((5,),) * n, ((7,),) * n, seed)
    dealt = [place for step in range(2 * n) for place in experts.places(step, size)]  # 2 x size whole rounds
    assert all(sorted(dealt[first : first + n]) == list(range(n)) for first in range(0, len(dealt), n))
    assert set(Counter(dealt).values()) == {2 * size}
    assert experts.places(1, size) == dealt[size : 2 * size]  # whatever was asked before


# The plug


def weights(record: RunRecord) -> dict[str, torch.Tensor]:
    return load_backbone(str(record.folder / "model")).model.state_dict()


def values(record: RunRecord) -> dict[str, float]:
    return pd.read_csv(record.folder / "metrics.csv").set_index("metric")["value"].to_dict()


def one_run(root: Path, chord: Chord | None, **changes: object) -> RunRecord:
    config = dataclasses.replace(ONE, **changes)
    return train(config, root=root, algorithms=[chord] if chord else [], progress=False)


@dataclasses.dataclass
class ByHand:
    """A supervised step on the same solutions by transformers' own loss, in place of GRPO."""

    ids: torch.Tensor = dataclasses.field(repr=False)
    labels: torch.Tensor = dataclasses.field(repr=False)

    def __call__(
        self, trainer: object, model: torch.nn.Module, inputs: dict, default: Callable
    ) -> torch.Tensor:
        return model(input_ids=self.ids, labels=self.labels).loss


def test_mu_0_is_grpo_bit_for_bit_and_mu_1_is_supervised_learning(experts: Experts, tmp_path: Path) -> None:
    stock = weights(one_run(tmp_path, None))
    plain = Chord(experts, 4, peak=0, valley=0, weighting="none")
    assert all(torch.equal(stock[name], value) for name, value in weights(one_run(tmp_path, plain)).items())
    alone = Chord(experts, 4, peak=1, valley=1, weighting="none")
    record = one_run(tmp_path, alone)
    ours, nano = weights(record), load_backbone("nano")
    read = nano.tokenizer.decode
    pairs = [
        (read(experts.prompt_ids[k]), read(experts.completion_ids[k][:-1])) for k in experts.places(0, 4)
    ]
    hand = train(
        ONE, root=tmp_path, algorithms=[Hooks(loss=ByHand(*encode(pairs, nano.tokenizer)))], progress=False
    )
    # AdamW's first step is nearly the gradient's sign, whatever its size: the norm is compared besides.
    near = [
        torch.isclose(ours[name], value, atol=1e-5).float().mean() for name, value in weights(hand).items()
    ]
    assert min(near) > 0.99 and not all(torch.equal(ours[name], stock[name]) for name in ours)
    assert values(record)["grad_norm"] == pytest.approx(values(hand)["grad_norm"], rel=1e-4)
    logged = values(record)
    assert logged["mu"] == 1 and 0 < logged["expert_probability"] < 1
    assert logged["expert_loss"] == pytest.approx(logged["loss"], rel=1e-4)
    assert logged["expert_loss"] > -math.log(logged["expert_probability"])  # Jensen


def test_the_supervised_term_does_not_depend_on_accumulation(experts: Experts, tmp_path: Path) -> None:
    # Five solutions in parts of three and two: a mean of means would weigh their tokens differently.
    told = [
        values(one_run(tmp_path, Chord(experts, 5, peak=1, valley=1), gradient_accumulation=parts))
        for parts in (1, 2, 4)
    ]
    for name in ("grad_norm", "expert_loss", "expert_probability", "mu"):
        assert told[1][name] == pytest.approx(told[0][name], rel=1e-4), name
        assert told[2][name] == pytest.approx(told[0][name], rel=1e-4), name


@pytest.mark.long
def test_the_mixed_gradient_does_not_depend_on_accumulation(experts: Experts, tmp_path: Path) -> None:
    # 40 tokens, so that some answers are right and the GRPO term has a gradient at all.
    asked = {"max_completion_length": 40, "n_problems": 4, "prompts_per_step": 4}
    told = [
        values(
            one_run(tmp_path, Chord(experts, 5, peak=0.5, valley=0.5), **asked, gradient_accumulation=parts)
        )
        for parts in (1, 2, 4)
    ]
    assert told[0]["zero_variance_share"] < 1 and told[0]["mu"] == 0.5
    for one in told[1:]:
        assert one["reward_raw"] == told[0]["reward_raw"]  # the same completions
        for name in ("grad_norm", "expert_loss"):
            assert one[name] == pytest.approx(told[0][name], rel=1e-3), name
    alone = [
        values(one_run(tmp_path, Chord(experts, 5, peak=mu, valley=mu), **asked))["grad_norm"]
        for mu in (0, 1)
    ]
    # Both terms are in it: the halves of two gradients add up to no more, and no less, than this.
    assert abs(alone[0] - alone[1]) / 2 < told[0]["grad_norm"] < sum(alone) / 2
    assert min(alone) > 0.02 * max(alone)


def test_it_composes_with_an_order_dra_and_an_adaptive_mu(experts: Experts, tmp_path: Path) -> None:
    chord = Chord(experts, 2, tau=0.95)
    record = one_run(
        tmp_path, chord, n_problems=4, order="hammer", adjustment="dra", max_completion_length=40
    )
    table = pd.read_csv(record.folder / "metrics.csv").pivot_table(
        index="step", columns="metric", values="value"
    )
    assert record.status == "success" and len(table) == 2 and table["dra/mean_weight"].notna().all()
    assert table["mu"].tolist() == pytest.approx(
        (0.95 - table["reward_raw"]).clip(lower=0).tolist(), abs=1e-6
    )
    assert table["mu"].max() > 0


def test_evaluation_sees_no_expert() -> None:
    chord = Chord(Experts(("a",), ((5,),), ((7,),)))
    model = SimpleNamespace(training=False)
    assert chord(None, model, {}, lambda: torch.tensor(3.0)).item() == 3.0


def test_another_setting_is_another_run(experts: Experts) -> None:
    names = {
        name_of(one) for one in (Chord(experts), Chord(experts, weighting="is"), Chord(experts, peak=0.5))
    }
    assert len(names) == 3 and name_of(Chord(experts)) in names
    assert Chord(experts, **PRESETS["chord-mu"]).mu(100) == pytest.approx(0.475)
    assert Chord(experts, **PRESETS["chord-phi"]).mu(100) == 0.1


# What is refused


@pytest.mark.parametrize(("changes", "words"), [
    ({"loss_type": "grpo"}, "set loss_type: dapo"),
    ({"beta": 0.1}, "set beta: 0"),
    ({"num_iterations": 2}, "off-policy"),
    ({"steps_per_generation": 2}, "older policy"),
    ({"scale_rewards": "none"}, "set scale_rewards: group"),
    ({"entropy_coef": 0.01}, "set entropy_coef: 0"),
])  # fmt: skip
def test_settings_that_are_not_chord_are_refused(changes: dict, words: str) -> None:
    chord = Chord(Experts(("a",), ((5,),), ((7,),)))
    with pytest.raises(InputError, match=words):
        chord.plugs(dataclasses.replace(ONE, **changes))
    # The same settings as a trainer knows them, where the loss was plugged in without `Chord.plugs`.
    theirs = SimpleNamespace(**{**dataclasses.asdict(ONE), "steps_per_generation": 1, **changes})
    theirs.gradient_accumulation_steps = 1
    with pytest.raises(InputError, match=words):
        chord(SimpleNamespace(args=theirs), SimpleNamespace(training=True), {}, lambda: torch.tensor(3.0))


def test_a_loss_plugged_in_directly_is_checked_by_the_trainer(experts: Experts, tmp_path: Path) -> None:
    config = dataclasses.replace(ONE, loss_type="grpo")
    with pytest.raises(InputError, match="set loss_type: dapo"):
        train(config, root=tmp_path, algorithms=[Hooks(loss=Chord(experts))], progress=False)
    other = dataclasses.replace(experts, vocabulary="of another model")
    with pytest.raises(InputError, match="another vocabulary"):
        train(ONE, root=tmp_path, algorithms=[Chord(other)], progress=False)


def test_experts_of_another_template_are_refused(experts: Experts) -> None:
    told = dataclasses.replace(experts, template="chat")
    with pytest.raises(InputError, match="template chat"):
        Chord(told).plugs(ONE)
    tokenizer = load_backbone("nano").tokenizer
    check_reading(experts, "2+2", tokenizer)
    for one, prompt in ((told, "2+2"), (experts, [{"role": "user", "content": "2+2"}])):
        with pytest.raises(InputError, match="is not the trained prompts"):
            check_reading(one, prompt, tokenizer)


def test_bad_values_are_refused_in_one_line() -> None:
    one = Experts(("a",), ((5,),), ((7,),))
    table = load_problems("reasoning-gym:nano", split="supervised", n=1)
    refused = {
        "outside \\[0, 1\\]": lambda: Chord(one, peak=1.5),
        "none, is, phi": lambda: Chord(one, weighting="focal"),
        "is below 1": lambda: Chord(one, batch_size=0),
        "no cutoff": lambda: Chord(one, cutoff=0),
        "tau": lambda: Chord(one, tau=2),
        "below 0": lambda: Chord(one, warmup=-1),
        "not a number": lambda: adaptive_mu(math.nan),
        "supervised term": lambda: mixed_loss(1.0, 1.0, 1.2),
        "cutoff": lambda: expert_loss(CHANCES.log(), ALL, cutoff=2),
        "marks no token": lambda: expert_loss(CHANCES.log(), ALL * 0),
        "of one number": lambda: Experts((), (), ()),
        "columns, tens, check": lambda: nano_experts(table, strategy="long"),
        "not of the nano families": lambda: nano_experts(table.remove_columns("metadata")),
        "no column solution": lambda: load_experts(table, load_backbone("nano")),
        "is empty": lambda: load_experts(table.add_column("solution", [""]), load_backbone("nano")),
        "does not fit": lambda: load_experts(
            table.add_column("solution", ["7" * 600]), load_backbone("nano")
        ),
    }
    for words, call in refused.items():
        with pytest.raises(InputError, match=words):
            call()


# The exact picture


def test_one_supervised_step_on_two_tokens_by_hand() -> None:
    # p = (0.8, 0.2), q = (0, 1). none: logits move by (-0.8, 0.8); is: w = 0.2, by (-0.16, 0.16); phi:
    # w = 0.16, by (-0.128, 0.128). The odds of the second token, 1/4, grow by e^1.6, e^0.32, e^0.256.
    for weighting, moved in (("none", 1.6), ("is", 0.32), ("phi", 0.256)):
        odds = math.exp(moved) / 4
        found = expert_flow([0.8, 0.2], [0.0, 1.0], weighting=weighting, rate=1.0, steps=1)[1, 1]
        assert found == pytest.approx(odds / (1 + odds))


def test_where_each_weighting_ends() -> None:
    # Fixed points of q_j w_j = p_j sum_y q_y w_y. none: p = q. is: w = p, so q_j is one number wherever p_j
    # is not 0; the stable one is the expert's likeliest token alone. phi: q_j (1 - p_j) = c; with
    # q = (0.2, 0.6, 0.2) the 1 - p_j add up to 2 = c (5 + 5/3 + 5), c = 6/35, p = (1/7, 5/7, 1/7).
    policy, expert = [0.9, 0.08, 0.02], [0.2, 0.6, 0.2]
    known = {"none": expert, "is": [0, 1, 0], "phi": [1 / 7, 5 / 7, 1 / 7]}
    paths = {name: expert_flow(policy, expert, weighting=name, rate=1.0, steps=4000) for name in known}
    for name, end in known.items():
        assert paths[name][-1] == pytest.approx(end, abs=5e-3), name
    entropies = {name: -(path[-1] * np.log(path[-1])).sum() for name, path in paths.items()}
    assert entropies["none"] > entropies["phi"] > entropies["is"]
    with pytest.raises(InputError, match="no distributions"):
        expert_flow([0.5, 0.6], [0.5, 0.5])
