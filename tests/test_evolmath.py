"""EvolMathEval: exact solving, the necessity test, operators, crossover, fitness, evolution, distractors."""

from __future__ import annotations

import hashlib
import json
import random
import re
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hammerlib import grade, load_problems
from hammerlib.errors import InputError
from hammerlib.evaluation import load_benchmark
from hammerlib.systems.evolmath import (
    OPERATORS,
    cross,
    disturb_table,
    evolve,
    evolve_table,
    follow_metrics,
    follow_table,
    is_necessary,
    seed_problem,
)
from hammerlib.systems.evolmath.evolution import (
    WEIGHTS,
    can_cross,
    cross_pairs,
    entropy,
    first_number,
    grade_level,
    is_linked,
    is_low,
    measure,
    ratio,
    scores,
    stories_of,
)
from hammerlib.systems.evolmath.following import simulate
from hammerlib.systems.evolmath.operators import (
    approximate,
    background,
    confused,
    disturb,
    irrelevant,
    is_needed,
    misleading,
    translate,
    useless,
)
from hammerlib.systems.evolmath.problem import (
    BANKS,
    THEMES,
    Item,
    Link,
    Part,
    Passage,
    Relation,
    Story,
    draw_rows,
    rank,
    released_is_necessary,
    solve,
    value_of,
)

HALF = Fraction(1, 2)
# Rows over x, y, z, m, n. x - z is fixed by the fourth alone, so the first is not needed for n + x - z.
FALSE_ACCEPT = [[1, 0, 0, 0, 0], [0, -HALF, 0, 0, 0], [0, 0, 0, -1, 0], [4, 0, -4, 0, 0], [2, 0, -2, 0, 2]]
COUSIN = [*FALSE_ACCEPT[:4], [1, 0, 0, 1, 1]]  # n + x + m: x comes from the first alone
ADDING = (approximate, useless, confused, translate, misleading, background, irrelevant)


def relation(right: float, sign: str = "=", **terms: float) -> Relation:
    """A relation from its coefficients."""
    return Relation(tuple((name, Fraction(value)) for name, value in terms.items()), Fraction(right), sign)


# Exact algebra


def test_rank_and_values_are_exact() -> None:
    assert rank([[Fraction(1, 3), 1], [1, 3]]) == 1  # floats would see 2
    # x + y = 3, x - y = 1
    assert [value_of([[1, 1], [1, -1]], [3, 1], i) for i in (0, 1)] == [2, 1]
    assert value_of([[1, 1, 0], [0, 0, 2]], [3, 1], 2) == HALF and value_of([[1, 1, 0]], [3], 0) is None
    with pytest.raises(InputError, match="contradict each other"):
        value_of([[1, 1], [2, 2]], [3, 5], 0)


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=5))
def test_rank_is_numpys(rows: list[list[int]]) -> None:
    assert rank(rows) == np.linalg.matrix_rank(np.array(rows, dtype=float))


def test_the_necessity_test_is_exact_where_the_released_one_fails_both_ways() -> None:
    assert not is_necessary(FALSE_ACCEPT) and released_is_necessary(FALSE_ACCEPT)
    assert is_necessary(COUSIN) and not released_is_necessary(COUSIN)


def test_the_shares_of_systems_are_the_published_ones() -> None:
    # Of 20,000 random full-rank systems 15,059 need their first equation; the released test accepts 2,161,
    # rejects 12,904 that need it and accepts 6 that do not: 75.3, 10.8, 64.5 and .03 %. Here 1,500 of them.
    rng, verdicts = random.Random(0), []
    while len(verdicts) < 1500:
        rows = draw_rows(rng)
        if rank([row[:4] for row in rows[:4]]) == 4:
            verdicts.append((is_necessary(rows), released_is_necessary(rows)))
    exact, released = np.array(verdicts).T
    shares = [exact.mean(), released.mean(), (exact & ~released).mean(), (released & ~exact).mean()]
    for share, known in zip(shares, (15059, 2161, 12904, 6), strict=True):
        p = known / 20_000
        assert share == pytest.approx(p, abs=3.5 * (p * (1 - p) / 1500) ** 0.5)


def test_necessary_means_open_without_the_first_equation() -> None:
    rng, both = random.Random(0), set()
    for _ in range(300):
        rows = draw_rows(rng)
        if rank([row[:4] for row in rows[:4]]) < 4:
            continue
        needed = value_of(rows[1:], [0] * 4, 4) is None
        assert is_necessary(rows) == needed
        both.add(needed)
    assert both == {True, False}


@pytest.mark.parametrize("seed", range(20))
def test_every_seed_is_solvable_whole_and_needs_its_first_equation(seed: int) -> None:
    item = seed_problem(random.Random(seed))
    (part,) = item.parts
    assert item.answer.denominator == 1 and 1 <= item.answer <= 20 and is_needed(item)
    assert [len(one.terms) <= 3 for one in part.equations] == [True] * 5
    assert all("n" not in dict(one.terms) for one in part.equations[:4]) and "n" in dict(
        part.equations[4].terms
    )
    allowed = {Fraction(c) for c in range(-5, 6) if c} | {HALF, -HALF}
    assert {c for one in part.equations for _, c in one.terms} <= allowed


# Operators


@pytest.mark.parametrize("operator", ADDING, ids=lambda one: one.__name__)
@pytest.mark.parametrize("seed", range(5))
def test_operators_leave_equations_and_answer_alone(operator: object, seed: int) -> None:
    rng = random.Random(seed)
    item = seed_problem(rng)
    made = operator(item, rng)
    assert made.parts[0].equations == item.parts[0].equations and made.answer == item.answer
    assert made.operators == (*item.operators, operator.__name__) and len(made.text()) > len(item.text())


def test_the_fuzzy_relation_joins_a_fixed_variable_and_n() -> None:
    # 5m = 40 is the only equation in one variable.
    first = (relation(7, x=1, y=1), relation(40, m=5), relation(3, x=1, z=1), relation(4, y=1, z=1))
    item = Item((Part((*first, relation(20, m=1, n=4))),))  # m = 8, n = 3
    for seed in range(30):
        made = approximate(item, random.Random(seed))
        (fuzzy,) = [one.relation for one in made.parts[0].noise]
        assert set(dict(fuzzy.terms)) == {"m", "n"} and 10 <= abs(fuzzy.right - 40) <= 30
        assert fuzzy.sign in BANKS["fuzzy_signs"]
        # n from the relation as an equation, with m = 8
        terms = dict(fuzzy.terms)
        assert made.shortcut == (fuzzy.right - 8 * terms["m"]) / terms["n"] != made.answer == 3


def test_without_a_fixed_variable_the_last_equation_is_bent() -> None:
    first = (relation(7, x=1, y=1), relation(8, m=1, x=1), relation(3, x=1, z=1), relation(4, y=1, z=2))
    item = Item((Part((*first, relation(20, m=1, n=4))),))
    for seed in range(20):
        (fuzzy,) = [one.relation for one in approximate(item, random.Random(seed)).parts[0].noise]
        assert dict(fuzzy.terms)["n"] == 4 and 10 <= abs(fuzzy.right - 20) <= 30
        assert set(dict(fuzzy.terms)) - {"m", "n"}  # another variable came in


def test_noise_speaks_of_what_it_should() -> None:
    rng = random.Random(2)
    item = useless(seed_problem(rng), rng)
    assert {v for one in item.parts[0].noise for v, _ in one.relation.terms} == {"a", "b", "c"}
    told = translate(confused(item, rng), rng)
    theme = THEMES[told.parts[0].theme]
    assert not any(f" {name} " in f" {told.text()} " for name in "xyzmn") and theme["n"] in told.text()
    assert all(len(text.split()) < 100 for text in BANKS["background"])
    twice = irrelevant(irrelevant(told, rng), rng)
    assert len({one.text for one in twice.extras}) == 6


def test_a_bank_that_is_used_up_is_told_and_not_recorded() -> None:
    rng = random.Random(2)
    item = seed_problem(rng)
    for _ in range(len(BANKS["irrelevant"]) // 3):
        item = irrelevant(item, rng)
    assert len({one.text for one in item.extras}) == len(item.extras) == 3 * (len(BANKS["irrelevant"]) // 3)
    with pytest.raises(InputError, match=r"item = .*: holds all but 2 of the 14 sentences already"):
        irrelevant(item, rng)


def test_a_problem_in_symbols_reads_as_written() -> None:
    part = Part((relation(-3, x=-1, y=0.5), relation(8, x=2, n=-1)))
    assert Item((part,)).text() == "-x + 0.5y = -3. 2x - n = 8. What is n?"
    themed = Item((Part(part.equations, theme="market"),)).text()
    assert themed.startswith(
        "Minus the number of apples plus half the number of pears equals -3. 2 times the"
    )


# Crossover


def test_ratios_are_exact_fractions() -> None:
    assert ratio(6, 4) == Fraction(3, 2) and Fraction(3, 2) * 4 == 6
    assert ratio(Fraction(-5, 2), 4) == Fraction(-5, 8) and ratio(6, 3) == 2
    with pytest.raises(InputError, match="cannot stand for another number"):
        ratio(6, None)


def test_the_first_written_number_is_replaced() -> None:
    assert first_number(relation(8, x=1, z=-4)) == (1, -4)
    assert first_number(relation(8, x=1, z=-1)) == (-1, 8)
    assert first_number(relation(8, x=-0.5)) == (0, -HALF)


@pytest.mark.parametrize("seed", range(10))
def test_a_chain_keeps_both_answers_and_needs_the_first(seed: int) -> None:
    rng = random.Random(seed)
    one, two = (translate(seed_problem(rng), rng) for _ in range(2))
    both = cross(one, two)
    assert both.answers == [one.answer, two.answer] and is_needed(both)
    link = both.parts[1].link
    assert link.ratio * one.answer == first_number(two.parts[0].equations[1])[1]
    assert "the answer to question 1" in both.text() and both.parts[0].theme != both.parts[1].theme
    with pytest.raises(InputError, match="needs the answer of the part before"):
        both.parts[1].with_number(None)


def test_a_zero_is_no_number_that_an_answer_stands_for() -> None:
    def problem(right: float) -> Item:
        return Item((Part((relation(2, x=1), relation(right, x=1, n=-1))),), operators=("seed",))

    some, none = (
        problem(1),
        problem(0),
    )  # n = 1, and n = 2 from x - n = 0, in which no other number is written
    assert [can_cross(some, some), can_cross(some, none), can_cross(none, some)] == [True, False, True]
    with pytest.raises(InputError, match="second = '0': is no number that an answer can stand for"):
        cross(some, none)
    kept = cross_pairs([some, none])
    assert kept[0] == some and len(kept[1].parts) == 2  # only the second order can be crossed
    assert not can_cross(Item((Part((relation(0, n=1),)),)), some)  # an answer of 0


def test_a_chain_tells_the_operators_of_both() -> None:
    rng = random.Random(4)
    one, two = useless(seed_problem(rng), rng), confused(seed_problem(rng), rng)
    assert cross(one, two).operators == ("seed", "useless", "seed", "confused", "cross")


def test_only_an_equation_that_is_needed_ties_the_answer_to_the_first() -> None:
    rng = random.Random(0)
    seeds = [seed_problem(rng) for _ in range(60)]
    pairs = list(zip(seeds[::2], seeds[1::2], strict=True))
    pairs = [pair for pair in pairs if all(can_cross(*pair, equation=place) for place in (0, 1))]
    assert len(pairs) > 25
    # The paper's place: for some chains the first answer does not matter at all.
    assert {is_linked(cross(one, two)) for one, two in pairs} == {True, False}
    for one, two in pairs:
        made = cross(one, two, equation=0)
        assert is_linked(made) and made.answer == two.answer
        wrong = made.parts[1].with_number(one.answer + 1)
        assert solve(wrong.equations) != two.answer


def test_pairs_cross_in_both_orders_and_second_neighbours_later() -> None:
    items = [seed_problem(random.Random(seed)) for seed in range(6)]
    answers = [item.answer for item in items]
    assert [one.answers for one in cross_pairs(items[:4])] == [
        [answers[a], answers[b]] for a, b in ((0, 1), (1, 0), (2, 3), (3, 2))
    ]
    assert [one.answers for one in cross_pairs(items, 2)][:4] == [
        [answers[a], answers[b]] for a, b in ((0, 2), (1, 3), (2, 0), (3, 1))
    ]
    chain = cross(cross(items[0], items[1]), cross(items[2], items[3]))
    assert chain.answers == answers[:4]


# Fitness


def test_fitness_by_hand() -> None:
    # Three rows in the order of the weights; constant columns count nothing.
    low = [0, 100, 5, 2, 4, 5, 5, 0, 0.0, 0]
    mid = [5, 150, 5, 2, 5, 6, 5, 1, 0.2, 1]
    top = [10, 200, 5, 2, 6, 9, 5, 2, 0.4, 2]
    # mid: -.13/2 + .09/2 + .15/2 - .15/4 + .20/2 = 0.1175; top: -.13 + .09 + .15 - .15 + .20 = 0.16
    assert scores([low, mid, top]) == pytest.approx([0.0, 1.175, 1.6])
    # A score is relative to its set: without the first, the others are its ends.
    assert scores([mid, top]) == pytest.approx([0.0, 1.6])
    assert sum(WEIGHTS.values()) == pytest.approx(-0.04)
    signs = np.sign(list(WEIGHTS.values()))
    assert scores([signs < 0, signs > 0]) == pytest.approx([-5.3, 4.9])
    with pytest.raises(InputError, match="10 weights"):
        scores([[1.0]])


def test_the_low_part_is_below_the_threshold_or_lowest_in_anything() -> None:
    features = np.column_stack([np.arange(200.0), np.ones(200)])
    fitness = np.zeros(200)
    fitness[[7, 9]] = [-0.5, -0.51]
    # The first percentile of 0..199 is 1.99: rows 0 and 1; -0.5 itself is not below.
    assert np.flatnonzero(is_low(features, fitness)).tolist() == [0, 1, 9]


def test_text_measures_by_hand() -> None:
    assert entropy("red red blue green") == 1.5  # 1/2, 1/4, 1/4
    # 5 words, 1 sentence, syllables 1 + 1 + 1 + 2 + 2: 0.39 * 5 + 11.8 * 7/5 - 15.59
    assert grade_level("We see the little garden.") == pytest.approx(0.39 * 5 + 11.8 * 7 / 5 - 15.59)
    rng = random.Random(0)
    plain = seed_problem(rng)
    noisy = irrelevant(plain, rng)
    before, after = measure([plain, noisy])
    column = list(WEIGHTS).index
    assert before[column("noise_ratio")] == 0 < after[column("noise_ratio")] < 1
    assert after[column("words")] > before[column("words")] and before[column("equations")] == 5
    assert measure([plain], referee=[9.0])[0, 0] == 9.0


# Evolution and the source


def test_evolution_keeps_answers_and_touches_the_low_part_once_more() -> None:
    rng = random.Random(3)
    seeds = [seed_problem(rng) for _ in range(24)]
    made = evolve(seeds, rng)
    assert [one.answers[-1] for one in made.first[:2]] == [seeds[1].answer, seeds[0].answer]
    for one in made.final:  # what is recorded was really added: three facts and one story each time
        kinds = [extra.kind for extra in one.extras]
        assert kinds.count("irrelevant") <= 3 * one.operators.count("irrelevant")
        assert kinds.count("irrelevant") >= 3 * one.generation and kinds.count("background") >= one.generation
    assert all(is_needed(one) for one in (*made.first, *made.final))
    for place in range(24):
        again = made.final[place]
        assert again.generation == (2 if made.low[place] else 1)
        assert (again == made.first[place]) == (not made.low[place])
    assert 0 < made.low.sum() < 24
    assert made.low.tolist() == is_low(measure(made.first), made.fitness).tolist()


def test_a_judge_enters_the_fitness() -> None:
    seeds = [seed_problem(random.Random(seed)) for seed in range(6)]
    plain = evolve(seeds, random.Random(0))
    judged = evolve(seeds, random.Random(0), judge=lambda items: [0.0, *[10.0] * (len(items) - 1)])
    # The first is judged 0, the others 10: they lose 1.3.
    assert judged.fitness - plain.fitness == pytest.approx([0.0] + [-1.3] * 5)


TERM = re.compile(r"([+-]?)\s*(\d+(?:\.\d+|/\d+)?)?([xyzmn])")


def solved(lines: list[str]) -> Fraction:
    """The value of n by Cramer's rule from what is written: another solver than the module's."""
    rows = []
    for line in lines:
        left, right = line.split(" = ")
        row = dict.fromkeys("xyzmn", Fraction(0))
        for sign, number, name in TERM.findall(left):
            row[name] += Fraction(number or 1) * (-1 if sign == "-" else 1)
        rows.append([*row.values(), Fraction(right)])
    assert len(rows) == 5
    whole = [row[:5] for row in rows]
    swapped = [[*row[:4], row[5]] for row in rows]
    return determinant(swapped) / determinant(whole)


def determinant(rows: list[list[Fraction]]) -> Fraction:
    """By cofactors."""
    if len(rows) == 1:
        return rows[0][0]
    minors = ([row[:i] + row[i + 1 :] for row in rows[1:]] for i in range(len(rows)))
    return sum((-1) ** i * rows[0][i] * determinant(minor) for i, minor in enumerate(minors) if rows[0][i])


@pytest.mark.parametrize("name", ["seed", "targeted", "evolved"])
def test_generated_problems_are_a_source(name: str) -> None:
    table = load_problems(f"evolmath:{name}", n=10, seed=4)
    assert table.to_list() == load_problems(f"evolmath:{name}", n=10, seed=4).to_list()
    for row in table:
        notes = json.loads(row["metadata"])
        # The recorded answers are those of the recorded equations, worked out by another solver.
        found = [solved(lines) for lines in notes["binding"]]
        assert [str(one) for one in found] == notes["answers"] and str(found[-1]) == row["answer"]
        assert grade(rf"\boxed{{{row['answer']}}}", row).correct
        assert (notes["shortcut"] != "") == (name != "seed") and notes["shortcut"] != row["answer"]
    held = load_problems(f"evolmath:{name}", split="heldout", n=10, seed=4)
    assert not set(held["prompt"]) & set(table["prompt"])


def test_two_runs_write_identical_files(tmp_path: object) -> None:
    digests = set()
    for name in ("first", "second"):
        load_problems("evolmath:evolved", n=8, seed=9).to_json(tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1 and (tmp_path / "first").stat().st_size > 1000


def test_an_unknown_set_is_named() -> None:
    with pytest.raises(InputError, match="problems = 'evolmath:hard': is unknown; use seed, targeted"):
        load_problems("evolmath:hard")
    with pytest.raises(InputError, match="split = 'dev'"):
        load_problems("evolmath:seed", split="dev")


def test_a_sign_or_a_missing_answer_is_never_right() -> None:
    for said in (r"\boxed{-7}", "", r"\boxed{}", r"\boxed{1/2}"):
        assert not grade(said, "7").correct
    assert not grade(r"\boxed{1}", r"1/2").correct
    # Nothing equals nothing: without a gold no answer is right, and a missing answer least of all.
    for said in ("", r"\boxed{}", "no answer"):
        assert [grade(said, gold).correct for gold in ("", " ")] == [False, False]


# Public sets


def test_sentences_stand_before_the_question_and_change_no_number() -> None:
    prompt = "Ann has 3 figs. She buys 4 more. How many figs does she have?"
    for name in OPERATORS:
        made = disturb(prompt, "7", [name], random.Random(5))
        assert (
            made.prompt.endswith("How many figs does she have?")
            and "Ann has 3 figs. She buys 4 more." in made.prompt
        )
        assert (made.shortcut != "") == (name == "approximate") and made.added == (name,)
    assert disturb("Compute 3 + 4.", "7", ["control"], random.Random(0)).prompt.endswith(" Compute 3 + 4.")
    estimates = {int(disturb(prompt, "7", ["approximate"], random.Random(s)).shortcut) for s in range(60)}
    assert estimates <= set(range(17, 38)) and len(estimates) > 10  # 7 + 10..30; below 0 it does not go
    assert disturb(prompt, "1/2", ["approximate"], random.Random(0)).added == ()
    with pytest.raises(InputError, match="operators = 'polish'"):
        disturb(prompt, "7", ["polish"], random.Random(0))


def test_a_disturbed_table_keeps_answers_and_scorers() -> None:
    table = load_problems("reasoning-gym:nano", n=20)
    made = disturb_table(table, ["approximate", "irrelevant"], seed=1)
    assert made["answer"][:] == table["answer"][:] and made["scorer"][:] == table["scorer"][:]
    assert made.to_list() == disturb_table(table, ["approximate", "irrelevant"], seed=1).to_list()
    for row in made:
        assert grade(rf"\boxed{{{row['answer']}}}", row).correct
        assert not grade(rf"\boxed{{{json.loads(row['metadata'])['shortcut']}}}", row).correct
    assert len(load_problems("evolmath:reasoning-gym:nano", split="heldout", n=5)) == 5


def test_the_first_number_of_a_text() -> None:
    for prompt, number in (
        ("Ann pays $1,250.50 for 3.", Fraction(2501, 2)),
        ("On 3/4 of 2 days", 2),  # a quotient is no number on its own
        ("At 10:30 the 2nd of 4-6 cats gets 50% of it", 50),
        ("A 16-ounce cup", 16),
        ("It ended in 2019.", 2019),
        ("None here", None),
    ):
        assert Passage("", prompt, "1").number == number
    assert [Passage("", "", answer).value for answer in ("1,200", "-1/2", "2.5", "x", "1/0")] == [
        1200, -HALF, Fraction(5, 2), None, None
    ]  # fmt: skip


def test_texts_cross_by_an_exact_ratio() -> None:
    figs = Story(
        (Passage("a", "Ann has 3 figs and buys 1 more. How many has she now?", "4"),), operators=("seed",)
    )
    pens = Story((Passage("b", "Bob buys 6 pens for $2 each. What does he pay?", "12"),), operators=("seed",))
    both = cross(figs, pens)
    assert both.passages[1].ratio == Fraction(3, 2)  # 6 / 4
    assert both.text() == (
        "Question 1: Ann has 3 figs and buys 1 more. How many has she now? Question 2: Let X1 be 3/2 times "
        "the answer to question 1. Bob buys X1 pens for $2 each. What does he pay? "
        "Give the answer to the last question."
    )
    assert both.answers == [4, 12] and both.operators == ("seed", "seed", "cross")
    # Back again: 3 = 1/4 of 12. Chains chain on: the head of the second takes the last answer of the first.
    long = cross(both, cross(pens, figs))
    assert [one.ratio for one in long.passages] == [None, Fraction(3, 2), HALF, Fraction(1, 4)]
    assert "Let X2 be 1/2 times the answer to question 2. Bob buys X2 pens" in long.text()
    words = Story((Passage("c", "Who is it?", "Ann"),))
    assert not can_cross(words, figs) and not can_cross(figs, words)


def test_a_public_set_evolves_with_fitness_and_selection() -> None:
    table = load_problems("reasoning-gym:nano", n=40, seed=2)
    seeds = stories_of(table)
    made = evolve(seeds, random.Random(5))
    assert 0 < made.low.sum() < 40
    assert made.low.tolist() == is_low(measure(made.first), made.fitness).tolist()
    for place, one in enumerate(made.final):
        assert one.generation == (2 if made.low[place] else 1)
        assert (one == made.first[place]) == (not made.low[place])
        assert {"approximate", "useless", "confused", "misleading", "background", "irrelevant"} <= set(
            one.operators
        )
    assert max(len(one.passages) for one in made.final) == 4
    crossed = [one for one in made.first if len(one.passages) == 2]
    assert len(crossed) > 30 and crossed[0].answer == seeds[1].answer
    for one in made.final:
        for before, passage in zip(one.answers, one.passages[1:], strict=False):
            assert (
                passage.ratio * before == passage.number
            )  # X is the number it stands for, so the gold holds


def test_an_evolved_table_keeps_golds_and_scorers() -> None:
    table = load_problems("reasoning-gym:nano", n=16, seed=2)
    made = evolve_table(table, seed=1)
    assert made.to_list() == evolve_table(table, seed=1).to_list() != evolve_table(table, seed=2).to_list()
    rows = {row["id"]: row for row in table}
    for row in made:
        notes = json.loads(row["metadata"])
        last = rows[notes["made_of"][-1]]
        assert (row["answer"], row["scorer"], row["topic"]) == (last["answer"], last["scorer"], last["topic"])
        assert notes["answers"] == [rows[name]["answer"] for name in notes["made_of"]]
        assert grade(rf"\boxed{{{row['answer']}}}", row).correct
        assert not grade(rf"\boxed{{{notes['shortcut']}}}", row).correct


def test_gsm8k_evolves(data_dir: object) -> None:
    table = load_problems("evolmath:gsm8k", n=60, seed=1)
    plain = {row["id"]: row for row in load_problems(f"file:{data_dir}/gsm8k_test.jsonl")}
    notes = [json.loads(row) for row in table["metadata"]]
    assert len(table) == 60 and sum(bool(one["shortcut"]) for one in notes) > 50
    assert sum(len(one["made_of"]) > 1 for one in notes) > 50
    for note, row in zip(notes, table, strict=True):
        assert note["shortcut"] != row["answer"] == plain[note["made_of"][-1]]["answer"]
        last = plain[note["made_of"][-1]]["prompt"].strip()
        assert re.sub(r"X\d+", "", row["prompt"]).count(last.rpartition(". ")[2][-25:]) >= 1


def test_a_benchmark_has_neither_split_nor_columns(data_dir: object) -> None:
    for bad in ({"split": "train"}, {"split": "anything"}, {"columns": {"prompt": "question"}}):
        with pytest.raises(InputError, match=f"{next(iter(bad))} = .*gsm8k is a benchmark"):
            load_problems("evolmath:gsm8k", **bad)
    assert len(load_benchmark("evolmath:aime24")) == 30  # evaluation asks for no part of it either


# Who follows


def test_following_is_counted_per_problem() -> None:
    table = load_problems("evolmath:targeted", n=3)
    notes = [json.loads(row) for row in table["metadata"]]
    said = []
    for row, note in zip(table, notes, strict=True):
        for text in (row["answer"], note["shortcut"], note["shortcut"], "999"):
            said.append({"id": row["id"], "completion": rf"\boxed{{{text}}}"})
        said.append({"id": row["id"], "completion": "no answer"})
    found = follow_table(table, pd.DataFrame(said))
    assert found[["n", "correct", "followed"]].values.tolist() == [[5, 1, 2]] * 3
    metrics = follow_metrics(found)
    # 4 errors of 5 each, 2 of them the shortcut
    found = [metrics[m].value for m in ("accuracy", "followed", "followed of errors")]
    assert found == pytest.approx([0.2, 0.4, 0.5])
    with pytest.raises(InputError, match="is not in both"):
        follow_table(table, pd.DataFrame(said[:-5]))


def test_a_policy_of_known_haste_is_measured_as_such() -> None:
    table = load_problems("evolmath:targeted", n=120)
    metrics = follow_metrics(follow_table(table, simulate(table, hasty=0.6, careless=0.25, k=4, seed=1)))
    # Right 0.4 * 0.75 = 0.3, follows 0.6, of errors 0.6 / 0.7
    for name, expected in (("accuracy", 0.3), ("followed", 0.6), ("followed of errors", 0.6 / 0.7)):
        one = metrics[name]
        assert one.low - 0.02 <= expected <= one.high + 0.02 and one.low < one.value < one.high
    perfect = follow_metrics(follow_table(table, simulate(table, hasty=0.0, careless=0.0, k=1)))
    assert perfect["accuracy"].value == 1 and np.isnan(perfect["followed of errors"].value)


def test_links_carry_their_place() -> None:
    part = Part(
        (relation(1, x=1), relation(6, x=6, y=1), relation(5, y=1, n=1)), link=Link(1, -1, Fraction(3, 2))
    )
    assert part.with_number(Fraction(4)).equations[1] == relation(6, x=6, y=1)
    assert part.with_number(Fraction(8)).equations[1].right == 12
