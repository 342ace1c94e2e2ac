"""Cosine products in row blocks."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ordering_samples import gaussian

from hammerlib.errors import InputError
from hammerlib.similarity import (
    as_rows,
    centred_rows,
    edge_cosines,
    host,
    mean_cosine,
    namespace,
    product_blocks,
    row_reduce,
    unit_rows,
)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64])
def test_every_real_type_becomes_unit_rows(kind: type) -> None:
    units = unit_rows((gaussian(20, 5) * 10).round().astype(kind) + np.eye(20, 5, dtype=kind) * 50)
    assert units.dtype == (np.float64 if kind == np.float64 else np.float32)
    np.testing.assert_allclose((units**2).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_stay_tensors_and_give_the_numbers_of_arrays(kind: torch.dtype) -> None:
    tensor = torch.from_numpy(gaussian(30, 6)).to(kind)
    units = unit_rows(tensor)
    assert namespace(units) is torch
    same = unit_rows(tensor.double().numpy())
    np.testing.assert_allclose(host(units), same, atol=1e-6)
    assert mean_cosine(units) == pytest.approx(mean_cosine(same), abs=1e-6)
    order = np.arange(30)[::-1].copy()
    np.testing.assert_allclose(edge_cosines(units, order), edge_cosines(same, order), atol=1e-6)
    largest = row_reduce(units, units, lambda block: block.amax(axis=1), block=7)
    np.testing.assert_allclose(largest, 1, atol=1e-6)


def test_lists_are_rows() -> None:
    assert as_rows([[1, 2], [3, 4]]).shape == (2, 2)
    assert as_rows([]).shape[0] == 0


@pytest.mark.parametrize("scale", [1e-30, 1e-5, 1.0, 1e30])
def test_tiny_and_huge_rows_neither_vanish_nor_overflow(scale: float) -> None:
    rows = gaussian(5, 4).astype(np.float32)
    np.testing.assert_allclose(unit_rows(rows * np.float32(scale)), unit_rows(rows), atol=1e-6)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_rows_without_direction_are_refused_by_name(bad: float, make: object) -> None:
    rows = gaussian(4, 3)
    rows[2] = bad
    with pytest.raises(InputError, match=r"'c'.*1 rows"):
        unit_rows(make(rows), ids=list("abcd"))
    with pytest.raises(InputError, match="row 2"):
        unit_rows(make(rows))


def test_one_nan_is_enough_to_refuse_a_row() -> None:
    rows = gaussian(3, 3)
    rows[1, 2] = np.nan
    with pytest.raises(InputError, match="row 1"):
        unit_rows(rows)


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((3, 0)), np.array([["a"]])])
def test_what_is_no_table_of_numbers_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="embeddings"):
        unit_rows(wrong, field="embeddings")


@given(st.integers(1, 40), st.integers(1, 15))
@settings(max_examples=25, deadline=None)
def test_blocks_together_are_the_whole_product(n: int, block: int) -> None:
    rows, columns = gaussian(n, 4), gaussian(9, 4, seed=1)
    parts = list(product_blocks(rows, columns, block))
    assert [start for start, _ in parts] == list(range(0, n, block))
    np.testing.assert_allclose(np.concatenate([part for _, part in parts]), rows @ columns.T)
    found = row_reduce(rows, columns, lambda part: part.min(axis=1), block)
    np.testing.assert_allclose(found, (rows @ columns.T).min(axis=1))


def test_nothing_reduces_to_nothing() -> None:
    assert row_reduce(np.zeros((0, 3)), np.zeros((2, 3)), lambda part: part.sum(axis=1)).shape == (0,)


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_the_closed_form_is_the_mean_over_all_pairs(n: int, d: int, seed: int) -> None:
    units = unit_rows(gaussian(n, d, seed))
    full = units @ units.T
    assert mean_cosine(units) == pytest.approx(full[~np.eye(n, dtype=bool)].mean(), abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_closed_form_is_the_mean_edge_over_all_orders(n: int) -> None:
    units = unit_rows(gaussian(n, 3))
    means = [edge_cosines(units, np.array(order)).mean() for order in itertools.permutations(range(n))]
    assert mean_cosine(units) == pytest.approx(np.mean(means), abs=1e-12)


def test_fewer_than_two_rows_have_no_pair() -> None:
    assert np.isnan(mean_cosine(np.eye(1)))
    assert edge_cosines(np.eye(1), np.array([0])).shape == (0,)


def test_edges_across_block_borders_are_all_there() -> None:
    units = unit_rows(gaussian(2500, 3))
    order = np.random.default_rng(1).permutation(2500)
    expected = (units[order[:-1]] * units[order[1:]]).sum(axis=1)
    np.testing.assert_allclose(edge_cosines(units, order), expected, atol=1e-12)


def test_centring_removes_the_shared_part() -> None:
    units = unit_rows(gaussian(200, 8) + 5)
    assert mean_cosine(units) > 0.9
    assert abs(mean_cosine(centred_rows(units))) < 0.05


def test_a_row_that_equals_the_mean_is_refused_by_name() -> None:
    same = unit_rows(np.ones((3, 4), dtype=np.float32))
    with pytest.raises(InputError, match=r"'a', 'b', 'c'"):
        centred_rows(same, ids=list("abc"))


def test_memory_grows_with_rows_not_with_pairs() -> None:
    rows = gaussian(6000, 16).astype(np.float32)
    tracemalloc.start()
    units = unit_rows(rows)
    row_reduce(units, units, lambda part: part.min(axis=1), block=128)
    mean_cosine(units)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6000 * 6000 * 4 / 8  # an eighth of the float32 matrix of pairs
