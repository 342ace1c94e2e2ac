"""Tools and environments by name: a small model that learnt to call one, trained in order, with DRA."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import trl
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hammerlib.errors import InputError
from hammerlib.models.backbone import save_backbone
from hammerlib.rewards.shape import text_of
from hammerlib.training import Algorithm, Rollout, TrainConfig, train
from hammerlib.training.run import prepare


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


def bare(a, b):
    return a + b


class Desk:
    """A desk calculator that knows which problem lies on it."""

    def reset(self, **row: object) -> str:
        """Take the next problem."""
        self.row, self.presses = row, 0
        return " Use the desk."

    def add(self, a: int, b: int) -> int:
        """Add two numbers.

        Args:
            a: The first.
            b: The second.
        """
        self.presses += 1
        return a + b


class Paid(Desk):
    """One that has a reward of its own."""

    def get_reward(self) -> float:
        """Pay for every key."""
        return float(self.presses)


def pressed(environments: list[Desk], id: list[str], **columns: object) -> list[float]:
    """Reward a completion whose desk was used, and which is that of its own problem."""
    assert [desk.row["id"] for desk in environments] == id
    return [float(desk.presses > 0) for desk in environments]


CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 3}}\n</tool_call><|im_end|>'
PROBLEMS = [
    {"id": f"p{k}", "prompt": f"What is {k} and {5 - k}?", "answer": "5", "topic": "sums"} for k in range(8)
]


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with Qwen3's chat template that mostly calls `add` and then says what came out."""
    template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    marks = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    inner.train_from_iterator([template, CALL, *(row["prompt"] for row in PROBLEMS)], trainer)
    inner.add_tokens(marks)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=template
    )
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, **shape))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    texts = []
    for row in PROBLEMS[:2]:
        for said in ("", " Use the desk."):
            asked = [{"role": "user", "content": row["prompt"] + said}]
            prompt = tokenizer.apply_chat_template(
                asked, tools=[add], add_generation_prompt=True, tokenize=False
            )
            answered = "\n<|im_start|>user\n<tool_response>\n5\n</tool_response><|im_end|>\n"
            start = len(tokenizer(prompt).input_ids)
            heard = tokenizer(prompt + CALL + answered + "<|im_start|>assistant\n").input_ids
            called = len(tokenizer(prompt + CALL).input_ids)
            whole = heard + tokenizer("\\boxed{5}<|im_end|>").input_ids
            labels = [
                token if start <= place < called or place >= len(heard) else -100
                for place, token in enumerate(whole)
            ]
            texts.append((whole, labels))
    width = max(len(whole) for whole, _ in texts)
    ids = torch.tensor([whole + [0] * (width - len(whole)) for whole, _ in texts])
    labels = torch.tensor([row + [-100] * (width - len(row)) for _, row in texts])
    mask = torch.tensor([[1] * len(whole) + [0] * (width - len(whole)) for whole, _ in texts])
    for _ in range(150):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("caller") / "model"
    save_backbone(model.eval(), tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def config(caller: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    table = tmp_path_factory.mktemp("problems") / "sums.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in PROBLEMS))
    return TrainConfig(
        backbone=str(caller), problems=f"file:{table}", split=None, n_problems=None, template="chat",
        order="hammer", adjustment="dra", tools=("test_tools:add",), prompts_per_step=4, group_size=4,
        max_completion_length=96, temperature=0.5, learning_rate=1e-3, save_steps=1,
    )  # fmt: skip


def table(folder: Path) -> pd.DataFrame:
    return pd.concat(pd.read_parquet(file) for file in sorted((folder / "completions").glob("*.parquet")))


def test_tools_are_called_and_what_they_answer_is_not_the_models(config: TrainConfig, tmp_path: Path) -> None:
    run = train(config, root=tmp_path, progress=False)
    rows = table(run.folder)
    used = rows[rows["forced"] > 0]
    assert len(used) > len(rows) / 2 and (used["n_tokens"] > used["forced"]).all()
    assert used["correct"].mean() > 0.5
    assert not used["completion"].str.contains("tool_response").any()
    metrics = run.table("metrics.csv").set_index("metric")["value"]
    assert metrics["tools/call_frequency"].mean() > 0.5
    assert metrics["tools/failure_frequency"].mean() < 0.2
    assert metrics["sampled_tokens"].max() == (rows["n_tokens"] - rows["forced"]).sum()
    assert metrics["dra/mean_weight"].notna().all()


class Stops(Algorithm):
    """Ends the run in its second step, once."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def observe(self, rollout: Rollout) -> dict[str, float]:
        if rollout.step == 1 and not self.mark.exists():
            self.mark.touch()
            raise KeyboardInterrupt
        return {}


class Rolls(Algorithm):
    """Has a rollout of its own."""

    def rollout(self, rows: list[dict], trainer: object) -> object:
        raise AssertionError


@pytest.mark.long
def test_an_environment_is_told_its_row_and_a_stopped_run_resumes(
    config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        config, tools=(), environment="test_tools:Desk", rewards=("accuracy", "test_tools:pressed")
    )
    whole = train(config, root=tmp_path / "a", progress=False)
    assert whole.table("metrics.csv").set_index("metric")["value"]["raw/pressed"].mean() > 0.3
    with pytest.raises(KeyboardInterrupt):
        train(config, root=tmp_path / "b", algorithms=[Stops(tmp_path / "mark")], progress=False)
    again = train(config, root=tmp_path / "b", algorithms=[Stops(tmp_path / "mark")], progress=False)
    assert again.manifest["resumed_from_step"] == 1
    files = [run.folder / "model" / "model.safetensors" for run in (whole, again)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.long
def test_a_reward_of_the_environments_own_is_added(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(
        config, tools=(), environment="test_tools:Paid", adjustment="none", max_steps=1, save_steps=None
    )
    run = train(config, root=tmp_path, progress=False)
    values = run.table("metrics.csv").set_index("metric")["value"]
    both = values["raw/Paid"] + values["raw/accuracy_reward"]
    assert values["reward"] == pytest.approx(both) and values["raw/Paid"] > 0


@pytest.mark.parametrize(("changes", "words"), [
    ({"tools": ("add",)}, r"tools"),
    ({"tools": ("test_tools:nothing",)}, r"tools\[0\] = 'test_tools:nothing'"),
    ({"tools": ("test_tools:Desk",)}, r"tools\[0\].*is no function"),
    ({"tools": ("test_tools:bare",)}, r"tools\[0\] = 'bare'.*type hints and a docstring"),
    ({"environment": "test_tools:add"}, "is no class of environments"),
    ({"environment": "test_tools:Paid"}, "a reward that DRA would not see"),
    ({"template": "raw"}, "set template: chat"),
    ({"sampler": "decoding"}, "set sampler: trl"),
    ({"algorithms": ({"name": "test_tools:Rolls"},)}, "nor by dynamic sampling"),
    ({"dynamic_sampling": True}, "nor by dynamic sampling"),
    ({"backbone": "smollm2-135m"}, "does not know of tools"),
])  # fmt: skip
def test_what_cannot_call_or_be_called_is_refused(config: TrainConfig, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        prepare(dataclasses.replace(config, **changes), progress=False)
    assert "\n" not in str(caught.value)


def test_tools_name_the_run_by_their_code(config: TrainConfig) -> None:
    named = config.identity()["tools"]
    assert named[0].startswith("test_tools:add#") and "tools" not in TrainConfig().identity()
    assert prepare(config, progress=False).longest_prompt > 100  # with the tool's description


@pytest.mark.parametrize(("turns", "text"), [
    ([{"role": "assistant", "content": "a"}], "a"),
    ([{"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "7"}, {"content": "b"}], " b"),
    ([{"role": "assistant", "content": None, "tool_calls": []}], ""),
])  # fmt: skip
def test_the_text_is_what_the_model_said(turns: list[dict], text: str) -> None:
    assert text_of(turns) == text


def test_a_turn_without_content_is_refused() -> None:
    with pytest.raises(InputError, match="neither text nor"):
        text_of([{"role": "assistant"}])
