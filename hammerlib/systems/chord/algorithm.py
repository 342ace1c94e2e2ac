"""CHORD as an algorithm: ``algorithms: [{name: chord, experts: "nano:check", batch_size: 16}]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hammerlib.errors import InputError, check_is, check_name
from hammerlib.models.tokens import template_of
from hammerlib.systems.chord import WEIGHTINGS, adaptive_mu, expert_loss, mixed_loss, mu_at
from hammerlib.systems.chord.experts import Experts, expert_table, tokenised, vocabulary_of
from hammerlib.training.generation import score_tokens
from hammerlib.training.hooks import EXCLUDED, Algorithm, Hooks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase
    from trl import GRPOConfig

    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer

# What the GRPO term of arXiv 2508.11408 eq. 2 and the advantage below it need, and what another value does.
PAPER: dict[str, tuple[str | int, str]] = {
    "loss_type": ("dapo", "is not a token mean over all rollouts, as CHORD's eq. 2"),
    "scale_rewards": ("group", "does not divide by each group's deviation, as CHORD does"),
    "beta": (0, "adds a KL term, which CHORD has not"),
    "entropy_coef": (0, "adds an entropy term, which CHORD has not"),
    "num_iterations": (1, "trains completions again, off-policy"),
}


def check_settings(settings: TrainConfig | GRPOConfig, accumulation: int) -> None:
    """Refuse settings, of a config or of TRL, under which the GRPO term is not the paper's, on-policy one."""
    for name, (sound, problem) in PAPER.items():
        value = getattr(settings, name)
        if value != sound:
            raise InputError(name, value, problem, f"set {name}: {sound}")
    # the paper's term is on-policy: completions must be those of the policy that is trained
    held = settings.steps_per_generation or accumulation
    if held > accumulation:
        problem = "trains completions of an older policy"
        raise InputError("steps_per_generation", held, problem, f"set it to {accumulation}, or leave it out")


def check_reading(experts: Experts, prompt: str | list, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse experts that were tokenised for another template or vocabulary than the policy's."""
    template = template_of(prompt)
    remedy = "make them by load_experts for this run"
    if experts.template not in (None, template):
        problem = f"is not the trained prompts' template {template}"
        raise InputError("experts.template", experts.template, problem, remedy)
    if experts.vocabulary is not None and experts.vocabulary != vocabulary_of(tokenizer):
        problem = "was made with another vocabulary than the policy's"
        raise InputError("experts.vocabulary", experts.vocabulary[:8], problem, remedy)


@dataclass
class Chord(Algorithm):
    """The mixed loss of CHORD; its settings name the run.

    Source: arXiv 2508.11408, (1 - mu) L_GRPO + mu L_SFT-phi. The supervised term is a mean over all expert
    tokens of the optimizer step whatever the number of micro-batches and processes, at temperature 1, and
    only while training.

    Parameters
    ----------
    experts : Experts or str
        Solutions to learn from; their problems should not be among those trained by reinforcement. In a
        configuration ``nano:<strategy>`` (a thousand worked solutions of the nano families' supervised part)
        or ``file:<path>@<first 8 digits of its sha256>``, JSON Lines of ``prompt`` and ``solution``.
    batch_size : int
        Expert solutions an optimizer step, over all processes and micro-batches. The paper takes two for
        each prompt of a step (64 and 32).
    peak, valley, warmup, decay
        Schedule of mu by optimizer step, see `mu_at`. The default is constant 0.1 (CHORD-phi); ``PRESETS``
        holds the paper's variants.
    tau : float, optional
        Adaptive mu from each generation batch's mean reward in place of the schedule, see `adaptive_mu`.
    weighting, cutoff
        Of expert tokens, see `expert_loss`.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "mu": "weight of the supervised term, 0 to 1",
        "expert_loss": "weighted negative log-probability of the experts' tokens, nats a token",
        "expert_probability": "mean probability of an expert's token under the policy",
    }

    STATELESS: ClassVar[bool] = True  # what it counts begins anew with every optimizer step

    experts: Experts | str
    batch_size: int = 16
    peak: float = 0.1
    valley: float = 0.1
    warmup: int = 0
    decay: int = 0
    tau: float | None = None
    weighting: str = "phi"
    cutoff: float = 1.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError("batch_size", self.batch_size, "is below 1", "give expert solutions a step")
        if not 0 < self.cutoff <= 1:
            raise InputError("cutoff", self.cutoff, "is outside (0, 1]", "use 1 for no cutoff")
        check_name("weighting", self.weighting, WEIGHTINGS, "is unknown")
        self.mu(0)
        if isinstance(self.experts, str):
            expert_table(self.experts)  # refuses what cannot be read, before anything is loaded
        else:
            check_is("experts", self.experts, Experts, "experts", "see load_experts, or name nano:check")
        self._last = (-1, 0)  # optimizer step and micro-batch within it that were trained last

    def mu(self, step: int, mean_reward: float = 0.0) -> float:
        """Return mu of an optimizer step."""
        if self.tau is not None:
            return adaptive_mu(mean_reward, tau=self.tau)
        return mu_at(step, peak=self.peak, valley=self.valley, warmup=self.warmup, decay=self.decay)

    def check(self, config: TrainConfig) -> None:
        """Refuse a configuration whose GRPO term is not the paper's, or experts of another template."""
        check_settings(config, config.gradient_accumulation)
        template = None if isinstance(self.experts, str) else self.experts.template
        if template not in (None, config.template):
            problem = f"is not the experts' template {template}"
            raise InputError("template", config.template, problem, "render both alike, see load_experts")

    def plugs(self, config: TrainConfig) -> Hooks:
        """Return this loss as a hook for `config` (old spelling; `train` takes ``algorithms=[...]``)."""
        self.check(config)
        return Hooks(loss=self)

    def loss(
        self,
        trainer: PolicyTrainer,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        default: Callable[[], torch.Tensor],
    ) -> torch.Tensor:
        """Return the loss of one micro-batch."""
        # an evaluation loss is TRL's own: experts are learnt from in training only
        if not model.training:
            return default()
        check_settings(trainer.args, trainer.args.gradient_accumulation_steps)
        prompt = trainer.rollout.rows[0]["prompt"]
        experts = self.experts
        if isinstance(experts, str):
            positions = trainer.model.config.max_position_embeddings
            experts = tokenised(experts, trainer.processing_class, positions, template_of(prompt))
        check_reading(experts, prompt, trainer.processing_class)
        mu = self.mu(trainer.state.global_step, self._mean_reward(trainer, inputs))
        grpo = default()
        chosen, tokens = self._share(trainer, experts)
        # nothing of the expert is scored where it would weigh nothing
        if mu == 0:
            trainer.record({"mu": 0.0})
            return grpo
        expert = grpo.new_zeros(())
        probability = 0.0
        if chosen:
            prompts = [experts.prompt_ids[k] for k in chosen]
            logps, _, mask = score_tokens(model, prompts, [experts.completion_ids[k] for k in chosen])
            # This micro-batch's summands over all tokens of the step: they add up over micro-batches.
            expert = expert_loss(logps, mask, weighting=self.weighting, cutoff=self.cutoff, tokens=tokens)
            probability = float((logps.detach().exp() * mask).sum()) / tokens
        # Logs and gradients of processes are averaged, logs of micro-batches too.
        processes = trainer.accelerator.num_processes
        averaged = processes * trainer.current_gradient_accumulation_steps
        terms = {"expert_loss": float(expert.detach()), "expert_probability": probability}
        trainer.record({"mu": mu} | {name: averaged * value for name, value in terms.items()})
        return mixed_loss(grpo, processes * expert, mu)

    __call__ = loss  # as a hook of its own

    def _share(self, trainer: PolicyTrainer, experts: Experts) -> tuple[list[int], int]:
        """Return this micro-batch's solutions on this process, and the tokens of the whole step's."""
        micro_batches = trainer.current_gradient_accumulation_steps
        step = trainer.state.global_step
        micro_batch = 0
        if self._last[0] == step:
            micro_batch = (self._last[1] + 1) % micro_batches
        self._last = (step, micro_batch)
        # all processes know the whole batch; each takes every so-many-th solution of its micro-batch
        whole = experts.places(step, self.batch_size)
        tokens = sum(len(experts.completion_ids[k]) for k in whole)
        processes = trainer.accelerator.num_processes
        process = trainer.accelerator.process_index
        return whole[micro_batch * processes + process :: micro_batches * processes], tokens

    def _mean_reward(self, trainer: PolicyTrainer, inputs: dict[str, Any]) -> float:
        """Mean reward as graded of the trained completions, over all processes; only adaptive mu needs it."""
        if self.tau is None:
            return 0.0
        rollout = trainer.rollout
        # the graded reward, not what DRA or a penalty made of it
        scored = rollout.raw[(rollout.groups != EXCLUDED) & ~np.isnan(rollout.raw)]
        local = inputs["advantages"].new_tensor([[scored.sum(), len(scored)]])
        total, count = trainer.accelerator.gather(local).sum(0).tolist()
        return total / count if count else 0.0
