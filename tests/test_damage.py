"""Every stored kind, damaged in every way: recovered, or one line that names it; never other numbers."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from study_records import cell as study_cell

from hammerlib import TrainConfig, evaluate, load_backbone, train
from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.evaluation.comparison import read_scores
from hammerlib.evaluation.summary import outcomes, reliability
from hammerlib.models.backbone import check_folder
from hammerlib.models.embeddings import Embeddings, embed
from hammerlib.ordering import Order, order_by
from hammerlib.pages.results import publish, published_runs
from hammerlib.pipeline.execution import _is_current
from hammerlib.problems import load_problems
from hammerlib.runs import RunRecord, find_run, start_run
from hammerlib.runs.storage import file_hash, sealed, write_json
from hammerlib.runs.trials import read_record, sweep_status
from hammerlib.study.records import read_records
from hammerlib.study.trial import _probed, write_record
from hammerlib.training import read_completions
from hammerlib.training.checkpoints import newest_complete

CONFIG = TrainConfig(
    n_problems=6,
    order="random",
    prompts_per_step=1,
    group_size=4,
    max_completion_length=8,
    learning_rate=1e-3,
    rewards=("accuracy", "cosine"),
    save_steps=2,
)
ASKED = {"n": 4, "k": 2, "max_new_tokens": 32, "tokens_per_batch": 200}


def _flip(content: bytes, share: float) -> bytes:
    place = int(share * (len(content) - 1))
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes] | None] = {
    "cut to a tenth": lambda content: content[: len(content) // 10],
    "cut in the middle": lambda content: content[: len(content) // 2],
    "cut at the end": lambda content: content[:-4],
    "emptied": lambda content: b"",
    "a bit early": lambda content: _flip(content, 0.1),
    "a bit in the middle": lambda content: _flip(content, 0.5),
    "a bit late": lambda content: _flip(content, 0.97),
    "deleted": None,
    "a folder in its place": None,
}


def damage(path: Path, how: str) -> None:
    """Do to a file what a disk or a person does."""
    change = DAMAGES[how]
    if change is not None:
        path.write_bytes(change(path.read_bytes()))
        return
    path.unlink()
    if how == "a folder in its place":
        path.mkdir()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One of each stored kind: made once, copied for every test."""
    root = tmp_path_factory.mktemp("made")
    whole = train(CONFIG, root=root / "whole", progress=False)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hammerlib.training.build.save_model", stop)
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, root=root / "stopped", progress=False)
    evaluated = evaluate("nano", "reasoning-gym:nano", **ASKED, root=root / "runs")
    hotter = evaluate("nano", "reasoning-gym:nano", **ASKED, temperature=0.5, root=root / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hammerlib.evaluation.evaluator.summarise", stop)
        patch.setattr("hammerlib.evaluation.evaluator.discard", lambda path: None)
        with pytest.raises(KeyboardInterrupt):
            evaluate("nano", "reasoning-gym:nano", **ASKED, root=root / "killed")
    problems = load_problems("reasoning-gym:nano", split="rl", n=6)
    vectors = embed(problems, "nano", cache_dir=root / "cache")
    vectors.save(root / "e.safetensors")
    order_by("random", vectors, problems=problems).save(root / "order.json")
    for arm in ("random", "hammer"):
        write_record(root / "study" / f"{arm}__r00.json", study_cell(arm, 0))
    write_json(root / "pass-rates.json", sealed({"correct": [1, 2, 3]}))
    with start_run("demo", parameters={"profile": "ci"}, root=root / "notebooks") as notebook:
        for name in ("notebook.ipynb", "notebook.html"):
            (notebook.folder / name).write_text('{"cells": [], "metadata": {}}')
            notebook.artefact(name)
        notebook.note(git={"commit": "abc", "dirty": False})
    write_json(notebook.folder / "execution.json", sealed({"key": "k", "parameters": {"n": 1}}))
    stopped = next((root / "stopped").glob("train__*"))
    names = SimpleNamespace(
        a=evaluated.run_id, b=hotter.run_id, trained=whole.run_id, notebook=notebook.run_id
    )
    return SimpleNamespace(root=root, stopped=stopped.name, names=names, problems=problems)


def _scores(folder: Path, name: str) -> Any:
    return read_scores(folder / "runs" / name)


def _published(folder: Path, name: str) -> dict:
    copy = publish(folder / "notebooks" / name, folder / "published")
    (record,) = published_runs(folder / "published")
    return {"metrics": record.metrics, "files": sorted(path.name for path in copy.iterdir())}


def _embedded(folder: Path, made: SimpleNamespace) -> list:
    with pytest.warns(UserWarning, match="computed again") if _cache_hurt(folder, made) else _nothing():
        return embed(made.problems, "nano", cache_dir=folder / "cache").vectors.tolist()


def _cache_hurt(folder: Path, made: SimpleNamespace) -> bool:
    (ours,), path = (made.root / "cache").glob("*.safetensors"), None
    path = folder / "cache" / ours.name
    return path.exists() and (path.is_dir() or file_hash(path) != file_hash(ours))


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


def _kinds(made: SimpleNamespace) -> dict[str, tuple[str, Callable[[Path], Any]]]:
    """Each stored kind: its file, and how it is read."""
    a, trained, notebook = (
        f"runs/{made.names.a}",
        f"whole/{made.names.trained}",
        f"notebooks/{made.names.notebook}",
    )
    (cache,) = (made.root / "cache").glob("*.safetensors")
    found = lambda kind, name: lambda folder: find_run(name, folder / kind).metrics  # noqa: E731
    trains, model = (
        found("whole", made.names.trained),
        lambda folder: check_folder("m", folder / trained / "model"),
    )
    step = next(path.name for path in (made.root / trained / "completions").iterdir())
    said = lambda folder: read_completions(folder / trained).to_dict()  # noqa: E731
    cells = [SimpleNamespace(name="random__r00", arm="random", replicate=0, identity="random-0")]
    kinds = {
        "compare: manifest": (f"{a}/manifest.json", lambda folder: _scores(folder, made.names.a)),
        "compare: samples": (f"{a}/samples.jsonl", lambda folder: _scores(folder, made.names.a)),
        "compare: outcomes": (f"{a}/outcomes.csv", lambda folder: _scores(folder, made.names.a)),
        "compare: problems": (f"{a}/problems.jsonl", lambda folder: _scores(folder, made.names.a)),
        "evaluate: manifest": (f"{a}/manifest.json", found("runs", made.names.a)),
        "evaluate: samples": (f"{a}/samples.jsonl", found("runs", made.names.a)),
        "evaluate: topics": (f"{a}/topics.csv", found("runs", made.names.a)),
        "outcomes": (f"{a}/outcomes.csv", lambda f: outcomes(RunRecord.load(f / a)).to_dict()),
        "reliability": (f"{a}/reliability.csv", lambda f: reliability(RunRecord.load(f / a)).to_dict()),
        "train: manifest": (f"{trained}/manifest.json", trains),
        "train: index log": (f"{trained}/index_log.csv", trains),
        "train: metrics": (f"{trained}/metrics.csv", trains),
        "train: order": (f"{trained}/order.json", trains),
        "train: completions": (f"{trained}/completions/{step}", said),
        "model: weights": (f"{trained}/model/model.safetensors", model),
        "model: config": (f"{trained}/model/config.json", model),
        "model: tokenizer": (f"{trained}/model/tokenizer.json", model),
        "model: sums": (f"{trained}/model/sums.json", model),
        "order": ("order.json", lambda folder: Order.load(folder / "order.json").hash),
        "embeddings": ("e.safetensors", lambda folder: _vectors(folder / "e.safetensors")),
        "embedding cache": (f"cache/{cache.name}", lambda folder: _embedded(folder, made)),
        "study record": ("study/random__r00.json", lambda f: read_records(f / "study").table.to_dict()),
        "cell record": ("study/random__r00.json", lambda f: sweep_status(cells, f / "study").status),
        "failed record": ("study/random__r00.json", lambda f: read_record(cells[0], f / "study")),
        "pass rates": ("pass-rates.json", lambda folder: _probed(folder / "pass-rates.json", 3)),
        "execution": (f"{notebook}/execution.json", lambda f: _current(f / notebook)),
        "notebook": (f"{notebook}/notebook.ipynb", lambda f: _current(f / notebook)),
        "page": (f"{notebook}/notebook.html", lambda f: _current(f / notebook)),
        "publish: manifest": (f"{notebook}/manifest.json", lambda f: _published(f, made.names.notebook)),
        "publish: notebook": (f"{notebook}/notebook.ipynb", lambda f: _published(f, made.names.notebook)),
    }
    return kinds


KINDS = [
    "compare: manifest",
    "compare: samples",
    "compare: outcomes",
    "compare: problems",
    "evaluate: manifest",
    "evaluate: samples",
    "evaluate: topics",
    "outcomes",
    "reliability",
    "train: manifest",
    "train: index log",
    "train: metrics",
    "train: order",
    "train: completions",
    "model: weights",
    "model: config",
    "model: tokenizer",
    "model: sums",
    "order",
    "embeddings",
    "embedding cache",
    "study record",
    "cell record",
    "failed record",
    "pass rates",
    "execution",
    "notebook",
    "page",
    "publish: manifest",
    "publish: notebook",
]
# What a reader says instead of numbers where a kind is simply not there, or is made again.
ABSENT = {
    "compare: samples": "counts only",
    "compare: problems": "no prompts to compare by",
    "cell record": "missing",
    "study record": "missing",
    "pass rates": "sampled again",
    "execution": "executed again",
    "notebook": "executed again",
    "page": "executed again",
    "failed record": "missing",
    "model: sums": "older",
    "evaluate: manifest": "evaluated again",
    "train: manifest": "resumed",
}


def _current(folder: Path) -> bool:
    return _is_current(SimpleNamespace(run_id=folder.name, key="k", name="demo"), folder)


def _vectors(path: Path) -> tuple:
    one = Embeddings.load(path)
    return one.vectors.tolist(), one.ids, one.key, one.info, one.item_hashes


def test_every_kind_is_in_the_table(made: SimpleNamespace) -> None:
    assert list(_kinds(made)) == KINDS and len(KINDS) * len(DAMAGES) > 200


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.filterwarnings("ignore:.*made again")
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_recovered_or_named_in_one_line(
    kind: str, how: str, made: SimpleNamespace, tmp_path: Path
) -> None:
    relative, read = _kinds(made)[kind]
    folder = tmp_path / "copy"
    top = relative.split("/")[0]
    source, target = made.root / top, folder / top
    folder.mkdir()
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    whole = repr(read(folder))
    if kind.startswith("publish"):
        shutil.rmtree(folder / "published")
    damage(folder / relative, how)
    try:
        found = read(folder)
    except InputError as error:
        text = str(error)
        assert "\n" not in text and "; " in text
        names = (Path(relative).name, Path(relative).stem.partition("__")[0], "manifest.json", "confidences")
        assert any(name in text for name in names), text
        return
    except AttributeError:  # of None: no such run, which the command makes
        assert how == "deleted" and kind in ABSENT
        return
    if how == "deleted" and kind in ABSENT:
        return
    if kind in ("execution", "notebook", "page"):
        assert found is False or (repr(found) == whole and how == "cut at the end")
    elif kind == "pass rates":
        assert found is None or repr(found) == whole
    else:
        assert repr(found) == whole


# Through the commands


COMMANDS = {
    "compare": "compare {root}/runs/{a} {root}/runs/{b}",
    "regrade": "regrade {root}/runs/{a} --workers 1",
    "evaluate": "evaluate --model {root}/whole/{trained} --benchmark reasoning-gym:nano --n 2 --samples 1",
}
FILES = {
    "compare": ("manifest.json", "samples.jsonl", "outcomes.csv"),
    "regrade": ("manifest.json", "samples.jsonl", "problems.jsonl"),
    "evaluate": ("manifest.json", "model/model.safetensors", "model/tokenizer.json"),
}


@pytest.mark.parametrize(
    "how", ["emptied", "a bit in the middle", "cut in the middle", "a folder in its place"]
)
@pytest.mark.parametrize(
    ("command", "file"), [(name, file) for name, files in FILES.items() for file in files]
)
def test_a_command_says_in_one_line_which_file_is_damaged(
    command: str, file: str, how: str, made: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    top, name = ("whole", made.names.trained) if command == "evaluate" else ("runs", made.names.a)
    shutil.copytree(made.root / top, tmp_path / top)
    damage(tmp_path / top / name / file, how)
    words = [
        *COMMANDS[command].format(root=tmp_path, **vars(made.names)).split(),
        "--results",
        f"{tmp_path}/r",
    ]
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and not said.out
    assert Path(file).name in said.err


def test_commands_take_whole_runs(
    made: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for command in FILES:
        words = [
            *COMMANDS[command].format(root=made.root, **vars(made.names)).split(),
            "--results",
            f"{tmp_path}/r",
        ]
        assert main(words) == 0, capsys.readouterr().err


# Training goes on from the newest checkpoint that is whole


def _stopped(made: SimpleNamespace, tmp_path: Path) -> Path:
    shutil.copytree(made.root / "stopped", tmp_path / "stopped")
    return tmp_path / "stopped" / made.stopped


CHECKPOINT = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json",
              "config.json", "sums.json", "logs.json"]  # fmt: skip


@pytest.mark.filterwarnings("ignore:checkpoint-")
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("file", CHECKPOINT)
def test_a_damaged_checkpoint_is_not_resumed_from(
    file: str, how: str, made: SimpleNamespace, tmp_path: Path
) -> None:
    folder = _stopped(made, tmp_path)
    assert newest_complete(folder)[1] == 4
    damage(folder / "checkpoints" / "checkpoint-4" / file, how)
    path, step = newest_complete(folder)
    assert step == 2 or (how == "cut at the end" and file in ("sums.json", "logs.json"))
    left = sorted(one.name for one in path.parent.glob("checkpoint-*"))
    assert left == [f"checkpoint-{n}" for n in range(2, step + 1, 2)]


@pytest.mark.filterwarnings("ignore:checkpoint-")
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("file", ["index_log.csv", "metrics.csv"])
def test_a_log_that_lost_rows_takes_training_back_to_before(
    file: str, how: str, made: SimpleNamespace, tmp_path: Path
) -> None:
    folder = _stopped(made, tmp_path)
    damage(folder / file, how)
    found = newest_complete(folder)
    kept = {"cut at the end": 4, "a bit late": 4, "a bit in the middle": 2, "cut in the middle": 2}
    assert (found[1] if found else 0) == kept.get(how, 0)


RESUMED = {
    "optimizer emptied": lambda folder: damage(folder / "checkpoints/checkpoint-4/optimizer.pt", "emptied"),
    "weights flipped": lambda folder: damage(
        folder / "checkpoints/checkpoint-4/model.safetensors", "a bit early"
    ),
    "index log emptied": lambda folder: damage(folder / "index_log.csv", "emptied"),
    "metrics cut": lambda folder: damage(folder / "metrics.csv", "cut in the middle"),
    "a log is a folder": lambda folder: damage(folder / "metrics.csv", "a folder in its place"),
    "strange folders": lambda folder: _strange(folder / "checkpoints"),
    "manifest deleted": lambda folder: damage(folder / "manifest.json", "deleted"),
    "order damaged": lambda folder: damage(folder / "order.json", "cut in the middle"),
}


def _strange(folder: Path) -> None:
    for name in ("checkpoint-abc", "checkpoint-", "checkpoint-4-old", "checkpoint--2", "checkpoint-9"):
        (folder / name).mkdir()
    (folder / "checkpoint-7").write_text("a file")


@pytest.mark.filterwarnings("ignore:checkpoint-")
@pytest.mark.parametrize("what", RESUMED)
def test_a_run_resumed_after_damage_is_the_unbroken_run(
    what: str, made: SimpleNamespace, tmp_path: Path
) -> None:
    folder = _stopped(made, tmp_path)
    RESUMED[what](folder)
    again = train(CONFIG, root=tmp_path / "stopped", progress=False)
    assert again.status == "success"
    ours = made.root / "whole" / made.names.trained
    for name in ("index_log.csv", "model/model.safetensors", "order.json"):
        assert (folder / name).read_bytes() == (ours / name).read_bytes(), name
    rows = [[line for line in (one / "metrics.csv").read_text().splitlines() if ",seconds" not in line]
            for one in (folder, ours)]  # fmt: skip
    assert rows[0] == rows[1]


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.filterwarnings("ignore:.*sampled again")
@pytest.mark.parametrize("file", ["samples.jsonl", "samples.sums"])
def test_damaged_samples_of_a_killed_evaluation_are_drawn_again(
    file: str, how: str, made: SimpleNamespace, tmp_path: Path
) -> None:
    shutil.copytree(made.root / "killed", tmp_path / "killed")
    path = tmp_path / "killed" / made.names.a / file
    damage(path, how)
    if file == "samples.sums" and how == "a folder in its place":
        path.rmdir()
    again = evaluate("nano", "reasoning-gym:nano", **ASKED, root=tmp_path / "killed")
    for name in ("samples.jsonl", "outcomes.csv"):
        assert file_hash(again.folder / name) == file_hash(made.root / "runs" / made.names.a / name)
    assert not (again.folder / "samples.sums").exists()


# A zero that comes from something broken is no score


def _copy_of_nano(folder: Path) -> Path:
    from hammerlib.models.nano.recipe import CHECKPOINT

    shutil.copytree(CHECKPOINT, folder)
    (folder / "sums.json").unlink(missing_ok=True)
    return folder


def _poisoned(folder: Path, value: float) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    name = sorted(tensors)[0]
    tensors[name] = np.where(
        np.arange(tensors[name].size).reshape(tensors[name].shape) == 3, value, tensors[name]
    )
    save_file({key: one.astype(np.float32) for key, one in tensors.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip


BROKEN = {
    "NaN weights": lambda folder: _poisoned(folder, np.nan),
    "infinite weights": lambda folder: _poisoned(folder, np.inf),
    "half the weights": lambda folder: damage(folder / "model.safetensors", "cut in the middle"),
    "no weights": lambda folder: damage(folder / "model.safetensors", "emptied"),
    "no tokenizer": lambda folder: damage(folder / "tokenizer.json", "emptied"),
    "half a tokenizer": lambda folder: damage(folder / "tokenizer.json", "cut in the middle"),
    "empty config": lambda folder: damage(folder / "config.json", "emptied"),
    "config is a list": lambda folder: (folder / "config.json").write_text("[]"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_model_is_an_error_not_a_score_of_zero(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = _copy_of_nano(tmp_path / "mine")
    BROKEN[what](folder)
    words = [
        "evaluate",
        "--model",
        str(folder),
        "--benchmark",
        "reasoning-gym:nano",
        "--n",
        "2",
        "--samples",
        "1",
    ]
    assert main([*words, "--results", str(tmp_path / "r")]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "error: backbone" in said.err and not said.out


def test_weights_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    folder, nano = _copy_of_nano(tmp_path / "mine"), load_backbone("nano")
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(nano.tokenizer) - 5, **shape)).save_pretrained(folder)
    with pytest.raises(InputError, match=r"its tokenizer knows \d+ tokens, its weights \d+"):
        load_backbone(folder)


def test_a_model_that_says_nothing_and_one_that_loses_its_numbers_have_no_score(tmp_path: Path) -> None:
    import torch

    silent, lost = load_backbone("nano"), load_backbone("nano")
    with torch.no_grad():
        head = silent.model.get_output_embeddings()
        silent.model.set_output_embeddings(torch.nn.Linear(head.in_features, head.out_features))
        silent.model.lm_head.weight.zero_()
        silent.model.lm_head.bias[silent.tokenizer.eos_token_id] = 100.0
        lost.model.get_output_embeddings().weight.fill_(torch.nan)
    with pytest.raises(InputError, match="all 4 completions are blank"):
        evaluate(silent, "reasoning-gym:nano", n=2, k=2, root=tmp_path)
    with pytest.raises(InputError, match="NaN"):
        evaluate(lost, "reasoning-gym:nano", n=2, k=2, root=tmp_path)


def test_a_training_that_diverges_ends_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from hammerlib.training import build

    saved = build.save_model

    def diverge(trainer: Any, job: Any, folder: Path) -> None:
        with torch.no_grad():
            next(trainer.model.parameters()).view(-1)[0] = torch.nan
        saved(trainer, job, folder)

    monkeypatch.setattr(build, "save_model", diverge)
    with pytest.raises(InputError, match=r"learning_rate = 0.001: its weight .* holds NaN"):
        train(dataclasses.replace(CONFIG, n_problems=2, save_steps=None), root=tmp_path, progress=False)
    (manifest,) = tmp_path.glob("train__*")
    assert RunRecord.load(manifest).status == "error" and not (manifest / "model").exists()
