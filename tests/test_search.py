"""Search over steps: best of N, beam, Monte Carlo trees, baselines, and tokens that are paid."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerlib import load_backbone, load_problems
from hammerlib.errors import InputError
from hammerlib.systems.airl_s.algorithm import StepScorer
from hammerlib.systems.search import (
    AGGREGATES,
    Account,
    Found,
    Path,
    _chosen,
    _Node,
    aggregate,
    baselines,
    beam,
    best_of_n,
    majority_of,
    mcts,
)
from hammerlib.systems.search.policy import PolicySpace


class Digits:
    """Paths of `depth` digits; one of them is right, and a scorer that knows it, or knows nothing."""

    def __init__(self, right: str, branches: int, *, knows: bool = True, start: int = 0) -> None:
        self.right = right
        self.branches = branches
        self.knows = knows
        self.start = start

    def expand(self, path: Path, k: int) -> list[str]:
        """All digits, from `start` on and round."""
        return [str((self.start + digit) % self.branches) for digit in range(self.branches)][:k]

    def done(self, path: Path) -> bool:
        """As long as the right one."""
        return len(path) == len(self.right)

    def score(self, paths: Sequence[Path]) -> list[float]:
        """1 while a path is a start of the right one."""
        return [float(self.right.startswith("".join(path))) if self.knows else 0.5 for path in paths]


# Best of N and baselines


def test_aggregates_choose_differently() -> None:
    scores = [[0.9, 0.1, 0.8], [0.5, 0.5, 0.5]]
    assert {how: best_of_n(scores, how) for how in AGGREGATES} == {"last": 0, "min": 1, "mean": 0, "sum": 0}
    assert [aggregate([1.0, 2.0, 6.0], how) for how in ("last", "min", "mean", "sum")] == [6, 1, 3, 9]


def test_a_constant_scorer_is_a_random_choice() -> None:
    # Over all orders of the candidates: the share of right ones, exactly.
    right = [True, False, False, True, False]
    for how in AGGREGATES:
        chosen = [order[best_of_n([[0.3, 0.3]] * 5, how)] for order in itertools.permutations(right)]
        assert (
            np.mean(chosen) == pytest.approx(baselines(list("abcde"), right)["random"]) == pytest.approx(0.4)
        )


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_no_choice_beats_the_oracle(right: list[bool], rng: random.Random) -> None:
    chosen = best_of_n([[rng.random()] for _ in right])
    answers = [rng.choice(["1", "2", None]) for _ in right]
    found = baselines(answers, right)
    assert right[chosen] <= found["oracle"] and found["random"] <= found["oracle"] >= found["majority"]
    perfect = best_of_n([[float(value)] for value in right])
    assert right[perfect] == found["oracle"]


def test_the_silent_do_not_vote() -> None:
    assert majority_of([None, "7", None]) == 1 and majority_of([None]) is None
    assert baselines([None, None], [False, False]) == {"majority": 0.0, "random": 0.0, "oracle": 0.0}


# Trees


@pytest.mark.parametrize("right", ["000", "212", "221"])
@pytest.mark.parametrize("width", [1, 3])
def test_an_oracle_beam_finds_the_only_right_path(right: str, width: int) -> None:
    found = beam(Digits(right, 3), width=width, branches=3, depth=3)
    assert "".join(found.path) == right and found.finished and found.value == 1


def test_a_beam_as_wide_as_its_branches_survives_a_scorer_that_is_late() -> None:
    class Late(Digits):
        def score(self, paths: Sequence[Path]) -> list[float]:
            return [float("".join(path) == self.right) for path in paths]

    assert "".join(beam(Late("21", 3), width=3, branches=3, depth=2).path) == "21"
    assert "".join(beam(Late("21", 3), width=1, branches=3, depth=2).path) != "21"


def test_beams_pay_for_every_step() -> None:
    # Depth 1: 3 steps. Depth 2 and 3: 2 kept paths, 3 steps each. Read: 3, then 6 paths of 2, 6 of 3.
    found = beam(Digits("000", 3), width=2, branches=3, depth=3)
    assert found.account == Account(sampled=3 + 6 + 6, scored=3 + 12 + 18)


def test_equal_steps_are_paid_and_kept_once() -> None:
    class Stutter(Digits):
        def expand(self, path: Path, k: int) -> list[str]:
            return ["0"] * k

    found = beam(Stutter("00", 3), width=5, branches=4, depth=2)
    assert found.path == ("0", "0") and found.account.sampled == 4 + 4


def test_a_search_that_does_not_finish_says_so() -> None:
    for found in (beam(Digits("000", 2), width=1, branches=2, depth=2),
                  mcts(Digits("000", 2), simulations=5, branches=2, depth=2)):  # fmt: skip
        assert not found.finished and len(found.path) <= 2


@pytest.mark.parametrize("right", ["000", "212", "221"])
def test_a_tree_with_an_oracle_finds_the_right_path(right: str) -> None:
    found = mcts(Digits(right, 3), simulations=40, branches=3, depth=3, exploration=0.3)
    assert "".join(found.path) == right and found.finished
    assert found.account.sampled < 3 + 9 + 27  # without growing the whole tree


def test_uct_by_hand() -> None:
    # Two children, scores 0 and 1. Two simulations visit each once. Then Q / n + c sqrt(ln N / n) with N = 2:
    # .833 c against 1 + .833 c.
    nodes = {("0",): _Node([0.0], 1, 0.0), ("1",): _Node([1.0], 1, 1.0)}
    parent = _Node([], children=list(nodes))
    assert _chosen(nodes, parent, 1.0) == ("1",)
    nodes["1",] = _Node([1.0], 2, 2.0)
    # c (sqrt(ln 3) - sqrt(ln 3 / 2)) = .307 c: the bad one is tried again from c = 3.26 on.
    assert _chosen(nodes, parent, 3.0) == ("1",) and _chosen(nodes, parent, 3.5) == ("0",)
    lonely = mcts(Digits("1", 2), simulations=1, branches=2, depth=1)
    assert lonely.path == ("0",) and lonely.account.sampled == 2  # one simulation sees the first child alone


def test_trees_refuse_nonsense() -> None:
    class Empty(Digits):
        def expand(self, path: Path, k: int) -> list[str]:
            return []

    for call in (
        lambda: beam(Digits("0", 2), width=0, branches=1, depth=1),
        lambda: mcts(Digits("0", 2), simulations=0, branches=1, depth=1),
        lambda: beam(Empty("0", 2), width=1, branches=1, depth=1),
        lambda: mcts(Empty("0", 2), simulations=1, branches=1, depth=1),
        lambda: best_of_n([]),
        lambda: best_of_n([[]]),
        lambda: best_of_n([[1.0]], "max"),
        lambda: baselines(["1"], []),
    ):
        with pytest.raises(InputError):
            call()


# A real policy


class Pointed(PolicySpace):
    """nano with a scorer that wants the rarer strategy, and the answer at the end."""

    def score(self, paths: Sequence[Path]) -> list[float]:
        """1 for a path of the strategy ``tens``."""
        return [float(self.text(path).strip().startswith("tens:")) for path in paths]


@pytest.fixture(scope="module")
def space() -> Callable[..., PolicySpace]:
    nano = load_backbone("nano")
    (row,) = load_problems("reasoning-gym:nano", split="heldout", n=1)

    def make(kind: type[PolicySpace] = Pointed, seed: int = 0) -> PolicySpace:
        return kind(nano, row["prompt"], StepScorer(nano.model), separator=";", seed=seed)

    return make


def whole_steps(space: PolicySpace, found: Found) -> None:
    """Every step but the last ends with a separator that it holds nowhere else; the last ends the answer."""
    decode = space.backbone.tokenizer.decode
    *before, last = [decode(step) for step in found.path]
    assert before and all(step.endswith(";") and step.count(";") == 1 for step in before)
    assert found.finished and found.path[-1][-1] == space.backbone.tokenizer.eos_token_id
    assert "boxed" in last and ";" not in last


def test_a_beam_over_nano_goes_where_the_score_points(space: Callable[..., PolicySpace]) -> None:
    found = beam(space(), width=2, branches=6, depth=12)
    whole_steps(space(), found)
    assert space().text(found.path).strip().startswith("tens:") and found.value == 1
    again = beam(space(), width=2, branches=6, depth=12)
    assert again == found  # random numbers have names
    plain = beam(space(PolicySpace), width=1, branches=1, depth=12)  # f begins at 0: a plain sample
    assert plain.account.sampled == sum(map(len, plain.path)) and plain.value == 0
    assert found.account.sampled > 6 * len(found.path[0])


def test_a_tree_over_nano_goes_where_the_score_points(space: Callable[..., PolicySpace]) -> None:
    found = mcts(space(), simulations=40, branches=4, depth=12, exploration=0.2)
    whole_steps(space(), found)
    assert space().text(found.path).strip().startswith("tens:") and found.value == 1
    other = mcts(space(seed=1), simulations=40, branches=4, depth=12, exploration=0.2)
    assert other.account != found.account  # other samples


def test_a_separator_that_no_token_holds_is_refused() -> None:
    nano = load_backbone("nano")
    with pytest.raises(InputError, match="separator = '@@': stands in no token of the policy"):
        PolicySpace(nano, "3 + 4 =", StepScorer(nano.model), separator="@@")
