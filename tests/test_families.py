"""The nano mix: eight families, covered by the vocabulary, drawn deterministically, with right golds."""

from __future__ import annotations

import json

import pytest
import reasoning_gym

from hammerlib.models.nano.solutions import terms_of
from hammerlib.problems import load_problems
from hammerlib.problems.families import SequenceConfig, SequenceDataset, StoryConfig, StoryDataset
from hammerlib.problems.gym import mix

NANO_MIX = mix("nano")


def draw(topic: str, size: int, seed: int = 5) -> list[dict]:
    dataset, config = NANO_MIX[topic]
    return list(reasoning_gym.create_dataset(dataset, size=size, seed=seed, **config))


@pytest.mark.parametrize("topic", NANO_MIX)
def test_a_family_has_at_least_two_thousand_distinct_prompts(topic: str) -> None:
    assert len({entry["question"] for entry in draw(topic, 3000)}) >= 2000


@pytest.mark.parametrize("topic", NANO_MIX)
def test_the_gold_is_the_sum_of_the_terms_and_scores_one(topic: str) -> None:
    dataset, config = NANO_MIX[topic]
    generator = reasoning_gym.create_dataset(dataset, size=100, seed=1, **config)
    for entry in generator:
        assert sum(terms_of({"metadata": json.dumps(entry["metadata"])})) == int(entry["answer"])
        assert generator.score_answer(entry["answer"], entry) == 1.0
        assert generator.score_answer(str(int(entry["answer"]) + 1), entry) < 1.0


@pytest.mark.parametrize("topic", NANO_MIX)
def test_one_seed_gives_one_set_of_problems(topic: str) -> None:
    assert draw(topic, 20, seed=3) == draw(topic, 20, seed=3) != draw(topic, 20, seed=1_000)


def test_kinds_of_stories_do_not_share_operands() -> None:
    first = [draw(topic, 1)[0]["metadata"]["terms"] for topic in NANO_MIX if topic.endswith("_story")]
    assert len({abs(terms[0]) for terms in first}) > 1


@pytest.mark.parametrize("answer", [None, "", "seven", "7.5", "7 apples"])
def test_an_answer_that_is_no_integer_scores_zero(answer: str | None) -> None:
    story = StoryDataset(StoryConfig(seed=0, size=1))
    assert story.score_answer(answer, {"answer": "7"}) == 0.0
    assert SequenceDataset(SequenceConfig(seed=0, size=1)).score_answer(answer, {"answer": "7"}) == 0.0


def test_impossible_settings_are_refused() -> None:
    stories = ({"kind": "poem"}, {"size": 0}, {"lowest": 0}, {"lowest": 5, "highest": 4})
    for config in (*(StoryConfig(**one) for one in stories), SequenceConfig(min_terms=5, max_terms=4)):
        with pytest.raises(AssertionError):
            config.validate()


def test_the_three_parts_are_disjoint_and_cover_all_families() -> None:
    parts = {
        split: load_problems("reasoning-gym:nano", split=split, n=800)
        for split in ("supervised", "rl", "heldout")
    }
    prompts = {split: set(table["prompt"]) for split, table in parts.items()}
    assert all(set(table["topic"]) == set(NANO_MIX) for table in parts.values())
    assert not prompts["supervised"] & prompts["rl"]
    assert not (prompts["supervised"] | prompts["rl"]) & prompts["heldout"]
