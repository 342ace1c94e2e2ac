"""One function makes the token ids of a prompt: embedding, training, evaluation and study read the same ones.

What a model really gets is caught at its door: every `forward` of the decoder is recorded.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaModel

import hammerlib
from hammerlib.errors import InputError
from hammerlib.evaluation.engines import Sampling, open_engine
from hammerlib.models import load_backbone
from hammerlib.models.embeddings import SCHEMA_VERSION, Embeddings, embed
from hammerlib.models.nano.recipe import encode as supervised_rows
from hammerlib.models.nano.tokenizer import build_tokenizer
from hammerlib.models.tokens import prompt_ids
from hammerlib.problems import load_problems, make_table
from hammerlib.runs import RunRecord
from hammerlib.runs.storage import content_hash
from hammerlib.training import TrainConfig

BOS, CLS, EOS = "<0x01>", "<0x02>", "<eos>"  # tokens that nano has and these texts do not
QUESTIONS = ["What is 17 + 25?", "What is 9 - 4?"]
PLAIN = build_tokenizer()
TURNS = "{% for turn in messages %}[{{ turn['role'] }}] {{ turn['content'] }}\n{% endfor %}[assistant]"


def ids_of(text: str) -> list[int]:
    """Ids of a text with nothing around it."""
    return PLAIN(text)["input_ids"]


def one(token: str) -> int:
    return PLAIN.convert_tokens_to_ids(token)


@dataclass(frozen=True)
class Kind:
    """A kind of tokenizer and what stands before the text of a raw and of a templated prompt."""

    adds: str | None  # template of the post-processor, $A is the text
    raw: tuple[str, ...] = ()
    chat: tuple[str, ...] = ()
    template: str = TURNS
    bos: str | None = BOS
    eos: str = EOS
    options: dict = field(default_factory=dict)


KINDS = {
    "nano's own": Kind(None, bos=None),
    "adds BOS": Kind(f"{BOS} $A", (BOS,)),
    "adds EOS": Kind(f"$A {EOS}"),
    "adds both": Kind(f"{BOS} $A {EOS}", (BOS,)),
    "adds two before": Kind(f"{CLS} {BOS} $A", (CLS, BOS)),
    "adds two behind": Kind(f"$A {CLS} {EOS}"),
    "BOS and EOS are one token": Kind(f"{EOS} $A {EOS}", (EOS,), bos=EOS),
    "template with BOS, adds nothing": Kind(None, (), (BOS,), "{{ bos_token }}" + TURNS),
    "template with BOS, adds BOS": Kind(f"{BOS} $A", (BOS,), (BOS,), "{{ bos_token }}" + TURNS),
    "template with BOS, adds both": Kind(f"{BOS} $A {EOS}", (BOS,), (BOS,), "{{ bos_token }}" + TURNS),
    "no padding token": Kind(f"{BOS} $A {EOS}", (BOS,), options={"pad_token": None}),
    "padded on the right": Kind(f"{BOS} $A {EOS}", (BOS,), options={"padding_side": "right"}),
    "cuts and pads in its file": Kind(f"{BOS} $A {EOS}", (BOS,), options={"cuts": True}),
    "cuts on the left": Kind(f"{BOS} $A", (BOS,), options={"truncation_side": "left", "model_max_length": 4}),
}


def tokenizer_of(kind: Kind) -> PreTrainedTokenizerFast:
    from tokenizers import processors

    core = build_tokenizer().backend_tokenizer
    if kind.adds:
        pairs = [(name, one(name)) for name in kind.adds.split() if name != "$A"]
        core.post_processor = processors.TemplateProcessing(single=kind.adds, special_tokens=pairs)
    options = {"pad_token": "<pad>", "padding_side": "left"} | kind.options
    if options.pop("cuts", False):
        core.enable_truncation(3)
        core.enable_padding(length=40, pad_id=0, pad_token="<pad>")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=kind.bos,
        eos_token=kind.eos,
        clean_up_tokenization_spaces=False,
        **options,
    )
    tokenizer.chat_template = kind.template
    return tokenizer


def expected(kind: Kind, template: str) -> list[list[int]]:
    """Built by hand, without the function under test."""
    before = [one(name) for name in (kind.chat if template == "chat" else kind.raw)]
    texts = [f"[user] {text}\n[assistant]" for text in QUESTIONS] if template == "chat" else QUESTIONS
    return [before + ids_of(text) for text in texts]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A folder for `load_backbone` for every kind: nano's weights, another tokenizer."""
    root, nano = tmp_path_factory.mktemp("kinds"), load_backbone("nano", device="cpu")
    found = {}
    for number, (name, kind) in enumerate(KINDS.items()):
        folder = root / str(number)
        nano.model.save_pretrained(folder)
        tokenizer_of(kind).save_pretrained(folder)
        found[name] = str(folder)
    return found


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> list[list[list[int]]]:
    """What the decoder is given, call by call: rows without padding where a mask tells it, else whole."""
    seen: list[list[list[int]]] = []
    forward = LlamaModel.forward

    @functools.wraps(forward)
    def watched(self, input_ids=None, attention_mask=None, **rest):
        mask = attention_mask if torch.is_tensor(attention_mask) and attention_mask.ndim == 2 else None
        mask = torch.ones_like(input_ids) if mask is None else mask[:, -input_ids.shape[1] :]
        seen.append([row[kept.bool()].tolist() for row, kept in zip(input_ids, mask, strict=True)])
        return forward(self, input_ids=input_ids, attention_mask=attention_mask, **rest)

    monkeypatch.setattr(LlamaModel, "forward", watched)
    return seen


def problems_of(texts: list[str]):
    rows = [
        {"id": f"q-{i}", "prompt": text, "answer": "1", "source": "q", "topic": "q"}
        for i, text in enumerate(texts)
    ]
    return make_table(rows)


CASES = [(name, template) for name in KINDS for template in ("raw", "chat")]


@pytest.mark.parametrize(("name", "template"), CASES)
def test_embedding_evaluation_and_training_read_the_same_ids(
    folders, door, tmp_path: Path, name: str, template: str
) -> None:
    backbone, want = load_backbone(folders[name], device="cpu"), expected(KINDS[name], template)
    assert prompt_ids(backbone.tokenizer, QUESTIONS, template) == want

    for text, row in zip(QUESTIONS, want, strict=True):  # one by one: nothing is padded
        door.clear()
        embed([text], backbone, template=template, cache_dir=tmp_path)
        assert door == [[row]]

    door.clear()
    table = problems_of(QUESTIONS)
    options = {"k": 1, "temperature": 0.0, "max_new_tokens": 2, "template": template, "root": tmp_path}
    hammerlib.evaluate(backbone, table, **options)
    assert sorted(door[0]) == sorted(want)

    door.clear()
    from hammerlib.training.build import build_trainer
    from hammerlib.training.run import prepare

    settings = {"n_problems": 2, "prompts_per_step": 2, "group_size": 2, "max_completion_length": 2}
    config = TrainConfig(backbone=folders[name], order="random", template=template, **settings)
    job = prepare(config, problems=table, progress=False)
    trainer = build_trainer(job, RunRecord("demo", tmp_path / "demo", {}))
    door.clear()
    trainer.train()
    assert sorted(door[0]) == sorted(row for row in want for _ in range(2))  # what completions are drawn from
    assert sorted(trainer.rollout.prompt_ids) == sorted(row for row in want for _ in range(2))
    assert job.longest_prompt == max(map(len, want))


def test_the_study_measures_on_the_same_ids(folders, door) -> None:
    from hammerlib.study.trial import examine

    name = "template with BOS, adds both"
    for template in ("raw", "chat"):
        door.clear()
        options = {"samples": 1, "seed": 0, "max_new_tokens": 2, "template": template}
        backbone = load_backbone(folders[name], device="cpu")
        examine(backbone, problems_of(QUESTIONS), **options)
        assert sorted(door[0]) == sorted(expected(KINDS[name], template))


def test_an_appended_eos_costs_no_point(folders) -> None:
    """Fault: the same model fell from 50.0 to 28.1 % when its tokenizer appended EOS to raw prompts."""
    table = load_problems("reasoning-gym:nano", split="heldout", n=64, seed=0)
    found = []
    for name in ("nano's own", "adds EOS"):
        backbone = load_backbone(folders[name], device="cpu")
        engine = open_engine("transformers", backbone, Sampling(0.0, 1.0, 48, 0))
        names = [(row, 0) for row in table["id"]]
        found.append(engine.generate(engine.encode(table["prompt"][:]), names))
    assert found[0] == found[1]
    assert len({completion.text for completion in found[0]}) > 32


def test_supervised_rows_begin_with_the_same_ids_and_end_with_one_eos(folders) -> None:
    for name, kind in KINDS.items():
        tokenizer = load_backbone(folders[name], device="cpu").tokenizer
        ids, labels = supervised_rows([(QUESTIONS[0], " 42")], tokenizer)
        learned = [*ids_of(" 42"), one(kind.eos)]
        assert ids[0].tolist() == expected(kind, "raw")[0] + learned
        assert labels[0][labels[0] != -100].tolist() == learned


def test_the_ids_do_not_hang_on_the_other_prompts(folders) -> None:
    """Once, one text with BOS among others without decided for all of them."""
    tokenizer = load_backbone(folders["adds both"], device="cpu").tokenizer
    texts = [f"{BOS}What is 1 + 1?", *QUESTIONS]
    together = prompt_ids(tokenizer, texts)
    assert together == [prompt_ids(tokenizer, [text])[0] for text in texts]
    assert [row.count(one(BOS)) for row in together] == [1, 1, 1]  # BOS once, whoever wrote it
    assert together[0] == [one(BOS), *ids_of("What is 1 + 1?")]


def test_conversations_are_prompts_too(folders) -> None:
    tokenizer = load_backbone(folders["template with BOS, adds both"], device="cpu").tokenizer
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
    (row,) = prompt_ids(tokenizer, [turns], "chat")
    assert row == [one(BOS), *ids_of("[system] Be brief.\n[user] 1 + 1?\n[assistant]")]


REFUSED = {
    "no token": (
        lambda t: prompt_ids(t, ["1", ""], names=["a", "b"]),
        r"prompts = \['b'\]: 1 prompts have no",
    ),
    "an unknown template": (lambda t: prompt_ids(t, ["1"], "xml"), "unknown template"),
    "no text": (lambda t: prompt_ids(t, [17]), "is no text"),
    "nothing": (lambda t: prompt_ids(t, [None]), "is no text"),
    "turns without a template": (lambda t: prompt_ids(t, [[{"role": "user", "content": "1"}]]), "is no text"),
    "no chat template": (lambda t: prompt_ids(build_tokenizer(), ["1"], "chat"), "has no chat template"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_prompt_that_cannot_be_read_is_one_line(kind: str) -> None:
    call, words = REFUSED[kind]
    with pytest.raises(InputError, match=words) as caught:
        call(tokenizer_of(KINDS["nano's own"]))
    assert "\n" not in str(caught.value)


def test_a_template_that_refuses_a_prompt_is_one_line() -> None:
    tokenizer = tokenizer_of(KINDS["adds BOS"])
    tokenizer.chat_template = "{{ raise_exception('roles must\nalternate') }}"
    with pytest.raises(InputError, match=r"chat template fails.*roles must alternate") as caught:
        prompt_ids(tokenizer, ["1"], "chat")
    assert "\n" not in str(caught.value)


def test_a_prompt_of_special_tokens_alone_has_no_token() -> None:
    for name in ("adds EOS", "nano's own"):
        with pytest.raises(InputError, match="no token"):
            prompt_ids(tokenizer_of(KINDS[name]), [""])
    assert prompt_ids(tokenizer_of(KINDS["adds both"]), [""]) == [[one(BOS)]]
    assert prompt_ids(tokenizer_of(KINDS["adds both"]), []) == []


def test_long_prompts_are_refused_not_cut(folders, tmp_path: Path) -> None:
    backbone = load_backbone(folders["cuts and pads in its file"], device="cpu")
    long = " 1 +" * 300
    assert len(prompt_ids(backbone.tokenizer, [long])[0]) == 1 + len(ids_of(long))
    with pytest.raises(InputError, match="longer than the"):
        embed([long], backbone, cache_dir=tmp_path)
    with pytest.raises(InputError, match="positions"):
        open_engine("transformers", backbone, Sampling(0.0, 1.0, 4, 0)).encode([long])


def test_nano_keeps_its_cached_vectors(tmp_path: Path) -> None:
    """Keys of nano's embeddings are those of its bare tokens: committed orders and records stay."""
    nano = load_backbone("nano", device="cpu")
    texts = load_problems("reasoning-gym:nano", split="rl", n=40)["prompt"][:]
    found = embed(texts, nano, cache_dir=tmp_path)
    assert isinstance(found, Embeddings)
    bare = nano.tokenizer(texts, add_special_tokens=True)["input_ids"]
    assert found.key == content_hash(SCHEMA_VERSION, found.info, texts, bare)


def test_vectors_are_those_of_the_prompt_that_is_trained(folders, tmp_path: Path) -> None:
    vectors = [
        embed(QUESTIONS, load_backbone(folders[name], device="cpu"), cache_dir=tmp_path).vectors
        for name in ("nano's own", "adds EOS", "adds BOS")
    ]
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])


def test_the_kinds_are_kinds(folders) -> None:
    """The table would prove nothing if saving and loading lost what a tokenizer adds."""
    for name, kind in KINDS.items():
        added = len(load_backbone(folders[name], device="cpu").tokenizer("1")["input_ids"]) - 1
        assert added == (len(kind.adds.split()) - 1 if kind.adds else 0), name
