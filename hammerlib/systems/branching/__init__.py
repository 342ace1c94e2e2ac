"""What rollouts that branch share: continuing from a token, entropies of tokens, choices that repeat.

Everything is on token ids, never decoded in between: a text tokenised again may be other tokens.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from hammerlib.errors import InputError, check_whole
from hammerlib.systems.branching.sampler import Sampler
from hammerlib.training.generation import generate, scored_tokens
from hammerlib.training.rollout import Generation

__all__ = ["Sampler", "branch", "by_problem", "random_generator", "token_entropies"]


def branch(
    trainer: Any,
    generation: Generation,
    positions: Sequence[int],
    n: int,
    *,
    train_prefix: bool = False,
) -> Generation:
    """Continue every completion from its first tokens, n times each.

    Parameters
    ----------
    trainer : PolicyTrainer
    generation : Generation of m completions
    positions : sequence of m ints
        Tokens that are kept of each completion, below its length; 0 begins anew, so that the token at this
        index is the first that is sampled again.
    n : int
        Branches of each completion.
    train_prefix : bool
        Train the kept tokens as well; by default they are context only.

    Returns
    -------
    Generation
        The m n branches, those of completion i at i n to i n + n - 1. Row, task and group are its own;
        ``forced`` is the position. Not among them: the completions themselves, see `by_problem`.

    Raises
    ------
    InputError
        Positions that do not fit the completions; prompts that are not those of the rows.

    Notes
    -----
    Source: ours, for CURE (arXiv 2508.11016) and ETTRL (arXiv 2508.11356). It works with every engine of the
    trainer, and every process must call it where `generate` must be.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> tokenize = lambda prompts: ([[5]] * len(prompts), None, {})
    >>> stub = SimpleNamespace(max_completion_length=4, eos_token_ids=[1], use_vllm=False,
    ...     accelerator=SimpleNamespace(num_processes=1), _tokenize_prompts=tokenize,
    ...     generation_config=SimpleNamespace(max_new_tokens=4),
    ...     _generate_single_turn=lambda contexts, *more: ([[9, 1]] * len(contexts), None))
    >>> trunk = Generation([{"id": "a", "prompt": "2+2"}], [[5]], [[7, 8, 1]])
    >>> branches = branch(stub, trunk, [2], 2)
    >>> branches.completion_ids, branches.mask[0], branches.forced
    ([[7, 8, 9, 1], [7, 8, 9, 1]], [0, 0, 1, 1], [2, 2])
    """
    check_whole("n", n, 1, "give the number of branches of each completion")
    lengths = [len(ids) for ids in generation.completion_ids]
    fits = len(positions) == len(lengths)
    if not fits or any(not 0 <= kept < length for kept, length in zip(positions, lengths, strict=True)):
        problem = f"are not one for each completion, from 0 to below its tokens {lengths[:8]}"
        raise InputError("positions", list(positions)[:8], problem, "give how many tokens are kept of each")
    parents = [parent for parent in range(len(lengths)) for _ in range(n)]
    prefixes = [generation.completion_ids[parent][: positions[parent]] for parent in parents]
    rows = [generation.rows[parent] for parent in parents]
    branches = generate(trainer, rows, prefixes=prefixes, train_prefix=train_prefix)
    if branches.prompt_ids != [generation.prompt_ids[parent] for parent in parents]:
        remedy = "branch from completions whose prompt is their row's"
        raise InputError("generation", "prompt_ids", "are not those of the rows' prompts", remedy)
    branches.tasks = [generation.tasks[parent] for parent in parents]
    if generation.groups is not None:
        branches.groups = np.repeat(generation.groups, n)
    return branches


def by_problem(*generations: Generation) -> Generation:
    """Return all completions as one generation, those of a problem in a row.

    Problems come in the sequence in which the first generation has them, and completions of one problem in
    the sequence of the generations: trunks before their branches.

    Examples
    --------
    >>> trunks = Generation([{"id": "a"}, {"id": "b"}], [[5]] * 2, [[7], [8]])
    >>> branches = Generation([{"id": "a"}, {"id": "b"}], [[5]] * 2, [[17], [18]])
    >>> by_problem(trunks, branches).completion_ids
    [[7], [17], [8], [18]]
    """
    joined = Generation.join(generations)
    numbers: dict[str, int] = {}
    for row in joined.rows:
        numbers.setdefault(row["id"], len(numbers))
    order = sorted(range(len(joined.rows)), key=lambda place: numbers[joined.rows[place]["id"]])
    return joined.take(order)


def token_entropies(trainer: Any, generation: Generation, *, rows: int = 32) -> list[np.ndarray]:
    """Return the entropy of the policy at every completion token, at the sampling temperature.

    Parameters
    ----------
    trainer : PolicyTrainer
    generation : Generation of m completions
    rows : int
        Completions of one forward pass.

    Returns
    -------
    list of m float64 arrays
        As long as each completion, in nats; entry t is the entropy of the distribution that token t was
        drawn from, forced tokens included.

    Notes
    -----
    Source: Shannon entropy over the whole vocabulary of softmax(logits / temperature), as CURE's code and
    TRL's trainer have it.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from hammerlib import load_backbone
    >>> stub = SimpleNamespace(model=load_backbone("nano").model, temperature=1.0,
    ...     accelerator=SimpleNamespace(num_processes=1))
    >>> entropies = token_entropies(stub, Generation([{"id": "a"}], [[5, 6]], [[7, 8, 9]]))
    >>> entropies[0].shape, bool((entropies[0] > 0).all())
    ((3,), True)
    """
    batches = scored_tokens(trainer, generation.prompt_ids, generation.completion_ids, rows=rows)
    entropies = [row for _, batch, _ in batches for row in batch.double().cpu().numpy()]
    return [row[: len(ids)] for row, ids in zip(entropies, generation.completion_ids, strict=True)]


def random_generator(trainer: Any, *names: str | int, everywhere: bool = False) -> np.random.Generator:
    """Return random numbers for a rollout's own choices, the same ones in a run that resumes.

    They derive from the run's seed, the optimizer step, the process, `names` and how often this step has
    asked under these names.

    Parameters
    ----------
    trainer : PolicyTrainer
    *names : str or int
        What is chosen and of what, such as the problem's id, so that the choices of a step are independent.
    everywhere : bool
        The same numbers on every process.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def at(step):
    ...     return SimpleNamespace(args=SimpleNamespace(seed=0), state=SimpleNamespace(global_step=step),
    ...         accelerator=SimpleNamespace(process_index=0))
    >>> first, again, later = (random_generator(at(step), "cut").integers(1000) for step in (3, 3, 4))
    >>> bool(first == again), bool(first == later)
    (True, False)
    """
    step = trainer.state.global_step
    last, asked = vars(trainer).get("asked_choices", (step, Counter()))
    if last != step:
        asked = Counter()
    trainer.asked_choices = step, asked
    times = asked[names]
    asked[names] += 1
    process = 0 if everywhere else trainer.accelerator.process_index + 1
    named = zlib.crc32(repr(names).encode())
    return np.random.default_rng([trainer.args.seed, step, times, process, named])
