"""Values and names of notebooks are checked before anything runs; the first commands of the README."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hammerlib.cli import main
from hammerlib.errors import InputError, import_object
from hammerlib.models import load_backbone
from hammerlib.models.backbone import known_shape
from hammerlib.ordering import Order, order_by
from hammerlib.pipeline import notebook_run, plan_notebooks
from hammerlib.pipeline.parameters import check_values, declared
from hammerlib.pipeline.plan import _inputs_hash
from hammerlib.problems.registry import check_source
from hammerlib.training import TrainConfig
from hammerlib.training.schedule import plan

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = declared(ROOT / "notebooks" / "04_training.ipynb")


def kernel(**changes: tuple[str, object]) -> dict[str, object]:
    """The namespace of a kernel that ran a parameters cell, some lines of it written anew."""
    lines = {name: (line.kind, line.default) for name, line in NOTEBOOK.items()} | changes
    values = {name: value for name, (_, value) in lines.items()}
    return values | {"__annotations__": {name: kind for name, (kind, _) in lines.items()}}


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("order=hamer", "did you mean hammer?"),
        ("strategies=[hammer, hamer]", "strategies = 'hamer'"),
        ("adjustments=[drb]", "adjustments = 'drb'"),
        ("loss_type=ppo", "loss_type = 'ppo'"),
        ("pooling=max", "pooling = 'max'"),
        ("template=none", "template = 'none'"),
        ("scheduler=sine", "scheduler = 'sine'"),
        ("learning_rate=-1", "learning_rate = -1.0: must be more than 0"),
        ("group_size=1", "group_size = 1: must be at least 2"),
        ("prompts_per_step=0", "prompts_per_step = 0"),
        ("n_problems=0", "n_problems = 0"),
        ("k=1", "k = 1: must be at least 2"),
        ("backbone=nanoo", "backbone = 'nanoo': neither a known name nor a folder; did you mean nano?"),
        ("second_backbone=smollm2", "second_backbone = 'smollm2': neither a known name nor a folder"),
        ("untrained_backbone=nano-untraned", "did you mean nano-untrained?"),
        ("language_model=tests", "language_model = 'tests': no config.json in this folder"),
        ("backbone=a/b/c", "backbone = 'a/b/c': neither"),
        ("backbone=", "backbone = '': "),
        ("layer=99", "layer = 99: is not a hidden state of 'nano'; use -4 to 3"),
        ("template=chat", "template = 'chat': backbone nano has no chat template"),
        ("max_completion_length=512", "leaves no room for a prompt in the 512 positions of nano"),
        ("benchmark=aime42", "benchmark = 'aime42': is unknown; did you mean aime"),
        ("benchmark=reasoning-gym:nanoo", "benchmark = 'reasoning-gym:nanoo': unknown reasoning-gym mix"),
        ("n_eval=1", "n_eval = 1: must be at least 2"),
        ("own_eval=1", "own_eval = 1: must be at least 2"),
        ("n_eval=99999", "n_eval = 99999: part heldout of mix nano has"),
        (
            "split=heldot",
            "split = 'heldot': unknown part; did you mean heldout? use one of supervised, rl, heldout",
        ),
        ("problems=reasoning-gym:nan", "problems = 'reasoning-gym:nan': unknown reasoning-gym mix"),
        ("problems=champ:geometry", "problems = 'champ:geometry': "),
        ("n_problems=999999", "n_problems = 999999: part rl of mix nano has"),
        ("n_problems=11", "n_problems = 11: "),
        ("n_second=5000000", "n_second = 5000000: part rl of mix math has"),
        ("problems=hub:gsm8k", "problems = 'hub:gsm8k': cannot be read"),
        ("map_seeds=[-1, 2]", "map_seeds = [-1, 2]: holds -1, which is no seed"),
        ("train_seeds=[5000000000]", "holds 5000000000, which is no seed"),
        ("train_seeds=[]", "train_seeds = []: is empty"),
        ("strategies=[]", "strategies = []: is empty"),
        ("adjustments=[]", "adjustments = []: is empty"),
        ("random_orders=2", "random_orders = 2: must be at least 4"),
        ("order=easy-to-hard", "needs a column difficulty, which problems of reasoning-gym do not have"),
        ("prompts_per_step=500", "n_problems = 128: are fewer than the 500 prompts of a step"),
        ("study=configs/study/none.yaml", "study = 'configs/study/none.yaml': there is no such file"),
        ("study=configs/study", "study = 'configs/study': there is no such file"),
        ("records=results/study/none", "records = 'results/study/none': there is no such folder"),
        ("records=results/study", "records = 'results/study': there is no such folder, or no record in it"),
        ("studies=results/study/main", "studies = 'results/study/main': there is no such folder, or no"),
        ("own_reward=your_own:brieff", "did you mean your_own:brief?"),
        ("own_reward=accuracy", "own_reward = 'accuracy': is no part of one's own; write module:object"),
        ("own_algorithm=your_own:brief", "own_algorithm = 'your_own:brief': is no algorithm"),
        ("own_order=hammer", "own_order = 'hammer': is no part of one's own"),
        ("own_prompts=0", "own_prompts = 0: must be at least 1"),
        ("workers=0", "workers = 0"),
        ("seed=-1", "seed = -1"),
        ("n_problem=3", "n_problem = '3'"),
        ("problems=gym:nano", "problems = 'gym:nano': unknown source"),
        ("problems=your_own:markt", "your_own has no function markt"),
        ("order=your_own:typical", "did you mean your_own:typical_first?"),
        ("strategies=[random, no_such_module:by]", "strategies = 'no_such_module:by': its module cannot"),
        ("problems=null", "problems = 'null': unknown source"),
        ("problems=file:none.jsonl", "problems = 'file:none.jsonl': there is no such file"),
        ("second_problems=nano", "second_problems = 'nano': unknown source"),
        ("train_seeds=[0, 0]", "holds 0 twice"),
        ("map_seeds=[1, 2, 1]", "holds 1 twice"),
        ("own_seeds=[3, 3]", "holds 3 twice"),
        ("own_order=your_own:typical", "did you mean your_own:typical_first?"),
        ("own_problems=your_own:markt", "your_own has no function markt"),
        ("own_steps=0", "own_steps = 0: must be at least 1"),
        ("language_steps=0", "language_steps = 0: must be at least 1"),
        ("ledger_problems=0", "ledger_problems = 0: must be at least 1"),
        ("adjustments=[dra, dra]", "holds dra twice"),
        ("strategies=[random, hammer, random]", "holds random twice"),
    ],
)
def test_a_value_is_refused_before_a_notebook_starts(
    pair: str, words: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["run", "--profile", "ci", "--set", pair]) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and err.count("\n") == 1


def test_a_parameter_that_no_selected_notebook_has_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match="06_study has no such parameter; leave it out, or select one of 00"):
        plan_notebooks("ci", only="06", overrides=["n_problems=8"])
    assert len(plan_notebooks("ci", only="06,05", overrides=["n_problems=8"])) == 2


def test_an_edited_file_or_model_is_another_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    problems, model = tmp_path / "mine.jsonl", tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    words = [f"problems=file:{problems}", f"backbone={model}"]

    def key(text: str, weights: str) -> str:
        problems.write_text(text)
        (model / "model.safetensors").write_text(weights)
        return plan_notebooks("ci", only="00", overrides=words)[0].key

    keys = [key("a", "1"), key("b", "1"), key("b", "12")]
    assert len(set(keys)) == 3 and plan_notebooks("ci", only="00", overrides=words)[0].key == keys[2]


def test_parts_of_ones_own_are_values_and_an_edited_one_is_another_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    words = [
        "problems=your_own:market",
        "order=your_own:typical_first",
        "strategies=[your_own:typical_first]",
    ]
    given = {
        name: value for step in plan_notebooks("ci", overrides=words) for name, value in step.passed.items()
    }
    assert given == {"problems": "your_own:market", "order": "your_own:typical_first",
                     "strategies": ["your_own:typical_first"]}  # fmt: skip
    (tmp_path / "notebooks").mkdir()
    keys = []
    for text in ("a = 1", "a = 2"):
        (tmp_path / "notebooks" / "mine.py").write_text(text)
        keys += [
            _inputs_hash({"own_order": "mine:a"}, tmp_path),
            _inputs_hash({"many": ["mine:a"]}, tmp_path),
        ]
    assert keys[0] == keys[1] != keys[2] == keys[3] != _inputs_hash({"own_order": "yours:a"}, tmp_path)


def test_the_parts_of_notebook_07_do_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "notebooks"))
    source, reward, kind = (
        import_object(f"your_own:{name}", "own") for name in ("market", "brief", "LessPraise")
    )
    rows = source("heldout", n=5, seed=3)
    assert len(rows) == 5 and not {row["prompt"] for row in rows} & {row["prompt"] for row in source()}
    order = order_by("your_own:typical_first", [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    assert order.permutation.tolist() == [1, 0, 2]
    texts, ids = [r"3+4=7;\boxed{7}", r"\boxed{8}", "7"], [range(20), range(5), range(40)]
    assert reward(completions=texts, completion_ids=ids, answer=["7", "7", None]) == [0.8, 0.0, None]
    advantages = torch.tensor([1.0, -0.5, 0.0])
    assert kind().advantage(SimpleNamespace(advantages=advantages)).tolist() == [0.5, -0.5, 0.0]
    assert kind().observe(SimpleNamespace(advantages=advantages)) == {"praised_share": pytest.approx(1 / 3)}


def test_a_name_mistyped_in_a_running_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match="did you mean n_problems"):
        notebook_run("04_training", kernel(n_problem=("int", 256)))
    with pytest.raises(InputError, match="did you mean hammer"):
        notebook_run("04_training", kernel(order=("str", "hamer")))
    assert notebook_run("04_training", kernel()).status == "started"


def test_a_wrong_value_is_told_in_one_line_before_anything_heavy_is_imported() -> None:
    notebook = json.loads((ROOT / "notebooks/04_training.ipynb").read_text(encoding="utf-8"))
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    wrong = sources[0].replace('order: str = "hammer"', 'order: str = "hamer"')
    assert wrong != sources[0]
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell as Shell; shell = Shell();"
        f"shell.run_cell({wrong!r}); shell.run_cell({sources[1]!r});"
        "print(sorted({'torch', 'pandas', 'matplotlib', 'transformers', 'trl'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    told = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    assert len(told) == 2 and told[0].startswith("error: order = 'hamer'") and told[1] == "[]"


def test_the_first_training_file_of_the_readme_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = TrainConfig.from_yaml("train.yaml")
    assert plan(config, config.n_problems).steps == 32 and plan(config, config.n_problems, 16).steps == 32


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_lab_opens_copies_and_renews_the_older_ones(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in (".venv/bin", "notebooks/systems"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / ".venv/.ready").touch()
    (tmp_path / ".venv/bin/jupyter").symlink_to("/bin/true")
    source, copy = tmp_path / "notebooks/a.ipynb", tmp_path / "results/lab/a.ipynb"

    def lab(written: str, age: int, mine: str | None = None) -> str:
        for name in ("a.ipynb", "systems/b.ipynb"):
            (tmp_path / "notebooks" / name).write_text(written)
            os.utime(tmp_path / "notebooks" / name, (time.time() - age,) * 2)
        if mine:
            copy.write_text(mine)
            os.utime(copy, (time.time() - 100,) * 2)
        ran = subprocess.run(["make", "-s", "lab"], cwd=tmp_path, capture_output=True, text=True, check=True)
        return ran.stdout

    assert "made anew" not in lab("first", 300) and copy.read_text() == "first"
    assert "made anew" not in lab("first", 300, "with outputs") and copy.read_text() == "with outputs"
    assert "a.ipynb.old" in lab("second", 50, "with outputs") and copy.read_text() == "second"
    assert copy.with_name("a.ipynb.old").read_text() == "with outputs" and source.read_text() == "second"
    assert "results/lab/" in (ROOT / ".gitignore").read_text()


def test_a_greedy_order_without_certificate_compiles_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(300, 8)))
    files = ["--embeddings", str(tmp_path / "v.npy"), "--out", str(tmp_path / "o.json")]
    words = ["order", *files, "--no-certificate"]
    code = f"import sys; sys.modules['numba'] = None; from hammerlib.cli import main; sys.exit(main({words}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    plain = order_by("hammer", np.load(tmp_path / "v.npy"))
    assert Order.load(tmp_path / "o.json").permutation.tolist() == plain.permutation.tolist()


def test_what_is_known_of_a_model_before_it_is_loaded_is_what_it_is() -> None:
    for name in ("nano", "smollm2-135m"):
        model, shape = load_backbone(name), known_shape(name)
        assert shape.pop("chat_template") == bool(model.tokenizer.chat_template)
        assert shape == {key: getattr(model.model.config, key) for key in shape} and len(shape) == 2
    assert known_shape("owner/model") == {}
    assert known_shape("nano-untrained") == known_shape("nano")


def test_a_part_of_ones_own_and_a_file_are_checked_with_their_split(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="split = 'heldout': a file has no parts"):
        check_values({"problems": f"file:{tmp_path}/none.jsonl", "split": "heldout"})
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match=r"problems = .*unknown kind of file; use one of \.jsonl"):
        check_values({"problems": f"file:{tmp_path}/mine.txt", "split": "rl"})
    with pytest.raises(InputError, match="split = 'heldout': takes_none takes no split"):
        check_source(f"{__name__}:takes_none", "heldout", fields=("problems", "n_problems"))
    check_source(f"{__name__}:takes_none", "rl", fields=("problems", "n_problems"))
    check_values({"n_problems": 8, "n_second": 4, "prompts_per_step": 8})  # small, and fine without maps
    with pytest.raises(InputError, match="n_second = 20: must be at least 21; a map needs"):
        sizes = {"n_problems": 21, "n_second": 20, "map_seeds": [0]}
        check_values(sizes | {"second_backbone": "nano-untrained"})


def takes_none() -> list[dict[str, str]]:
    """A source that takes neither part, size nor seed."""
    return [{"prompt": "1+1?", "answer": "2"}]
