"""Batch arithmetic against TRL's own sampler, and every batch that must be refused."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.training import TrainConfig, schedule_table
from hammerlib.training.schedule import COLUMNS, plan


def trained_by_trl(config: TrainConfig, n: int, processes: int) -> list[tuple[int, int, int, int, int]]:
    """(step, epoch, process, position, step of generation), handed out by TRL's sampler and accelerate."""
    from trl.trainer.utils import RepeatSampler

    accumulation = config.gradient_accumulation
    per_generation = config.steps_per_generation or accumulation
    held = config.prompts_per_step * config.group_size // (processes * accumulation) * per_generation
    sampler = RepeatSampler(
        range(n),
        config.group_size,
        held * processes // config.group_size,
        config.num_iterations * per_generation,
        shuffle=False,
    )
    rows, step, number, generated = set(), 0, 0, 0
    generate_every = config.num_iterations * per_generation  # as TRL counts, over epochs
    for epoch in range(config.epochs):
        stream = list(sampler)
        micro = [stream[i : i + held * processes] for i in range(0, len(stream), held * processes)]
        for start in range(0, len(micro), accumulation):
            step += 1
            for batch in micro[start : start + accumulation]:
                generated = generated if number % generate_every else step
                number += 1
                rows |= {(step, epoch, k // held, position, generated) for k, position in enumerate(batch)}
    return sorted(rows)


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(2, 4),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(1, 4)),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 40),
)
def test_the_table_is_what_trls_sampler_hands_out(
    prompts: int,
    group: int,
    accumulation: int,
    per_generation: int | None,
    iterations: int,
    epochs: int,
    processes: int,
    n: int,
) -> None:
    config = TrainConfig(
        prompts_per_step=prompts,
        group_size=group,
        gradient_accumulation=accumulation,
        steps_per_generation=per_generation,
        num_iterations=iterations,
        epochs=epochs,
        tail="report",
    )
    try:
        plan(config, n, processes)
    except InputError:
        assume(False)
    table = schedule_table(config, n, processes=processes)
    found = sorted(zip(table.step, table.epoch, table.process, table.position, table.generated, strict=True))
    assert found == trained_by_trl(config, n, processes)
    assert table.finished.equals(table.generated) and table.dropped.isna().all()


def test_the_index_column_is_the_row_of_the_problem_table() -> None:
    table = schedule_table(TrainConfig(prompts_per_step=2), 4, permutation=[3, 1, 0, 2])
    assert table["index"].tolist() == [3, 1, 0, 2] and table["position"].tolist() == [0, 1, 2, 3]
    assert table.columns.tolist() == list(COLUMNS)


def test_one_pass_is_n_over_k_steps_and_max_steps_stops_earlier() -> None:
    assert schedule_table(TrainConfig(), 1000).step.max() == 125
    assert schedule_table(TrainConfig(max_steps=12), 1000).step.max() == 12


def test_the_reported_tail_is_never_scheduled() -> None:
    table = schedule_table(TrainConfig(prompts_per_step=4, tail="report", epochs=2), 42)
    assert set(table.position) == set(range(40))


@pytest.mark.parametrize(
    ("values", "n", "words"),
    [
        ({"prompts_per_step": 4}, 42, "use 40 problems"),
        ({}, 7, "at least 8 problems"),
        (
            {"prompts_per_step": 3, "group_size": 4, "gradient_accumulation": 2, "steps_per_generation": 1},
            30,
            "group_size",
        ),
        ({"prompts_per_step": 3, "group_size": 3, "gradient_accumulation": 2}, 30, "multiple of 2"),
        ({"max_steps": 11}, 80, "set epochs: 2"),
        ({"steps_per_generation": 2, "save_steps": 3}, 64, "use save_steps: 4"),
        ({"num_iterations": 3, "save_steps": 2}, 64, "use save_steps: 3"),
        ({"group_size": 0}, 64, "group_size = 0: must be at least 2"),
        ({"group_size": "8"}, 64, "group_size = '8': must be"),
        ({"prompts_per_step": 0}, 64, "prompts_per_step = 0: must be at least 1"),
        ({"gradient_accumulation": 0}, 64, "gradient_accumulation = 0: must be at least 1"),
        ({"tail": "x"}, 65, "tail = 'x': is unknown"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_remedy(values: dict, n: int, words: str) -> None:
    for tell in (plan, schedule_table):
        with pytest.raises(InputError, match=words):
            tell(TrainConfig(**values), n)


@pytest.mark.parametrize("n", ["64", 0, 64.0])
def test_a_schedule_needs_a_number_of_problems(n: object) -> None:
    with pytest.raises(InputError, match=f"^n = {n!r}"):
        schedule_table(TrainConfig(), n)


def test_a_group_split_between_processes_is_refused_where_the_reward_needs_it_whole() -> None:
    config = TrainConfig(prompts_per_step=2, group_size=6, gradient_accumulation=1, adjustment="dra")
    assert plan(config, 4, processes=2).rows == 6
    with pytest.raises(InputError, match=r"group_size = 6.*3 rows x 1 steps.*or set dra_route: trainer"):
        plan(config, 4, processes=4)
    for allowed in (
        {"adjustment": "none"},
        {"dra_route": "trainer"},
        {"adjustment_options": {"scope": "official-local"}},
    ):
        found = plan(dataclasses.replace(config, **allowed), 4, processes=4)
        assert found.positions(0, 1) == [0] and found.positions(0, 2) == [1]
    with pytest.raises(InputError, match=r"so that it does$"):
        plan(dataclasses.replace(config, prompts_per_step=1, gradient_accumulation=2, group_size=6,
                                 steps_per_generation=1), 4)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 12))
def test_an_accepted_save_interval_never_cuts_a_generation_batch(
    per_generation: int, accumulation: int, iterations: int, every: int
) -> None:
    config = TrainConfig(
        prompts_per_step=accumulation,
        group_size=2,
        gradient_accumulation=accumulation,
        epochs=2,
        steps_per_generation=per_generation,
        num_iterations=iterations,
        save_steps=every,
        tail="report",
    )
    try:
        found = plan(config, 24)
    except InputError as error:
        assume(error.field == "save_steps")
        every = int(error.remedy.split(": ")[1])
        found = plan(TrainConfig(**{**vars(config), "save_steps": every}), 24)
    for step in range(every, found.steps, every):
        epoch, micro = found.micro(step - 1)
        assert (micro[-1] + 1) % found.block_length == 0, (epoch, step)


# Blocks of two prompts in two micro-batches, a step each: an epoch of 4 problems is 2 blocks and 4 steps.
SPLIT = TrainConfig(
    order="random", prompts_per_step=1, group_size=2, gradient_accumulation=1, steps_per_generation=2,
    epochs=3,
)  # fmt: skip


def test_exact_resumption_is_counted_within_the_epoch() -> None:
    uneven = dataclasses.replace(SPLIT, gradient_accumulation=2, steps_per_generation=3, prompts_per_step=2)
    found = plan(uneven, 3)  # one block of 3 micro-batches an epoch, 2 steps of 2 and 1
    assert found.steps_per_epoch == 2 and found.steps == 6
    # After the whole epochs only; counted from the start of training, step 4 alone would divide evenly.
    assert [step for step in range(7) if found.resumes_exactly(step)] == [0, 2, 4, 6]


def test_a_last_step_inside_a_block_need_not_resume() -> None:
    # 9 steps end inside a block of 2; every third step is asked for, and none is written at the last.
    found = plan(dataclasses.replace(SPLIT, save_steps=4, max_steps=9), 4)
    assert found.steps == 9
    one_save = dataclasses.replace(SPLIT, save_steps=3, max_steps=3)
    assert plan(one_save, 4).steps == 3 and not plan(one_save, 4).resumes_exactly(3)
    with pytest.raises(InputError, match="save_steps = 3"):
        plan(dataclasses.replace(one_save, max_steps=4), 4)
