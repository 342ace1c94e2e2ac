"""The one GRPOTrainer subclass: TRL 1.16 with the hooks of algorithms and an order that is checked.

Everything else goes through TRL's public arguments. The methods overridden here, with the reason:
``_prepare_inputs`` (every micro-batch is checked against the order), ``_calculate_rewards`` (DRA's trainer
route; the rollout is seen before TRL logs it), ``_generate_and_score_completions`` (rollout, advantage and
observe hooks), ``_compute_loss`` (loss hook; rows without gradient), ``_tokenize_prompts`` (TRL leaves an EOS
that the tokenizer appends), ``_generate_single_turn`` (our decoding loop), ``_load_from_checkpoint`` (PEFT
changes the adapters' type), ``_get_per_token_logps_and_entropies`` (shared prefixes; what sampling knows
already). What a rollout hook generated is handed over by TRL's public ``rollout_func``. It trains only:
`hammerlib.evaluation` evaluates. ``tests/test_contract_trl.py`` watches the signatures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate.utils import gather_object
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import pad

from hammerlib.advantages import group_advantages
from hammerlib.errors import InputError
from hammerlib.models.decoding import keeps_attention_only
from hammerlib.models.prefixes import prefix_tree, score_tree, share_prefixes, unshare_prefixes
from hammerlib.models.tokens import prompt_ids, template_of
from hammerlib.rewards import DRAReward
from hammerlib.rewards.adjusted import Given, raw_sum
from hammerlib.rewards.shape import text_of
from hammerlib.training.config import TrainConfig
from hammerlib.training.generation import graded, judge, sample
from hammerlib.training.hooks import EXCLUDED, Generation, Hooks, Rollout
from hammerlib.training.logs import IndexLog, save_completions
from hammerlib.training.rollout import ACCOUNT
from hammerlib.training.telemetry import PREFIX, Timings, observe


def adjust_all(reward: DRAReward, group_size: int, first: int) -> tuple[np.ndarray, float]:
    """Return the adjusted rewards of all processes and the mean weight of this one's rows."""
    adjusted, weights = reward.adjusted(gather_object([reward.scored]), group_size)
    own = weights[first : first + len(reward.raw)]
    grouped = own[~np.isnan(own)]  # of completions in no group there is no weight
    return adjusted, float(grouped.mean()) if len(grouped) else math.nan


def same_everywhere(field: str, value: object, what: str) -> None:
    """Refuse what is not the same on all processes, on each of them, before they wait for each other."""
    for rank, other in enumerate(gather_object([value])):
        if other != value:
            problem = f"{what} differ from those of process {rank}: {other}"
            raise InputError(field, value, problem, "let them depend on nothing but the configuration")


def whole_groups(rollout: Rollout, process: int) -> tuple[Rollout, slice | None]:
    """Return a rollout of whole groups, and where this process's rows stand in it (None: it is the whole)."""
    local = len(rollout.rows)
    # TRL deals out a batch by rows: where G does not divide a process's share, a group lies on two of them
    rows_in_a_row = np.array_equal(rollout.groups, np.arange(local) // rollout.group_size)
    if local % rollout.group_size == 0 or not rows_in_a_row:  # a rollout's own groups lie on one process
        return rollout, None
    rollouts = gather_object([dataclasses.replace(rollout, trainer=None, excluded=None)])
    joined = {name: _joined([getattr(piece, name) for piece in rollouts]) for name in BY_ROW}
    whole = dataclasses.replace(rollout, **joined, groups=None)  # G in a row of the whole batch
    return whole, slice(process * local, (process + 1) * local)


def in_runs(generation: Generation, size: int) -> bool:
    """Whether groups are runs of `size` rows of one problem, as TRL has them."""
    groups = generation.groups
    if groups is None:
        return True
    if len(groups) % size:
        return False
    names = [(group, row["id"]) for group, row in zip(groups.tolist(), generation.rows, strict=True)]
    return all(name == names[place // size * size] for place, name in enumerate(names))


@contextlib.contextmanager
def _unscored_rows_meant() -> Iterator[None]:
    """Mute TRL's warning about rows that no reward function scores: the rollout has rewards of its own."""

    def other(record: logging.LogRecord) -> bool:
        return "All reward functions returned None" not in record.getMessage()

    logger = logging.getLogger("trl.trainer.grpo_trainer")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


# Rounding between a pass over whole rows and one token by token, in float32; measured: 1e-5.
SAME_LOGP = 1e-4
SAME_LOGP_HALF = 0.02  # under bfloat16, on average

# Fields of a rollout with one entry per completion.
BY_ROW = ("rows", "completions", "completion_ids", "prompt_ids", "verdicts", "raw", "rewards", "vectors")
BY_ROW += ("advantages", "mask", "reasons", "forced", "tasks")


def _joined(pieces: Sequence) -> object:
    if pieces[0] is None:
        return None
    if isinstance(pieces[0], list):
        return [row for piece in pieces for row in piece]
    if isinstance(pieces[0], np.ndarray):
        return np.concatenate(pieces)
    return torch.cat([piece.cpu() for piece in pieces]).to(pieces[0].device)


class PolicyTrainer(GRPOTrainer):
    """TRL's GRPOTrainer with the hooks of `hammerlib.training.hooks.Hooks`."""

    def __init__(
        self,
        *args: Any,
        hooks: Hooks,
        embed: Callable[[list[str]], np.ndarray],
        index_log: IndexLog,
        folder: Path,
        settings: TrainConfig,
        most_rows: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, rollout_func=self._generated if hooks.rollout else None, **kwargs)
        self.hooks = hooks
        self.embed = embed
        self.index_log = index_log
        self.folder = folder
        self.settings = settings
        self.skip_zero_advantage = settings.skip_zero_advantage
        if self.skip_zero_advantage and self.aux_loss_enabled:
            problem, remedy = "leaves out rows that the router's auxiliary loss is of", "leave it out"
            raise InputError("skip_zero_advantage", True, problem, remedy)
        self.most_rows = most_rows  # that a rollout may train of a prompt
        if self.most_rows > self.num_generations and self.aux_loss_enabled:
            problem = "rows a prompt change the router's auxiliary loss"
            raise InputError(
                "algorithms", self.most_rows, problem, "let its rollout train at most G a prompt"
            )
        self.sampled_logps: torch.Tensor | None = None  # of the generation batch, for TRL's next question
        self._sampled_logps_agree: bool | None = None  # with TRL's; None before the first batch
        self.int8_sampling = settings.int8_sampling
        self._weighed: dict[str, Any] | None = None  # micro-batch whose importance weights are wanted
        if self.int8_sampling:
            self._check_int8()
        self.shared_prefixes = settings.shared_prefixes
        self._prefixes_agree: bool | None = None  # with whole rows; None before the first batch
        if self.shared_prefixes:
            self._share(share_prefixes(self._causal_model()))
        self._calls = (-1, 0)  # optimizer step, and how often it has sampled
        self.timings = Timings()
        self.server_reads: int | None = None  # tokens, of a vLLM server, on the process that asks it
        self.tokens = dict.fromkeys(ACCOUNT, 0)  # of all processes since the run began
        self._tokens_here = dict.fromkeys(ACCOUNT, 0)  # of this process, not yet in `tokens`
        self._function_means: list[float] | None = None  # of rows without a reward of the rollout's own
        self.unfinished = True  # whether an answer in a thought without end counts
        self.rollout: Rollout | None = None
        self._generation: Generation | None = None

    def _check_int8(self) -> None:
        """Refuse a model or machine whose samples in 8 bits could not be made or weighed."""
        problem = None
        if self.accelerator.device.type != "cpu":
            problem = f"multiplies on a CPU only, not on {self.accelerator.device.type}"
        elif not keeps_attention_only(self._causal_model()):
            problem = "needs chances that are not told of a model that keeps more than keys and values"
        if problem is not None:
            raise InputError("int8_sampling", True, problem, "leave it out")

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        """Let transformers read the weights; adapters keep the type that they are trained in.

        On a 4-bit base TRL trains them in bfloat16, and PEFT reads them into float32.
        """
        model = self.model if model is None else model
        types = {name: weight.dtype for name, weight in model.named_parameters() if weight.requires_grad}
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, weight in model.named_parameters():
            if name in types:
                weight.data = weight.data.to(types[name])

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """Check the rows against the order, let TRL generate or reuse completions, log what is trained."""
        self.index_log.check(self.state.global_step, generation_batch)
        inputs = super()._prepare_inputs(generation_batch)
        for name, total in self.tokens.items():  # in every step's log, also of steps that generate nothing
            self._metrics["train"][PREFIX + name] = [float(total)]
        pairs = zip(self.rollout.rows, self.rollout.groups, strict=True)
        trained = [row for row, group in pairs if group != EXCLUDED]
        self.index_log.record(trained, self.rollout.step + 1)
        return inputs

    def count_tokens(self, generation: Generation) -> None:
        """Add what this process generated to the run's account.

        `generate` calls it; a rollout does for what it samples in another way.
        """
        for name, n in generation.tokens().items():
            self._tokens_here[name] += n

    def _sum_tokens(self) -> None:
        """Add what all processes counted since the last generation batch to the account."""
        local = torch.tensor([[self._tokens_here[name] for name in ACCOUNT]], device=self.accelerator.device)
        sums = self.accelerator.gather(local).sum(0).tolist()
        for name, n in zip(ACCOUNT, sums, strict=True):
            self.tokens[name] += n
            self._tokens_here[name] = 0

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], Any, dict]:
        """Make the ids as embedding and evaluation do; with tools and images TRL's own way."""
        if self.tools or self._is_vlm or self.environment_factories is not None:
            return super()._tokenize_prompts(prompts)
        return prompt_ids(self.processing_class, prompts, template_of(prompts[0])), None, {}

    def _generate_single_turn(
        self,
        prompt_ids: list,
        images: Any,
        multimodal_fields: dict,
        num_generations: int,
        *more: Any,
        **named: Any,
    ) -> tuple[list[list[int]], list | None]:
        """Sample by TRL's engines or by our decoding loop."""
        if self.settings.sampler == "trl" or images or multimodal_fields:
            rest = (images, multimodal_fields, num_generations, *more)
            return super()._generate_single_turn(prompt_ids, *rest, **named)
        tokens, logps = sample(
            self.accelerator.unwrap_model(self.model),
            prompt_ids,
            self._sample_names(len(prompt_ids)),
            seed=self.args.seed,
            steps=self.generation_config.max_new_tokens,
            temperature=self.temperature,
            ends=self.eos_token_ids,
            pad=self.processing_class.pad_token_id,
            int8=self.int8_sampling,
        )
        # TRL asks for these log-probabilities where a generation batch serves several optimizer steps
        arguments = cast(GRPOConfig, self.args)
        generate_every = arguments.steps_per_generation * self.num_iterations
        asked = arguments.gradient_accumulation_steps % generate_every != 0
        if asked and logps is not None and self.hooks.rollout is None and not self.int8_sampling:
            self.sampled_logps = pad([torch.tensor(row) for row in logps], 0.0).to(self.accelerator.device)
        return tokens, logps

    def _sample_names(self, rows: int) -> list[tuple[str, int]]:
        """Name samples by step, call and row of the whole batch; a rollout's rows are its process's own."""
        step, calls = self._calls
        self._calls = (self.state.global_step, calls + 1 if step == self.state.global_step else 0)
        process = self.accelerator.process_index
        name = "train {} {}".format(*self._calls)
        if self.hooks.rollout is not None:
            return [(f"{name} {process}", row) for row in range(rows)]
        return [(name, process * rows + row) for row in range(rows)]

    def _get_per_token_logps_and_entropies(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        *more: Any,
        **named: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Ask the model, with shared prefixes where that is wanted, or answer with what sampling computed."""
        sampled, self.sampled_logps = self.sampled_logps, None
        tokens = (input_ids, attention_mask, logits_to_keep)
        if torch.is_grad_enabled() and self.shared_prefixes and attention_mask[:, -logits_to_keep:].any():
            return self._weigh(*self._score_shared(model, *tokens), None)
        whole_rows = functools.partial(
            super()._get_per_token_logps_and_entropies, model, *tokens, *more, **named
        )
        if sampled is None or self._sampled_logps_agree is False:
            return self._weigh(*whole_rows())
        # TRL pads to the longest completion of all processes, behind what was sampled here
        padding = logits_to_keep - sampled.shape[1]
        sampled = torch.nn.functional.pad(sampled, (0, padding)) * attention_mask[:, -logits_to_keep:]
        if self._sampled_logps_agree is None:
            logps = whole_rows()[0]
            farthest = self.accelerator.gather((logps - sampled).abs().max()).max().item()
            self._sampled_logps_agree = farthest <= SAME_LOGP
            if not self._sampled_logps_agree:
                how = f"sampling and training differ by {farthest:.1g} in a log-probability"
                warnings.warn(f"{how}: TRL's extra forward pass stays", stacklevel=2)
                return logps, None, None
        return sampled, None, None

    def _causal_model(self) -> torch.nn.Module:
        """The causal language model inside wrappers and adapters."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    def _score_shared(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies of the completion tokens, every distinct prefix computed once."""
        # the tokens without padding, which stands before prompts and behind completions
        parts = []
        for columns in (slice(None, -logits_to_keep), slice(-logits_to_keep, None)):
            pairs = zip(input_ids[:, columns].tolist(), attention_mask[:, columns].tolist(), strict=True)
            parts.append([[token for token, seen in zip(*row, strict=True) if seen] for row in pairs])
        tree = prefix_tree(*parts, width=logits_to_keep, device=input_ids.device)
        with self.accelerator.autocast():
            return score_tree(model, self._causal_model(), tree)

    def _compare_prefixes(self, output: dict[str, Any]) -> None:
        """Compare a micro-batch of the first generation with whole rows; share no more where they differ.

        Here, where every process comes by, and not in the first loss, where one may have nothing to train.
        """
        rows = slice(self.args.per_device_train_batch_size)
        width = output["completion_ids"].shape[1]
        lengths = torch.tensor(
            [*map(len, self.rollout.completion_ids[rows])], device=output["prompt_ids"].device
        )
        mask = (torch.arange(width, device=lengths.device) < lengths[:, None]).long()
        ids = torch.cat([output["prompt_ids"][rows], output["completion_ids"][rows]], 1)
        tokens = (ids, torch.cat([output["prompt_mask"][rows], mask], 1), width)
        reason = None
        farthest = math.inf
        with torch.no_grad():
            logps = super()._get_per_token_logps_and_entropies(self.model, *tokens)[0]
            try:
                farthest = (self._score_shared(self.model, *tokens)[0] - logps).abs().mean().item()
            except (TypeError, ValueError, RuntimeError, AttributeError) as error:
                reason = f"its forward pass does not take it ({error})"
        # bfloat16 keeps 8 bits of a number: two right ways to compute it lie farther apart
        half = self.args.bf16 or self.args.fp16 or logps.dtype != torch.float32
        farthest = self.accelerator.gather(torch.tensor(farthest, device=logps.device)).max().item()
        # the farthest of all processes, so that all decide alike
        self._prefixes_agree = farthest <= (SAME_LOGP_HALF if half else SAME_LOGP)
        if not self._prefixes_agree:
            unshare_prefixes(self._causal_model())
            self._share(reason or f"log-probabilities differ by {farthest:.1g} from those of whole rows")

    def _share(self, reason: str | None) -> None:
        if reason is not None:
            self.shared_prefixes = False
            kind = type(self._causal_model()).__name__
            warnings.warn(f"{kind} computes every row whole, without shared prefixes: {reason}", stacklevel=2)

    def _generated(self, prompts: list, trainer: GRPOTrainer) -> dict[str, list | None]:
        """TRL's ``rollout_func``: what the rollout hook generated."""
        return self._generation.for_trl()

    def _calculate_rewards(
        self, inputs: list[dict], prompts: list, completions: list, completion_ids_list: list
    ) -> torch.Tensor:
        """Return TRL's (global n, F) rewards, keeping this process's rollout."""
        self.timings.lap("generation")
        texts = [text_of(completion) for completion in completions]
        vectors = self.embed(texts)  # before the rewards, so that DRA finds them and the laps stay apart
        self.timings.lap("embedding")
        generation = self._generation
        dra = self.reward_funcs[0] if isinstance(self.reward_funcs[0], DRAReward) else None
        if dra is not None:
            dra.given = Given() if generation is None else self._given(generation)
        scored_already = generation is not None and generation.rewards is not None
        with _unscored_rows_meant() if scored_already else contextlib.nullcontext():
            table = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        if generation is not None and dra is None:
            table = self._with_own_rewards(table, generation)
        first = self.accelerator.process_index * len(prompts)
        if dra is not None and dra.deferred:
            # The trainer route: rewards came back raw; they are adjusted over the groups of all processes.
            adjusted, weight = adjust_all(dra, self.num_generations, first)
            table = torch.from_numpy(adjusted)[:, None].to(table)
            if not math.isnan(weight):
                self._log_metric("dra/mean_weight", weight)
        # TRL's own sum is on the device in float32; telemetry needs this process's rows only.
        weights = self.reward_weights.double().numpy()
        rewards = raw_sum(table[first : first + len(prompts)].double().cpu().numpy(), weights)
        judged, reasons = graded(texts, inputs, self.unfinished)
        own = {}
        if generation is not None:
            own = {name: getattr(generation, name) for name in ("groups", "mask", "forced", "tasks")}
        self.rollout = Rollout(
            step=self.state.global_step,
            rows=inputs,
            completions=texts,
            completion_ids=completion_ids_list,
            verdicts=judged,
            reasons=reasons,
            raw=rewards if dra is None else dra.raw,
            rewards=rewards,
            vectors=vectors,
            group_size=self.num_generations,
            trainer=self,
            **own,
        )
        self.timings.lap("rewards")
        return table

    def _given(self, generation: Generation) -> Given:
        """What DRA is told of a rollout's completions."""
        texts = None
        if self.settings.dra_text == "sampled":
            pairs = zip(generation.completion_ids, generation.forced, strict=True)
            sampled = [ids[forced:] for ids, forced in pairs]
            texts = self.processing_class.batch_decode(sampled, skip_special_tokens=True)
        groups = None if in_runs(generation, self.num_generations) else generation.groups
        return Given(generation.rewards, groups, texts)

    def _with_own_rewards(self, table: torch.Tensor, generation: Generation) -> torch.Tensor:
        """Put a rollout's own rewards in place of the functions', in the (n, F) table of all processes."""
        # every process takes part in the gather, also one whose rollout gave no rewards
        own = self.accelerator.gather(torch.from_numpy(generation.own_rewards()).to(table))
        rows = ~own.isnan()
        if not rows.any():
            return table
        table = table.clone()
        table[rows] = math.nan
        # without the carried rewards below, which TRL's own means would count as a function's
        self._function_means = torch.nanmean(table, dim=0).tolist()
        # TRL sums over functions with their weights: one of them carries the reward, its weight divided out.
        carrier = int(self.reward_weights.nonzero()[0])
        table[rows, carrier] = own[rows] / self.reward_weights[carrier].item()
        return table

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict[str, Any]:
        """Run the rollout hook, TRL's scoring, the advantage hook, the telemetry and the observe hook."""
        self.timings.start()
        excluded = None
        generation = None
        self._function_means = None
        if self.hooks.rollout is not None:
            generation = self.hooks.rollout(inputs, self)
            self._generation, excluded = generation.split(self._batch_rows(generation, len(inputs)))
            inputs = self._generation.rows
            if (self.use_vllm or self.int8_sampling) and self._generation.logprobs is None:
                # TRL weighs sampled tokens by what the engine reports of them; unknown ones are left alone.
                completion_ids = self._generation.completion_ids
                self._generation.logprobs = [[None] * len(ids) for ids in completion_ids]
        output = super()._generate_and_score_completions(inputs)
        self._complete(output, excluded)
        if not self.settings.dynamic_sampling:  # which knows itself what it leaves out
            self.index_log.drop(self.rollout.left_out())
        if generation is None:  # what a rollout samples is counted where it does
            rollout = self.rollout
            if "tool_mask" in output:
                rows = zip(output["tool_mask"].tolist(), rollout.completion_ids, strict=True)
                rollout.mask = [mask[: len(ids)] for mask, ids in rows]
                rollout.forced = [mask.count(0) for mask in rollout.mask]  # what tools answered
            generation = Generation(
                rollout.rows, rollout.prompt_ids, rollout.completion_ids, forced=rollout.forced
            )
            self.count_tokens(generation)
        self._sum_tokens()
        if self._function_means is not None:
            for name, value in zip(self.reward_func_names, self._function_means, strict=True):
                self._metrics["train"][f"rewards/{name}/mean"][-1] = value
        if self.shared_prefixes and self._prefixes_agree is None:
            self._compare_prefixes(output)
        process = self.accelerator.process_index
        own_groups = self._generation is not None and self._generation.groups is not None
        # A group may straddle processes: hooks and telemetry then see the batch of all, `own` are our rows.
        # Groups of a rollout lie on one process, and asking might leave the other processes waiting.
        whole, own = (self.rollout, None) if own_groups else whole_groups(self.rollout, process)
        if self.hooks.advantage is not None:
            advantages = self.hooks.advantage(whole)
            output["advantages"] = self._checked(advantages if own is None else advantages[own], output)
            self.rollout.advantages = output["advantages"]
            whole = self.rollout if own is None else dataclasses.replace(whole, advantages=advantages)
        counts = {"generated": len(generation.rows)}
        counts["generated_tokens"] = generation.tokens()["sampled_tokens"]
        counts["trained"] = int((self.rollout.groups != EXCLUDED).sum())
        values = {name: float(n * self.accelerator.num_processes) for name, n in counts.items()}
        values |= observe(whole)
        if self.hooks.observe is not None:
            values |= self.hooks.observe(whole)
        self.record(values | self.timings.taken())
        self._keep(self.rollout)
        return output

    def _batch_rows(self, generation: Generation, planned: int) -> int:
        """Rows of every process's batch: those planned, or as many as the process with the most trains."""
        if self.most_rows == self.num_generations:
            return planned
        if generation.groups is None:  # another process may hand over groups, and advantages need all or none
            generation.groups = np.arange(len(generation.rows)) // self.num_generations
        rows = generation.trained()
        most = -(-planned // self.num_generations) * self.most_rows  # of the prompts that this process holds
        if rows > most:
            problem = f"completions to train are more than the {most} that most_rows states"
            remedy = f"let most_rows of the algorithm state more than {self.most_rows} a prompt"
            raise InputError("algorithms.rollout", rows, problem, remedy)
        multiple = self.num_generations * cast(GRPOConfig, self.args).steps_per_generation
        return common_rows(gather_object([rows]), planned, multiple)

    def _keep(self, rollout: Rollout) -> None:
        """Write the completions of every so-many-th step, or of the generation that this step trains on."""
        plan = self.index_log.plan
        every = self.settings.completions_every
        steps = -(-plan.block_length // plan.accumulation)  # that one generation feeds, from rollout.step on
        if every is None or -rollout.step % every >= steps:
            return
        save_completions(
            self.folder,
            rollout,
            place_of=self.index_log.place_of,
            ends={*self.eos_token_ids, self.processing_class.pad_token_id},
            process=self.accelerator.process_index,
            offset=self.index_log.offset,
        )

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        """Return TRL's loss, or what the loss hook makes of it."""
        if self.hooks.loss is None:
            return self._policy_loss(model, inputs)
        return self.hooks.loss(self, model, inputs, lambda: self._policy_loss(model, inputs))

    def _policy_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        """TRL's loss, computed from the rows that carry a gradient where that is asked for."""
        planned = planned_share(self.loss_type, inputs, self.args.per_device_train_batch_size)
        if not self.skip_zero_advantage:
            return self._weighted_loss(model, inputs) * planned
        rows = self._as_many_everywhere(with_gradient(inputs), len(inputs["completion_ids"]))
        taken = take_rows(inputs, rows)
        # TRL's loss of these rows times their share is that of all rows that were planned
        share = planned * loss_share(self.loss_type, inputs, taken, len(rows))
        loss = self._weighted_loss(model, taken) * share
        self._log_trained(inputs, taken, rows)
        return loss

    def _weighted_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        """TRL's loss, with its importance weights where completions were sampled in 8 bits."""
        if not self.int8_sampling:
            return super()._compute_loss(model, inputs)
        # TRL multiplies by `importance_sampling_ratio` where vLLM sampled, and pays a forward pass for it.
        # Here `_weigh` fills it in from the pass that the loss makes anyway.
        self._weighed = dict(inputs)
        self.use_vllm = True
        try:
            return super()._compute_loss(model, self._weighed)
        finally:
            self.use_vllm = False
            self._weighed = None

    def _weigh(
        self, logps: torch.Tensor, entropies: torch.Tensor | None, aux_loss: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Weigh the micro-batch at hand, now that its log-probabilities are known; hand on what came."""
        inputs = self._weighed
        if inputs is None:
            return logps, entropies, aux_loss
        policy = inputs.get("old_per_token_logps")
        if policy is None:
            policy = logps.detach()
        mask = loss_mask(inputs)
        sampled = inputs["sampling_per_token_logps"]
        cap = cast(GRPOConfig, self.args).vllm_importance_sampling_clip_max
        # w = min(p / q, cap): unbiased but for the cap; a cut weight costs bias and saves variance
        whole = sequence_weights(policy, sampled, mask)
        inputs["importance_sampling_ratio"] = whole.clamp(max=cap)
        # in nats a token; where a token was forced nothing was sampled (NaN), and it counts as equal
        apart = (policy - sampled).abs()[mask.bool()].nan_to_num(0.0)
        values = {
            "sampling/sampling_logp_difference/mean": apart.mean(),
            "sampling/importance_sampling_ratio/mean": inputs["importance_sampling_ratio"].mean(),
            "sampling/truncated_share": (whole > cap).float().mean(),
        }
        for name, value in values.items():
            self._metrics["train"][name].append(self.accelerator.gather(value).nanmean().item())
        return logps, entropies, aux_loss

    def _as_many_everywhere(self, rows: torch.Tensor, total: int) -> torch.Tensor:
        """Fill up these of `total` rows to as many as on the process with most: TRL gathers a value a row."""
        if self.accelerator.num_processes == 1:
            return rows
        # a process with fewer rows would leave the others waiting in that gather
        most = int(self.accelerator.gather(torch.tensor([len(rows)], device=rows.device)).max())
        others = torch.ones(total, dtype=torch.bool, device=rows.device)
        others[rows] = False
        return torch.cat([rows, others.nonzero()[: most - len(rows), 0]])  # they add nothing to the gradient

    def _log_trained(self, inputs: dict[str, Any], taken: dict[str, Any], rows: torch.Tensor) -> None:
        """Make what TRL has just logged of rows with a gradient true of all rows, or name it as theirs."""
        tokens = loss_mask(inputs).sum(1)
        absent = tokens > 0
        absent[rows] = False  # rows that were left out and have tokens
        counts = [len(rows), len(tokens), loss_mask(taken).sum(), tokens.sum(), absent.sum()]
        local = torch.tensor([float(count) for count in counts], device=self.accelerator.device)
        totals = self.accelerator.reduce(local, reduction="sum").tolist()
        n_trained, n_rows, trained_tokens, all_tokens, n_absent = totals
        metrics = self._metrics["train"]
        metrics[PREFIX + "trained_share"].append(n_trained / n_rows)
        # rows without gradient were not asked: what TRL calls the entropy is that of the others
        entropy = metrics["entropy"].pop()
        metrics[PREFIX + "entropy_trained"].append(entropy if trained_tokens else math.nan)
        if not metrics["entropy"]:
            del metrics["entropy"]
        # A token without advantage is never clipped: shares of tokens shrink, extremes of rows meet a zero.
        for name in ("low_mean", "high_mean", "region_mean"):
            if values := metrics.get(f"clip_ratio/{name}"):
                values[-1] *= trained_tokens / max(all_tokens, 1.0)
        if n_absent and "clip_ratio/low_min" in metrics:
            metrics["clip_ratio/low_min"][-1] = 0.0
            highest = metrics["clip_ratio/high_max"]
            highest[-1] = max(0.0, highest[-1])  # 0 where TRL found no row with tokens (NaN)

    def _complete(self, output: dict[str, Any], excluded: Generation | None) -> None:
        """Give the rollout what TRL's scoring did not know: advantages of its own groups, prompts, spares."""
        rollout = self.rollout
        if self._generation is not None and self._generation.groups is not None:
            output["advantages"] = self._regrouped(rollout).to(output["advantages"])
        rollout.advantages = output["advantages"]
        prompts = zip(output["prompt_ids"], output["prompt_mask"], strict=True)
        rollout.prompt_ids = [ids[mask.bool()].tolist() for ids, mask in prompts]
        if excluded is not None:
            (texts, judged, reasons), nothing = judge(self, excluded), np.full(len(excluded.rows), np.nan)
            rollout.excluded = Rollout(
                rollout.step, excluded.rows, texts, excluded.completion_ids, judged, nothing, nothing,
                rollout.vectors[:0], rollout.group_size, groups=excluded.groups, reasons=reasons,
                forced=excluded.forced, tasks=excluded.tasks,
            )  # fmt: skip

    def _regrouped(self, rollout: Rollout) -> torch.Tensor:
        """Advantages over the rollout's own groups; all processes share the deviation of the batch."""
        n = len(rollout.rows)
        process = self.accelerator.process_index
        names = np.unique(rollout.groups, return_inverse=True)[1] + process * n  # no two processes share one
        groups = np.where(rollout.groups == EXCLUDED, EXCLUDED, names)
        # A_i = (r_i - mean of its group) / (std of group or batch + 1e-4), with the groups of the rollout.
        local = torch.tensor(np.stack([rollout.rewards, groups]).T, dtype=torch.float32)
        rewards, names = self.accelerator.gather(local.to(self.accelerator.device)).T.cpu().numpy()
        advantages = group_advantages(rewards, names.astype(int), scale=self.scale_rewards)
        return torch.tensor(advantages[process * n : (process + 1) * n])

    def _checked(self, advantages: torch.Tensor, output: dict[str, Any]) -> torch.Tensor:
        """The advantage hook's tensor, padded to the batch's tokens."""
        rows, tokens = output["completion_mask"].shape
        longest = int(output["completion_mask"].sum(1).max())
        fits = advantages.dim() == 1 or (advantages.dim() == 2 and longest <= advantages.shape[1] <= tokens)
        if not fits or len(advantages) != rows:
            problem = f"must have shape ({rows},) or ({rows}, T), T from {longest} to {tokens}"
            remedy = "return one advantage per completion or per completion token"
            raise InputError("advantage", tuple(advantages.shape), problem, remedy)
        if advantages.dim() == 2:
            advantages = torch.nn.functional.pad(advantages, (0, tokens - advantages.shape[1]))
        return advantages.to(output["advantages"])

    def record(self, values: dict[str, float]) -> None:
        """Average telemetry over processes and hand it to TRL's log; every process gives the same names."""
        names: Sequence[str] = sorted(values)
        if self.accelerator.num_processes > 1:  # tensors of different length would abort in the gather below
            same_everywhere("algorithms.observe", list(names), "metrics")
        local = torch.tensor(
            [[values[name] for name in names]], dtype=torch.float64 if self.args.use_cpu else torch.float32
        )
        # NaN where a process has no such value, because no group varied there: the others decide
        mean = torch.nanmean(self.accelerator.gather(local.to(self.accelerator.device)), dim=0).tolist()
        for name, value in zip(names, mean, strict=True):
            self._metrics["train"][PREFIX + name].append(value if math.isfinite(value) else math.nan)


SeamTrainer = PolicyTrainer  # old spelling, one release


# The rows of a micro-batch that carry a gradient, and what TRL's loss of all rows is of theirs


# Tensors of a micro-batch with one column per completion token; all may be cut to the longest completion.
BY_TOKEN = ("completion_ids", "completion_mask", "tool_mask", "old_per_token_logps", "ref_per_token_logps")
BY_TOKEN += ("sampling_per_token_logps", "importance_sampling_ratio", "advantages")


def loss_mask(inputs: dict[str, Any]) -> torch.Tensor:
    """Return the (n, T) mask of the completion tokens that TRL's loss sums over."""
    mask = inputs["completion_mask"]
    return mask * inputs["tool_mask"] if "tool_mask" in inputs else mask


def with_gradient(inputs: dict[str, Any]) -> torch.Tensor:
    """Return the indices of the rows with a trained token whose advantage is not exactly zero.

    In every loss of TRL the advantage is a factor of a token's term, so that without KL and entropy terms
    all other rows add exactly nothing to the gradient.
    """
    advantages = inputs["advantages"]
    if advantages.dim() == 1:
        advantages = advantages[:, None]
    return ((advantages * loss_mask(inputs)) != 0).any(1).nonzero()[:, 0]


def sequence_weights(policy: torch.Tensor, sampled: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return p / q of every completion, (n, 1), from its tokens' (n, T) log-probabilities.

    `policy` are those of p, `sampled` those of q, NaN where a token was not sampled: such a token weighs 1.
    TRL's ``vllm_importance_sampling_mode="sequence_truncate"`` before its cap.
    """
    return ((policy - sampled) * mask).nan_to_num(0.0).sum(1, keepdim=True).exp()


def common_rows(trained: Iterable[int], planned: int, multiple: int) -> int:
    """Return the rows that every process's batch has: as planned, or more where one trains more.

    TRL gathers, splits and groups them, so that all have the same number, a multiple of
    G x ``steps_per_generation``.
    """
    most = max(trained)
    return planned if most <= planned else -(-most // multiple) * multiple


def planned_share(loss_type: str, inputs: dict[str, Any], planned: int) -> float:
    """Return the factor that makes a mean over a micro-batch's rows one over those that were planned."""
    by_rows = loss_type in ("grpo", "dr_grpo", "sapo", "luspo")
    return len(inputs["completion_ids"]) / planned if by_rows else 1.0


def take_rows(inputs: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """Return the micro-batch of these rows, cut to their longest completion.

    Without any row it is the first one with all its completion masked: the model must still run, so that
    every parameter gets its gradient of zero (AdamW skips those without one, and moves the others by their
    momentum) and processes that wait for each other's gradients are not left waiting.
    """
    n = len(inputs["completion_ids"])
    chosen = rows if len(rows) else torch.zeros(1, dtype=torch.long, device=inputs["completion_ids"].device)
    taken = {
        name: value[chosen] if torch.is_tensor(value) and value.dim() and len(value) == n else value
        for name, value in inputs.items()
    }
    if not len(rows):
        taken["completion_mask"] = torch.zeros_like(taken["completion_mask"])
    width = max(1, int(taken["completion_mask"].sum(1).max()))
    for name in BY_TOKEN:
        if name in taken and taken[name].dim() == 2:
            taken[name] = taken[name][:, :width]
    return taken


def loss_share(loss_type: str, inputs: dict[str, Any], taken: dict[str, Any], rows: int) -> float:
    """Return the factor that makes TRL's loss of `rows` rows that of the whole micro-batch.

    ``grpo``, ``sapo``, ``luspo`` and ``dr_grpo`` divide by rows, ``bnpo`` by trained tokens; ``dapo``,
    ``cispo`` and ``vespo`` by the tokens of the generation batch, whatever rows they are handed.
    """
    if loss_type in ("dapo", "cispo", "vespo"):
        return 1.0
    if loss_type == "bnpo":
        return float(loss_mask(taken).sum() / loss_mask(inputs).sum().clamp(min=1))
    return rows / len(inputs["completion_ids"])
