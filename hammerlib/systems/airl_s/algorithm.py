"""AIRL-S as an algorithm: ``algorithms: [{name: airl-s, mix: 0.5, separator: ";"}]``."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils.rnn import pad_sequence
from transformers import TrainerCallback

from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.models.tokens import template_of
from hammerlib.runs.storage import atomic_path
from hammerlib.systems import airl_s
from hammerlib.systems.branching import over_processes, random_generator, right_of
from hammerlib.systems.chord.experts import expert_table, tokenised
from hammerlib.training.generation import scored_tokens, shards_of
from hammerlib.training.hooks import EXCLUDED, Algorithm, Rollout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from hammerlib.models import Backbone
    from hammerlib.training.trainer import PolicyTrainer

ROWS = 32  # completions of a forward pass without gradient


class Traces(NamedTuple):
    """Completions cut into steps: token ids, step ends, and log pi of every step."""

    prompts: list[list[int]]
    completions: list[list[int]]
    ends: list[list[int]]
    logps: list[np.ndarray]

    def take(self, places: Sequence[int]) -> Traces:
        """Return some of them."""
        return Traces(*([column[k] for k in places] for column in self))


@dataclass
class AirlS(Algorithm, TrainerCallback):
    """Advantages of steps, from a reward that a discriminator learns beside the policy.

    Before each update of the policy, f learns to tell steps of correct traces from the policy's own. Every
    step then earns r = f - log pi; pooled, normalised and summed from the end, these are the advantages of
    steps, mixed with those of the outcome: lambda A_step + (1 - lambda) A_outcome. At the end of a run f
    stands in its folder (`load_scorer`), for a search.

    Source: arXiv 2508.14313, known from its abstracts; AIRL is arXiv 1710.11248, advantages of steps are
    arXiv 2402.03300. lambda, splitter, buffer, batch, smoothing and rates are ours.

    Parameters
    ----------
    mix : float
        lambda in [0, 1]; 0 leaves the advantages as they are, to the last bit, and trains f beside them.
    separator : str
        A step ends with the token that holds it: a line's end, ``;``, ``,``.
    experts : str, optional
        Correct traces: as of chord, ``nano:check`` or ``file:<path>@<digits>``. Default the policy's own
        correct completions, kept in a buffer.
    buffer : int
        Newest correct completions that are kept.
    updates : int
        Discriminator updates before each update of the policy.
    batch : int
        Traces of either side in an update, at most.
    learning_rate : float
        Of f's Adam.
    smoothing : float
        Of the discriminator's labels, see `discriminator_loss`.
    reward : str
        ``airl``, or ``gail`` for comparison, see `policy_reward`.
    length_mean : bool
        log pi of a step as the mean over its tokens: long steps do not saturate D. Not AIRL any more.
    shuffled : bool
        Control: the values of f change places among the steps of a group before they are rewards.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "airl/loss": "loss of the discriminator at its last update, nats; 1.386 where it tells nothing apart",
        "airl/told_apart": "share of steps that the discriminator puts on the right side",
        "airl/steps": "steps of a completion",
        "airl/value_right": "mean f of the last step of right completions",
        "airl/value_wrong": "mean f of the last step of wrong completions",
        "airl/buffer": "correct traces that are kept on a process",
    }

    mix: float = 0.5
    separator: str = "\n"
    experts: str | None = None
    buffer: int = 512
    updates: int = 1
    batch: int = 64
    learning_rate: float = 1e-4
    smoothing: float = 0.1
    reward: str = "airl"
    length_mean: bool = False
    shuffled: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.mix <= 1:
            raise InputError("mix", self.mix, "is outside [0, 1]", "give the share of the step advantages")
        if not self.separator:
            raise InputError("separator", self.separator, "is empty", 'use a line\'s end, ";" or ","')
        if not 0 <= self.smoothing < 0.5:
            raise InputError("smoothing", self.smoothing, "is outside [0, 1/2)", "use 0.1, or 0 for none")
        if not 0 < self.learning_rate < math.inf:
            raise InputError("learning_rate", self.learning_rate, "is no finite number above 0", "use 1e-4")
        for name in ("buffer", "updates", "batch"):
            check_whole(name, getattr(self, name), 1, "use one or more")
        check_name("reward", self.reward, airl_s.REWARDS)
        if self.experts is not None:
            expert_table(self.experts)  # refuses what cannot be read, before anything is loaded
        self.scorer: StepScorer | None = None  # the network f; made at the first generation batch
        self._optimizer: torch.optim.Adam | None = None
        # Correct completions, prompt and completion ids, the newest last.
        self._kept: list[list[list[int]]] = []
        self._restored: dict[str, Any] | None = None
        self._watched: dict[str, float] = {}

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Train f on this generation batch, then return the mixed advantages, (n, T)."""
        trainer = rollout.trainer
        # steps are pooled over a whole group: one that is cut between processes has no mean of its own
        if len(rollout.rows) != len(trainer.rollout.rows):
            remedy = "make prompts_per_step a multiple of processes and gradient_accumulation"
            raise InputError("algorithms", "airl-s", "cannot part groups that straddle processes", remedy)
        self._prepare(trainer)
        own = self._traces(trainer, rollout.prompt_ids, rollout.completion_ids)
        trained = np.flatnonzero(rollout.groups != EXCLUDED)
        right = np.array(right_of(rollout.verdicts), dtype=bool)
        for row in trained[right[trained]].tolist():
            self._kept.append([own.prompts[row], own.completions[row]])
        # the newest: f shall tell the policy of now from what it got right lately
        self._kept = self._kept[-self.buffer :]
        self._watched = {"airl/buffer": float(len(self._kept))}
        self._discriminate(trainer, own.take(trained.tolist()))
        values = [np.array(row) for row in score_steps(self.scorer, own.prompts, own.completions, own.ends)]
        self._watch(values, trained, right)
        # f was trained all the same: a control whose policy does not see it
        if self.mix == 0:
            return rollout.advantages
        steps = [np.zeros(len(row)) for row in values]
        for name in np.unique(rollout.groups[trained]):
            rows = np.flatnonzero(rollout.groups == name)
            # over all steps of the group: pooled mean and deviation, as in `step_advantages`
            marks = self._shuffled([values[row] for row in rows], trainer, int(rows[0]))
            rewards = [
                airl_s.policy_reward(mark, own.logps[row], self.reward)
                for mark, row in zip(marks, rows, strict=True)
            ]
            for row, advantages in zip(rows, airl_s.step_advantages(rewards), strict=True):
                steps[row] = advantages
        # lambda A_step + (1 - lambda) A_outcome
        outcome = rollout.advantages.detach().cpu().double().numpy()
        mixed = airl_s.mixed_advantages(airl_s.over_tokens(steps, own.ends), outcome, self.mix)
        return rollout.advantages.new_tensor(mixed)

    def _prepare(self, trainer: PolicyTrainer) -> None:
        """Make f from the policy as it is at the first step, or as a checkpoint held it."""
        if self.scorer is not None:
            return
        if shards_of(trainer.accelerator):
            problem = "cannot copy a policy that is kept in shards"
            raise InputError("algorithms", "airl-s", problem, "launch with ddp.yaml or zero2.yaml")
        # the same weights on every process; `_average` keeps them equal from here on
        self.scorer = StepScorer(trainer.accelerator.unwrap_model(trainer.model))
        self._optimizer = torch.optim.Adam(self.scorer.parameters(), lr=self.learning_rate)
        if self._restored is not None:
            self.scorer.load_state_dict(self._restored["scorer"])
            self._optimizer.load_state_dict(self._restored["optimizer"])
            self._restored = None

    def _traces(
        self, trainer: PolicyTrainer, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
    ) -> Traces:
        """Cut completions into steps, with log pi of each under the policy as it is."""
        ends = ends_of(trainer.processing_class, completions, self.separator)
        steps: list[np.ndarray] = []
        batches = scored_tokens(trainer, prompts, completions, rows=ROWS)
        tokens = (row for batch, _, _ in batches for row in batch.double().cpu().numpy())
        for row, places in zip(tokens, ends, strict=True):
            # log pi(a | s) is the sum over the step's tokens; what follows the last is padding, 0
            logps = np.add.reduceat(row, [0, *(place + 1 for place in places[:-1])])
            steps.append(logps / np.diff([-1, *places]) if self.length_mean else logps)
        return Traces(list(map(list, prompts)), list(map(list, completions)), ends, steps)

    def _correct(self, trainer: PolicyTrainer) -> list[list[list[int]]]:
        """The correct traces to learn from, prompt and completion ids."""
        if self.experts is None:
            return self._kept
        template = template_of(trainer.rollout.rows[0]["prompt"])
        positions = trainer.model.config.get_text_config().max_position_embeddings
        experts = tokenised(self.experts, trainer.processing_class, positions, template)
        pairs = zip(experts.prompt_ids, experts.completion_ids, strict=True)
        return [[list(prompt), list(completion)] for prompt, completion in pairs]

    def _discriminate(self, trainer: PolicyTrainer, own: Traces) -> None:
        """Update f; every process takes part, also one without a correct trace."""
        correct = self._correct(trainer)
        useful = bool(correct and own.prompts)
        taking_part = over_processes(trainer, int(useful))
        if not taking_part:
            return
        count = min(self.batch, len(correct), len(own.prompts))  # as many of either side
        for update in range(self.updates):
            self._optimizer.zero_grad(set_to_none=True)
            if useful:
                draw = random_generator(trainer, "airl-s", update)
                chosen = [correct[k] for k in draw.choice(len(correct), count, replace=False).tolist()]
                experts = self._traces(trainer, *map(list, zip(*chosen, strict=True)))
                policy = own.take(draw.choice(len(own.prompts), count, replace=False).tolist())
                sides = self._side(experts), self._side(policy)
                loss = airl_s.discriminator_loss(*sides, smoothing=self.smoothing)
                loss.backward()
                self._watched["airl/loss"] = float(loss.detach())
                # D > 1/2 where f > log pi
                apart = torch.cat([sides[0][0] > sides[0][1], sides[1][0] < sides[1][1]])
                self._watched["airl/told_apart"] = float(apart.double().mean())
            # who has no trace steps too, on what the others found: all copies of f stay one function
            self._average(trainer, taking_part)
            self._optimizer.step()

    def _side(self, traces: Traces) -> tuple[torch.Tensor, torch.Tensor]:
        """f, with gradient, and log pi of all steps; GAIL's discriminator knows no policy."""
        values = self.scorer(traces.prompts, traces.completions, traces.ends).float()
        logps = values.new_tensor(np.concatenate(traces.logps))
        # D = sigmoid(f) where pi is left out
        return values, logps.zero_() if self.reward == "gail" else logps

    def _average(self, trainer: PolicyTrainer, taking_part: int) -> None:
        """Make the gradient the mean over the processes that have one."""
        if trainer.accelerator.num_processes == 1:
            return
        # a process without traces adds zeros, and is not in the divisor
        for parameter in self.scorer.parameters():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = trainer.accelerator.reduce(gradient, reduction="sum") / taking_part

    def _shuffled(self, values: list[np.ndarray], trainer: PolicyTrainer, group: int) -> list[np.ndarray]:
        if not self.shuffled:
            return values
        # the same numbers on other steps: what f says of a step is lost, their spread stays
        pooled = random_generator(trainer, "airl-s shuffled", group).permutation(np.concatenate(values))
        return np.split(pooled, np.cumsum([len(row) for row in values])[:-1])

    def _watch(self, values: list[np.ndarray], trained: np.ndarray, right: np.ndarray) -> None:
        last = np.array([row[-1] for row in values])
        lengths = np.array([len(row) for row in values])
        self._watched["airl/steps"] = float(lengths[trained].mean()) if len(trained) else 0.0
        for name, rows in (("right", trained[right[trained]]), ("wrong", trained[~right[trained]])):
            if len(rows):
                self._watched[f"airl/value_{name}"] = float(last[rows].mean())

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Return how well f tells steps apart, and what it says of right and wrong completions."""
        return dict.fromkeys(self.METRICS, float("nan")) | self._watched

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave f in the run's folder."""
        if state.is_world_process_zero and self.scorer is not None:
            save_scorer(self.scorer, Path(args.output_dir).parent)

    def state_dict(self) -> dict[str, Any]:
        """Return head, trunk, optimizer and buffer."""
        if self.scorer is None:
            return self._restored or {"kept": self._kept}
        return {
            "scorer": self.scorer.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "kept": self._kept,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back; f itself is made when the policy is there."""
        self._kept = state["kept"]
        self._restored = state if "scorer" in state else None


# The network f: a copy of the policy's trunk with a scalar head, read at the last token of every step


FILE = "step_scorer.safetensors"  # in the folder of a run


class StepScorer(torch.nn.Module):
    """f(s, a) of every step of a completion, from a copy of a causal model's weights (adapters merged).

    The head begins at 0, so that no random number is drawn and the reward begins as -log pi (ours; the head
    of arXiv 2508.14313 is unknown).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        whole = copy.deepcopy(model)
        if hasattr(whole, "merge_and_unload"):  # PEFT's
            whole = whole.merge_and_unload()
        self.trunk = whole.base_model
        width = self.trunk.config.get_text_config().hidden_size
        weight = next(self.trunk.parameters())
        like = {"device": weight.device, "dtype": weight.dtype}
        self.head = torch.nn.utils.skip_init(torch.nn.Linear, width, 1, **like)  # draws no random number
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.zero_()
        self.requires_grad_(True).eval()  # no dropout: f is a function

    def forward(
        self,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        ends: Sequence[Sequence[int]],
    ) -> torch.Tensor:
        """Return f at the ends of all steps, row by row, (S,)."""
        device = self.head.weight.device
        ids = [torch.tensor([*prompt, *new]) for prompt, new in zip(prompts, completions, strict=True)]
        # Padded on the right, where a causal model does not look: positions count from the first token.
        tokens = pad_sequence(ids, batch_first=True).to(device)
        mask = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True).to(device)
        hidden = self.trunk(input_ids=tokens, attention_mask=mask).last_hidden_state
        rows = [row for row, places in enumerate(ends) for _ in places]
        # token k of a completion stands k places behind its prompt
        columns = [len(prompts[row]) + place for row, places in enumerate(ends) for place in places]
        return self.head(hidden[rows, columns])[:, 0]


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Return every token decoded by itself, special ones as ""."""
    return tokenizer.batch_decode([[token] for token in ids], skip_special_tokens=True)


def ends_of(
    tokenizer: PreTrainedTokenizerBase, completions: Sequence[Sequence[int]], separator: str
) -> list[list[int]]:
    """Return the step ends of token id lists."""
    known = sorted({token for row in completions for token in row})
    texts = dict(zip(known, token_texts(tokenizer, known), strict=True))
    return [airl_s.step_ends([texts[token] for token in row], separator) for row in completions]


def score_steps(
    scorer: StepScorer,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    ends: Sequence[Sequence[int]],
    *,
    rows: int = 32,
) -> list[list[float]]:
    """Return f of every step of every completion, without gradient, so many `rows` a pass."""
    scores = []
    for first in range(0, len(completions), rows):
        batch = slice(first, first + rows)
        with torch.no_grad():
            # f is read where a step ends, when all of it has been seen
            values = scorer(prompts[batch], completions[batch], ends[batch])
        lengths = [len(places) for places in ends[batch]]
        scores += [part.tolist() for part in values.float().split(lengths)]
    return scores


def save_scorer(scorer: StepScorer, folder: Path) -> Path:
    """Write the weights of f into the folder of a run."""
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in scorer.state_dict().items()}
    with atomic_path(folder / FILE) as unfinished:
        save_file(weights, unfinished)
    return folder / FILE


def load_scorer(folder: Path, backbone: Backbone) -> StepScorer:
    """Return the f that a run with ``airl-s`` left in its folder, for a backbone of its architecture."""
    scorer = StepScorer(backbone.model)
    try:
        scorer.load_state_dict(load_file(Path(folder) / FILE))
    except (OSError, RuntimeError) as error:
        problem = f"holds no f of this architecture ({type(error).__name__})"
        raise InputError("folder", Path(folder).name, problem, "name a run with airl-s") from error
    return scorer
