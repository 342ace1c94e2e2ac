"""AIRL-S: algebra of the reference, steps and their advantages, a bandit, and training in the house."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from system_runs import SMALL, Hand
from system_steps import broken_off_and_resumed, same_weights, table

from hammerlib.errors import InputError
from hammerlib.models import Backbone, load_backbone
from hammerlib.systems.airl_s import (
    discriminator,
    discriminator_loss,
    mixed_advantages,
    over_tokens,
    policy_reward,
    recover,
    step_advantages,
    step_ends,
)
from hammerlib.systems.airl_s.algorithm import (
    AirlS,
    StepScorer,
    Traces,
    ends_of,
    load_scorer,
    save_scorer,
    score_steps,
)
from hammerlib.training import Rollout, train
from hammerlib.training.generation import score_tokens
from hammerlib.training.hooks import Algorithm, make_algorithms

# The algebra


def test_the_reward_of_the_reference_and_not_gails() -> None:
    values, logps = 0.7, math.log(0.2)
    chance = discriminator(values, logps)
    assert chance == pytest.approx(0.909656, abs=1e-6)
    found = policy_reward(values, logps)
    assert found == pytest.approx(2.309438, abs=1e-6) == pytest.approx(0.7 - math.log(0.2))
    assert found == pytest.approx(math.log(chance) - math.log(1 - chance))
    # log D and -log(1 - D) are the wrong ones in the wild
    assert -math.log(1 - chance) == pytest.approx(2.404127, abs=1e-6)
    assert math.log(chance) == pytest.approx(-0.094689, abs=1e-6)


def test_gails_discriminator_leaves_the_policy_out() -> None:
    for logps in (-0.1, -5.0):
        assert policy_reward(0.7, logps, "gail") == pytest.approx(-math.log(1 - 1 / (1 + math.exp(-0.7))))


def test_at_the_optimum_nothing_is_earned() -> None:
    logps = np.log([0.7, 0.2, 0.1])
    assert (
        discriminator(logps, logps).tolist() == [0.5] * 3 and policy_reward(logps, logps).tolist() == [0] * 3
    )
    side = torch.tensor(logps), torch.tensor(logps)
    assert discriminator_loss(side, side).item() == pytest.approx(2 * math.log(2))


def test_the_loss_by_hand() -> None:
    # Expert logits 0.5, -1; policy's 2: mean of -log sigmoid(x), and -log(1 - sigmoid(2)).
    expert = torch.tensor([0.5, 0.0]), torch.tensor([0.0, 1.0])
    policy = torch.tensor([1.0]), torch.tensor([-1.0])
    plus, minus = (
        [-math.log(1 / (1 + math.exp(-x))) for x in (0.5, -1)],
        -math.log(1 - 1 / (1 + math.exp(-2))),
    )
    assert discriminator_loss(expert, policy).item() == pytest.approx(sum(plus) / 2 + minus, rel=1e-6)
    # Labels .9 and .1: -log sigmoid(-x) = -log sigmoid(x) + x.
    smooth = sum(0.9 * loss + 0.1 * (loss + x) for loss, x in zip(plus, (0.5, -1), strict=True)) / 2
    smooth += 0.9 * minus + 0.1 * (minus - 2)
    assert discriminator_loss(expert, policy, smoothing=0.1).item() == pytest.approx(smooth, rel=1e-6)


def test_the_loss_stays_finite_far_out_and_moves_f_alone() -> None:
    values = torch.tensor([300.0, -300.0], requires_grad=True)
    logps = torch.tensor([0.0, -1.0], requires_grad=True)
    loss = discriminator_loss((values, logps), (values, logps))
    loss.backward()
    assert loss.isfinite() and values.grad.isfinite().all() and logps.grad is None


@given(st.floats(-20, 20), st.floats(-20, 0), st.floats(0, 0.49))
def test_the_gradient_is_d_minus_the_label(value: float, logp: float, smoothing: float) -> None:
    f = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    other = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    logps = torch.tensor([logp], dtype=torch.float64)
    discriminator_loss((f, logps), other, smoothing=smoothing).backward()
    assert f.grad.item() == pytest.approx(discriminator(value, logp) - (1 - smoothing), abs=1e-9)


# Recovery


def test_a_bandits_expert_is_recovered() -> None:
    expert = np.array([0.7, 0.2, 0.1])
    found = recover(expert)
    assert found.policies[-1] == pytest.approx(expert, abs=0.01)
    assert found.values - np.log(expert) == pytest.approx(np.zeros(3), abs=0.01)
    assert discriminator(found.values, np.log(found.policies[-1])) == pytest.approx([0.5] * 3, abs=0.01)
    assert found.loss == pytest.approx(2 * math.log(2), abs=1e-3)
    assert recover(expert, updates=3).policies[-1] == pytest.approx(expert, abs=0.01)


def test_gails_reward_does_not_settle() -> None:
    found = recover([0.7, 0.2, 0.1], reward="gail")
    late = found.policies[-500:]
    assert np.ptp(late[:, 0]) > 0.05 and np.abs(late - [0.7, 0.2, 0.1]).max() > 0.1
    assert np.abs(found.values - np.log([0.7, 0.2, 0.1])).max() > 0.5


# Steps


def test_steps_end_with_their_separator() -> None:
    tokens = [" tens", ":", "1", "+", "2", ";", "3", ";", "\\boxed{", "3", "}", ""]
    assert step_ends(tokens, ";") == [5, 7, 11]
    assert step_ends(tokens, ",") == [11]
    assert step_ends(["a", "\n", "b", "\n", ""], "\n") == [1, 4]  # an end of text is no step of its own
    assert step_ends(["a", "\n", "b", "\n"], "\n") == [1, 3]
    assert step_ends(["\n", "\n"], "\n") == [0, 1]


@given(st.lists(st.sampled_from(["1", ";", "2;", " ", ""]), min_size=1, max_size=20))
def test_steps_part_a_completion(tokens: list[str]) -> None:
    ends = step_ends(tokens, ";")
    assert ends == sorted(set(ends)) and ends[-1] == len(tokens) - 1
    pieces = ["".join(tokens[start + 1 : end + 1]) for start, end in zip([-1, *ends], ends, strict=False)]
    assert "".join(pieces) == "".join(tokens)
    if len(ends) > 1:
        assert all(";" in piece for piece in pieces[:-1]) and pieces[-1].strip()


def test_step_advantages_by_hand() -> None:
    # Rewards 1 2 3 and 0 -1 1: pooled mean 1, squares 0 1 4 1 4 0, deviation sqrt(10 / 5) = 1.41421.
    s = math.sqrt(2)
    first, second = step_advantages([[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]], eps=0)
    assert first == pytest.approx([3 / s, 3 / s, 2 / s]) and second == pytest.approx([-3 / s, -2 / s, 0])
    # prefix sums, or the population's deviation, are other numbers
    assert np.cumsum([0, 1 / s, 2 / s]) != pytest.approx(first)
    assert np.array([3, 3, 2]) / math.sqrt(10 / 6) != pytest.approx(first)


def test_all_tokens_of_a_step_share_its_value() -> None:
    table = over_tokens([np.array([3.0, 1.0]), np.array([2.0])], [[1, 4], [2]])
    assert table.tolist() == [[3, 3, 1, 1, 1], [2, 2, 2, 0, 0]]


@given(st.lists(st.lists(st.floats(-5, 5), min_size=1, max_size=4), min_size=2, max_size=5))
def test_step_advantages_add_up(rewards: list[list[float]]) -> None:
    found = step_advantages(rewards)
    pooled = np.concatenate([-np.diff([*row, 0.0]) for row in found])  # suffix sums taken back
    assert pooled.sum() == pytest.approx(0, abs=1e-6)
    shift = step_advantages([[value + 3 for value in row] for row in rewards])
    for row, other in zip(found, shift, strict=True):
        assert row == pytest.approx(other, abs=1e-5)


def test_a_group_of_one_step_or_of_equal_rewards_has_none() -> None:
    assert [row.tolist() for row in step_advantages([[5.0]])] == [[0.0]]
    assert [row.tolist() for row in step_advantages([[2.0, 2.0], [2.0]], eps=0)] == [[0, 0], [0]]


def test_both_advantages_are_mixed() -> None:
    steps = np.array([[2.0, 1.0], [0.0, -1.0]])
    found = mixed_advantages(steps, np.array([1.0, -1.0]), 0.5)
    assert found.tolist() == [[1.5, 1.0], [-0.5, -1.0]]
    assert mixed_advantages(steps, np.array([[1.0, 3.0, 0], [-1, -1, 0]]), 0.0).tolist() == [[1, 3], [-1, -1]]


def test_nonsense_is_refused() -> None:
    side = torch.zeros(1), torch.zeros(1)
    nothing = torch.zeros(0), torch.zeros(0)
    for call in (
        lambda: policy_reward(0.0, 0.0, "log"),
        lambda: discriminator_loss(side, side, smoothing=0.5),
        lambda: discriminator_loss(side, nothing),
        lambda: step_ends([], ";"),
        lambda: step_ends(["a"], ""),
        lambda: step_advantages([[1.0], []]),
        lambda: step_advantages([[math.nan]]),
        lambda: mixed_advantages(np.zeros((1, 1)), np.zeros(1), 1.5),
        lambda: recover([0.5, 0.6]),
        lambda: recover([1.0], steps=0),
    ):
        with pytest.raises(InputError):
            call()


# The network f


@pytest.fixture(scope="module")
def nano() -> Backbone:
    return load_backbone("nano")


def told(scorer: StepScorer) -> StepScorer:
    """f with a head that is not 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        scorer.head.weight.copy_(torch.randn(scorer.head.weight.shape, generator=generator))
    return scorer


def test_f_is_read_at_the_ends_of_steps_whoever_is_beside(nano: Backbone) -> None:
    scorer = told(StepScorer(nano.model))
    prompts, completions, ends = [[5, 6, 7], [8]], [[9, 10], [11, 12, 13, 14]], [[1], [0, 2, 3]]
    together = score_steps(scorer, prompts, completions, ends)
    for row in range(2):
        hidden = scorer.trunk(input_ids=torch.tensor([prompts[row] + completions[row]])).last_hidden_state[0]
        alone = [(scorer.head(hidden[len(prompts[row]) + end])).item() for end in ends[row]]
        assert together[row] == pytest.approx(alone, abs=1e-5)
    assert score_steps(scorer, prompts, completions, ends, rows=1)[1] == pytest.approx(together[1], abs=1e-5)


def test_f_is_a_copy_that_begins_at_zero_without_drawing(nano: Backbone) -> None:
    before = torch.get_rng_state()
    scorer = StepScorer(nano.model)
    assert torch.equal(torch.get_rng_state(), before)
    assert score_steps(scorer, [[5]], [[6, 7]], [[0, 1]]) == [[0.0, 0.0]]
    theirs = {weight.data_ptr() for weight in nano.model.parameters()}
    assert not theirs & {weight.data_ptr() for weight in scorer.parameters()}


def test_f_of_a_run_is_found_again_and_of_no_run_is_refused(nano: Backbone, tmp_path: Path) -> None:
    scorer = told(StepScorer(nano.model))
    save_scorer(scorer, tmp_path)
    again = load_scorer(tmp_path, nano)
    assert score_steps(again, [[5]], [[6]], [[0]]) == score_steps(scorer, [[5]], [[6]], [[0]])
    with pytest.raises(InputError, match="holds no f"):
        load_scorer(tmp_path / "none", nano)


def test_nanos_steps_are_those_of_its_text(nano: Backbone) -> None:
    text = " tens:3+1=4;1+1=2;40+2;\\boxed{42}"
    ids = [*nano.tokenizer(text, add_special_tokens=False)["input_ids"], nano.tokenizer.eos_token_id]
    (ends,) = ends_of(nano.tokenizer, [ids], ";")
    pieces = [ids[start + 1 : end + 1] for start, end in zip([-1, *ends], ends, strict=False)]
    assert [nano.tokenizer.decode(piece, skip_special_tokens=True) for piece in pieces] == [
        " tens:3+1=4;", "1+1=2;", "40+2;", "\\boxed{42}",
    ]  # fmt: skip


# In the house


def a_trainer(nano: Backbone, **changes: object) -> SimpleNamespace:
    """What the algorithm asks of a trainer."""
    alone = SimpleNamespace(
        num_processes=1, process_index=0, state=SimpleNamespace(), unwrap_model=lambda model: model
    )
    given = {
        "model": nano.model, "processing_class": nano.tokenizer, "temperature": 1.0, "accelerator": alone,
        "args": SimpleNamespace(seed=0), "state": SimpleNamespace(global_step=0),
    }  # fmt: skip
    return SimpleNamespace(**(given | changes))


def traces(airl: AirlS, trainer: SimpleNamespace) -> Traces:
    return airl._traces(trainer, [[5, 6], [7]], [[8, 9, 10], [11, 12]])


def test_the_discriminators_step_leaves_the_policy_alone(nano: Backbone) -> None:
    model = copy.deepcopy(nano.model).requires_grad_(True)
    trainer = a_trainer(nano, model=model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    airl = AirlS(learning_rate=0.01, updates=3)
    airl._prepare(trainer)
    own = traces(airl, trainer)
    airl._kept = [[[5, 6], [8, 9, 13]], [[7], [11]]]
    airl._discriminate(trainer, own)
    assert all(weight.grad is None for weight in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert airl.scorer.head.weight.abs().max() > 0
    assert math.isfinite(airl._watched["airl/loss"]) and 0 <= airl._watched["airl/told_apart"] <= 1


def test_without_a_correct_trace_f_waits(nano: Backbone) -> None:
    trainer = a_trainer(nano)
    airl = AirlS()
    airl._prepare(trainer)
    airl._discriminate(trainer, traces(airl, trainer))
    assert airl.scorer.head.weight.abs().max() == 0


def test_log_pi_of_a_step_is_the_sum_over_its_tokens(nano: Backbone) -> None:
    tokenizer = SimpleNamespace(
        batch_decode=lambda ids, skip_special_tokens: [";" if one == 9 else "x" for (one,) in ids]
    )
    trainer = a_trainer(nano, processing_class=tokenizer)
    airl = AirlS(separator=";")
    found = airl._traces(trainer, [[5, 6], [7]], [[8, 9, 10, 11], [9, 12]])
    assert found.ends == [[1, 3], [0, 1]]
    with torch.no_grad():
        tokens = [score_tokens(nano.model, [[5, 6]], [[8, 9, 10, 11]])[0][0],
                  score_tokens(nano.model, [[7]], [[9, 12]])[0][0]]  # fmt: skip
    expected = [[tokens[0][:2].sum(), tokens[0][2:].sum()], [tokens[1][0], tokens[1][1]]]
    for row, logps in zip(expected, found.logps, strict=True):
        assert logps == pytest.approx([value.item() for value in row], abs=1e-4)
    means = AirlS(separator=";", length_mean=True)._traces(trainer, [[5, 6]], [[8, 9, 10, 11]]).logps[0]
    assert means == pytest.approx(found.logps[0] / 2)


def test_gradients_are_averaged_over_processes_that_have_one(nano: Backbone) -> None:
    pair = SimpleNamespace(
        num_processes=3, state=SimpleNamespace(), unwrap_model=lambda m: m,
        reduce=lambda gradient, reduction: {"sum": 5 * gradient}[reduction],
    )  # fmt: skip
    trainer = a_trainer(nano, accelerator=pair)
    airl = AirlS()
    airl._prepare(trainer)
    for weight in airl.scorer.parameters():
        weight.grad = torch.ones_like(weight)
    airl.scorer.head.bias.grad = None  # nothing of its own
    airl._average(trainer, 2)
    assert airl.scorer.head.weight.grad.unique().tolist() == [2.5]
    assert airl.scorer.head.bias.grad.tolist() == [0.0]


def test_a_policy_in_shards_is_refused(nano: Backbone) -> None:
    sharded = SimpleNamespace(zero_stage=3)
    for state in ({"fsdp_plugin": 1}, {"deepspeed_plugin": sharded}):
        accelerator = SimpleNamespace(num_processes=2, state=SimpleNamespace(**state))
        with pytest.raises(InputError, match=r"airl-s.*in shards; launch with"):
            AirlS()._prepare(a_trainer(nano, accelerator=accelerator))


def test_shuffled_values_stay_in_their_group(nano: Backbone) -> None:
    trainer = a_trainer(nano)
    values = [np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])]
    found = AirlS(shuffled=True)._shuffled(values, trainer, 0)
    assert [len(row) for row in found] == [2, 3] and sorted(np.concatenate(found)) == [1, 2, 3, 4, 5]
    assert AirlS()._shuffled(values, trainer, 0) is values


@pytest.mark.parametrize(("options", "words"), [
    ({"mix": 1.5}, r"algorithms\[0\].mix = 1.5: is outside \[0, 1\]"),
    ({"mix": math.nan}, "mix.*nan"),
    ({"separator": ""}, "separator = '': is empty"),
    ({"smoothing": 0.5}, "smoothing = 0.5"),
    ({"learning_rate": 0.0}, "learning_rate = 0.0"),
    ({"learning_rate": math.inf}, "learning_rate.*inf"),
    ({"updates": 0}, "updates = 0"),
    ({"buffer": 0}, "buffer = 0"),
    ({"reward": "log"}, "airl, gail"),
    ({"experts": "nano:long"}, "columns, tens, check"),
])  # fmt: skip
def test_settings_that_are_no_airl_are_one_line(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dataclasses.replace(SMALL, algorithms=({"name": "airl-s", **options},)).validate()


def test_a_configuration_makes_what_python_would() -> None:
    settings = {"name": "airl-s", "mix": 1.0, "separator": ";", "updates": 2}
    (made,) = make_algorithms(dataclasses.replace(SMALL, algorithms=(settings,)).validate())
    assert made == AirlS(1.0, ";", updates=2)


class Spy(Algorithm):
    """Computes the advantages of every step plainly, one completion at a time."""

    def __init__(self, airl: AirlS) -> None:
        self.airl = airl
        self.expected: list[list[list[float]]] = []
        self.found: list[torch.Tensor] = []

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return what there is."""
        trainer = rollout.trainer
        rows = []
        for prompt, ids in zip(rollout.prompt_ids, rollout.completion_ids, strict=True):
            texts = [trainer.processing_class.decode([token], skip_special_tokens=True) for token in ids]
            ends = step_ends(texts, self.airl.separator)
            with torch.no_grad():
                tokens = score_tokens(trainer.model, [prompt], [ids], temperature=trainer.temperature)[0][0]
                hidden = self.airl.scorer.trunk(input_ids=torch.tensor([prompt + ids])).last_hidden_state[0]
                values = [self.airl.scorer.head(hidden[len(prompt) + end]).item() for end in ends]
            starts = [0, *(end + 1 for end in ends[:-1])]
            logps = [tokens[a : b + 1].sum().item() for a, b in zip(starts, ends, strict=True)]
            rows.append((ends, [f - logp for f, logp in zip(values, logps, strict=True)]))
        raw = rollout.rewards
        step = []
        for row, (ends, rewards) in enumerate(rows):
            group = range(row // 4 * 4, row // 4 * 4 + 4)
            pooled = np.array([reward for other in group for reward in rows[other][1]])
            outcome = raw[row] - raw[list(group)].mean()
            tokens = []
            for place in range(ends[-1] + 1):
                later = [r for end, r in zip(ends, rewards, strict=True) if end >= place]
                total = sum((r - pooled.mean()) / (pooled.std(ddof=1) + 1e-4) for r in later)
                tokens.append(self.airl.mix * total + (1 - self.airl.mix) * outcome)
            step.append(tokens)
        self.expected.append(step)
        self.found.append(rollout.advantages.clone())
        return rollout.advantages


def of_tokens(rollout: Rollout) -> list[np.ndarray]:
    """The advantages of each completion's tokens."""
    pairs = zip(rollout.advantages.numpy(), rollout.completion_ids, strict=True)
    return [row[: len(ids)] for row, ids in pairs]


def test_real_steps_are_those_by_hand(tmp_path: Path) -> None:
    airl = AirlS(mix=0.7, separator=";", learning_rate=1e-2)
    spy = Spy(airl)
    hand = Hand(of_tokens, planned=8)
    record = train(SMALL, root=tmp_path, algorithms=[airl, spy, hand], progress=False)
    for expected, found in zip(spy.expected, spy.found, strict=True):
        for row, values in zip(found, expected, strict=True):
            assert row[: len(values)].tolist() == pytest.approx(values, abs=2e-3)
    assert max(hand.errors) < 1e-4 and len(spy.found) == 3
    metrics = table(record)
    assert set(AirlS.METRICS) <= set(metrics) and (metrics["airl/steps"] > 1).all()
    assert metrics["airl/buffer"].is_monotonic_increasing
    later = load_scorer(record.folder, load_backbone("nano"))
    assert torch.equal(later.head.weight, airl.scorer.head.weight)


def test_without_its_advantages_it_is_stock_to_the_last_bit(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, algorithms=({"name": "airl-s", "mix": 0.0, "separator": ";"},))
    one = train(config, root=tmp_path / "a", progress=False)
    assert same_weights(one, train(SMALL, root=tmp_path / "b", progress=False))


@pytest.mark.long
@pytest.mark.parametrize("experts", [None, "nano:check"])
def test_killed_and_resumed_it_is_the_unbroken_run(
    experts: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"name": "airl-s", "separator": ";", "experts": experts, "buffer": 5, "updates": 2}
    config = dataclasses.replace(SMALL, algorithms=(settings,), save_steps=1)
    again = broken_off_and_resumed(config, tmp_path / "a", monkeypatch, 3)
    assert again.manifest["resumed_from_step"] == 2
    whole = train(config, root=tmp_path / "b", progress=False)
    assert same_weights(again, whole)
    files = [(record.folder / "step_scorer.safetensors").read_bytes() for record in (again, whole)]
    assert files[0] == files[1]


@pytest.mark.long
@pytest.mark.parametrize("changes", [
    {"order": "hammer"}, {"adjustment": "dra"}, {"adjustment": "dra", "dra_route": "trainer"},
    {"dynamic_sampling": True}, {"lora_rank": 2}, {"num_iterations": 2},
    {"loss_type": "grpo", "scale_rewards": "group"},
])  # fmt: skip
def test_it_trains_with_orders_dra_a_filter_and_adapters(changes: dict, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, algorithms=({"name": "airl-s", "separator": ";"},), **changes)
    record = train(config, root=tmp_path, progress=False)
    assert table(record)["grad_norm"].max() > 0
    assert load_scorer(record.folder, load_backbone("nano")).head.weight.abs().max() > 0
