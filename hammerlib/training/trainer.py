"""The one GRPOTrainer subclass: TRL 1.16 with four seams and an order that is checked.

Everything else goes through TRL's public arguments. The methods overridden here, with the reason:
``_prepare_inputs`` (every micro-batch is checked against the order), ``_calculate_rewards`` (the rollout is
seen before TRL logs it), ``_generate_and_score_completions`` (advantage and observe seams),
``_compute_loss`` (loss seam). Generation is TRL's public ``rollout_func``. ``tests/test_contract_trl.py``
watches their signatures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trl import GRPOTrainer

from hammerlib.errors import InputError
from hammerlib.rewards import SCORABLE, DRAReward, raw_sum, text_of, verdicts
from hammerlib.training.completions import save_completions
from hammerlib.training.logs import IndexLog
from hammerlib.training.seams import Plugs, Rollout
from hammerlib.training.telemetry import PREFIX, Laps, observe


class SeamTrainer(GRPOTrainer):
    """TRL's GRPOTrainer with the seams of `hammerlib.training.seams.Plugs`.

    Parameters
    ----------
    *args, **kwargs
        As for ``GRPOTrainer``; ``rollout_func`` comes from `plugs`.
    plugs : Plugs
    embed : callable, list of n str -> (n, d) array
        Completion embeddings, shared with `DRAReward`.
    index_log : IndexLog
        Receives every micro-batch.
    folder : Path
        Where completions are written.
    completions_every : int, optional
        Every so-many-th step's completions are written; None: none.

    Examples
    --------
    >>> SeamTrainer.__base__.__name__
    'GRPOTrainer'
    """

    def __init__(
        self,
        *args: Any,
        plugs: Plugs,
        embed: Callable[[list[str]], np.ndarray],
        index_log: IndexLog,
        folder: Path,
        completions_every: int | None = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, rollout_func=plugs.rollout, **kwargs)
        self.plugs, self.embed, self.index_log, self.folder = plugs, embed, index_log, folder
        self.completions_every, self.laps = completions_every, Laps()
        self.rollout: Rollout | None = None

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """Check the rows against the order, then let TRL generate or reuse completions."""
        if self.model.training:
            self.index_log.check(self.state.global_step, generation_batch)
        return super()._prepare_inputs(generation_batch)

    def _calculate_rewards(
        self, inputs: list[dict], prompts: list, completions: list, completion_ids_list: list
    ) -> torch.Tensor:
        """Return TRL's (global n, F) rewards, keeping this process's rollout."""
        self.laps.lap("generation")
        texts = [text_of(one) for one in completions]
        if self.model.training:
            vectors = self.embed(texts)  # before the rewards, so that DRA finds them and the laps stay apart
            self.laps.lap("embedding")
        table = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        if self.model.training:
            first = self.accelerator.process_index * len(prompts)
            weights = self.reward_weights.double().numpy()
            rewards = raw_sum(table[first : first + len(prompts)].double().cpu().numpy(), weights)
            columns = {name: [row.get(name) for row in inputs] for name in ("answer", "scorer", "metadata")}
            adjusted = isinstance(self.reward_funcs[0], DRAReward)
            judged = verdicts(texts, **columns, failed=True)
            self.rollout = Rollout(
                step=self.state.global_step,
                rows=inputs,
                completions=texts,
                completion_ids=completion_ids_list,
                verdicts=[one if one and one.reason in SCORABLE else None for one in judged],
                reasons=[one.reason if one else "" for one in judged],
                raw=self.reward_funcs[0].raw if adjusted else rewards,
                rewards=rewards,
                vectors=vectors,
                group_size=self.num_generations,
            )
            self.laps.lap("rewards")
        return table

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict[str, Any]:
        """Run TRL's rollout, then the advantage seam, the telemetry and the observe seam."""
        self.laps.start()
        output = super()._generate_and_score_completions(inputs)
        if not self.model.training or self.rollout is None:
            return output
        self.rollout.advantages = output["advantages"]
        if self.plugs.advantage is not None:
            output["advantages"] = self._checked(self.plugs.advantage(self.rollout), output)
            self.rollout.advantages = output["advantages"]
        values = observe(self.rollout)
        if self.plugs.observe is not None:
            values |= self.plugs.observe(self.rollout)
        self._record(values | self.laps.taken())
        self._keep(self.rollout)
        return output

    def _keep(self, rollout: Rollout) -> None:
        """Write every so-many-th step's completions."""
        if self.completions_every is None or rollout.step % self.completions_every:
            return
        ended = {*self.eos_token_ids, self.processing_class.pad_token_id}
        save_completions(
            self.folder,
            rollout,
            places=self.index_log.places_of(rollout.rows),
            truncated=[not ids or ids[-1] not in ended for ids in rollout.completion_ids],
            process=self.accelerator.process_index,
            offset=self.index_log.offset,
        )

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        """Return TRL's loss, or what the loss seam makes of it."""
        if self.plugs.loss is None:
            return super()._compute_loss(model, inputs)
        return self.plugs.loss(
            self, model, inputs, lambda: super(SeamTrainer, self)._compute_loss(model, inputs)
        )

    def _checked(self, advantages: torch.Tensor, output: dict[str, Any]) -> torch.Tensor:
        rows, tokens = output["completion_mask"].shape
        if tuple(advantages.shape) not in ((rows,), (rows, tokens)):
            raise InputError(
                "plugs.advantage",
                tuple(advantages.shape),
                f"must have shape ({rows},) or ({rows}, {tokens})",
                "return one advantage per completion or per completion token",
            )
        return advantages.to(output["advantages"])

    def _record(self, values: dict[str, float]) -> None:
        """Average a generation batch's telemetry over processes and hand it to TRL's log."""
        names: Sequence[str] = sorted(values)
        local = torch.tensor(
            [[values[name] for name in names]], dtype=torch.float64 if self.args.use_cpu else torch.float32
        )
        mean = torch.nanmean(self.accelerator.gather(local.to(self.accelerator.device)), dim=0).tolist()
        for name, value in zip(names, mean, strict=True):
            self._metrics["train"][PREFIX + name].append(value if math.isfinite(value) else math.nan)
