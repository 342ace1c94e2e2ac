"""Training, a few steps at a time: the order is kept, runs repeat and resume, bad input is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.models.embedder import CompletionEmbedder
from hammerlib.ordering import Order, order_by
from hammerlib.problems import load_problems
from hammerlib.rewards import REWARDS
from hammerlib.runs import RunRecord
from hammerlib.runs.storage import content_hash
from hammerlib.training import Generation, Hooks, TrainConfig, schedule_table, train
from hammerlib.training.logs import IndexLog
from hammerlib.training.schedule import plan

SMALL = TrainConfig(
    n_problems=12,
    order="random",
    prompts_per_step=2,
    group_size=4,
    max_completion_length=24,
    learning_rate=1e-3,
)
# What metrics.csv must hold after every step.
METRICS = {
    "reward", "reward_raw", "entropy", "zero_variance_share", "zero_variance_share_adjusted", "mean_length",
    "clipped_ratio", "mean_cosine", "vendi", "distinct_answers", "distinct_wrong", "effective_group_size",
    "grad_norm", "seconds",
}  # fmt: skip


def metrics(record: RunRecord) -> pd.DataFrame:
    """Everything that must repeat: all logged values but the time they took."""
    table = pd.read_csv(record.folder / "metrics.csv")
    return table[~table.metric.str.startswith("seconds")].reset_index(drop=True)


def weights(record: RunRecord) -> bytes:
    return (record.folder / "model" / "model.safetensors").read_bytes()


def log(record: RunRecord) -> str:
    return (record.folder / "index_log.csv").read_text()


def assert_same(one: RunRecord, other: RunRecord) -> None:
    assert log(one) == log(other)
    pd.testing.assert_frame_equal(metrics(one), metrics(other), check_exact=True)
    assert weights(one) == weights(other)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def whole(root: Path) -> Iterator[RunRecord]:
    """The unbroken run that others are compared with: six steps, one pass."""
    yield train(dataclasses.replace(SMALL, save_steps=2), root=root, progress=False)


def test_a_run_leaves_every_record_and_reports_every_metric(whole: RunRecord) -> None:
    table = metrics(whole)
    assert whole.status == "success"
    assert METRICS - {"seconds"} <= set(table.metric)
    assert table.groupby("metric").size().loc[sorted(METRICS - {"seconds"})].eq(6).all()
    assert {one["path"] for one in whole.manifest["artefacts"]} >= {
        "order.json",
        "index_log.csv",
        "metrics.csv",
    }
    assert whole.manifest["problems_fingerprint"] and whole.manifest["tail_dropped"] == []
    assert not (whole.folder / "checkpoints").exists()
    assert str(whole.folder.parent) not in (whole.folder / "manifest.json").read_text()
    assert whole.run_id.startswith("train__random__none__s0__")


def test_a_log_that_an_older_version_began_goes_on_with_its_columns(tmp_path: Path) -> None:
    old = "step,epoch,process,position,index,id\n1,0,0,0,1,a\n"
    (tmp_path / "index_log.csv").write_text(old)
    batches = plan(dataclasses.replace(SMALL, prompts_per_step=1), 4)
    log = IndexLog(tmp_path, batches, list("abcd"), [1, 0, 2, 3], 0)
    log.check(1, [{"id": "b"}] * SMALL.group_size)
    log.drop([(None, "b", "all correct")])  # which has no place there
    log.record([{"id": "b"}], 2)
    assert (tmp_path / "index_log.csv").read_text() == old + "2,0,0,1,0,b\n"


def test_the_index_log_is_the_schedule_of_the_order(whole: RunRecord) -> None:
    order = Order.load(whole.folder / "order.json")
    planned = schedule_table(SMALL, 12, permutation=order.permutation.tolist())
    found = pd.read_csv(whole.folder / "index_log.csv")
    pd.testing.assert_frame_equal(found[list(planned.columns)], planned)
    problems = load_problems(SMALL.problems, split="rl", n=12)
    assert found["id"].tolist() == [problems[i]["id"] for i in order.permutation.tolist()]


def test_completions_are_kept_with_their_verdicts(whole: RunRecord) -> None:
    table = pd.concat(
        pd.read_parquet(path) for path in sorted((whole.folder / "completions").glob("*.parquet"))
    )
    assert len(table) == 6 * 2 * 4 and table.step.tolist() == sorted(table.step)
    raw = metrics(whole).query("metric == 'reward_raw'").set_index("step")["value"]
    assert np.allclose(table.groupby("step")["correct"].mean(), raw)


def test_training_moves_the_weights_and_the_model_loads_as_a_backbone(whole: RunRecord) -> None:
    trained, start = load_backbone(str(whole.folder / "model")), load_backbone("nano")
    assert trained.weights_hash != start.weights_hash
    text = "Tom has 12 apples and gets 3 more."
    assert trained.tokenizer.decode(trained.tokenizer(text)["input_ids"]) == text


def test_a_finished_run_is_returned_at_once(whole: RunRecord, root: Path) -> None:
    stamp = (whole.folder / "manifest.json").stat().st_mtime_ns
    again = train(SMALL, root=root, progress=False)  # save_steps is bookkeeping: still the same run
    assert again.folder == whole.folder and (again.folder / "manifest.json").stat().st_mtime_ns == stamp


def test_the_same_seed_gives_the_same_metrics_and_another_does_not(whole: RunRecord, tmp_path: Path) -> None:
    assert_same(train(SMALL, root=tmp_path, progress=False), whole)
    other = train(dataclasses.replace(SMALL, seed=1, max_steps=1), root=tmp_path, progress=False)
    assert other.run_id != whole.run_id and log(other) != log(whole)[: len(log(other))]


@pytest.mark.parametrize("loss_type", ["dr_grpo", "dapo"])
def test_dra_trains_with_every_loss_and_logs_rewards_before_and_after(loss_type: str, tmp_path: Path) -> None:
    scale = {"dr_grpo": "none", "dapo": "batch"}[loss_type]
    config = dataclasses.replace(SMALL, adjustment="dra", loss_type=loss_type, scale_rewards=scale,
                                 max_steps=2,
                                 rewards=("accuracy", "format"), order="hammer")  # fmt: skip
    record = train(config, root=tmp_path, progress=False)
    table = metrics(record).pivot_table(index="step", columns="metric", values="value")
    assert (table["reward"] <= table["reward_raw"] + 1e-6).all() and (
        table["reward"] < table["reward_raw"]
    ).any()
    assert {"raw/accuracy_reward", "raw/format_reward", "dra/mean_weight"} <= set(table.columns)
    assert record.run_id.startswith("train__hammer__dra__s0__")


def test_dra_takes_its_options_and_embedders_from_config_or_caller(tmp_path: Path) -> None:
    short = dataclasses.replace(SMALL, adjustment="dra", max_steps=1, max_completion_length=8)
    safe = {"sign": "safe", "normalize": True, "smi": "log_det"}
    config = dataclasses.replace(
        short, adjustment_options=safe, embedder="policy", rewards=("cosine", "repetition", "length", "tags")
    )
    record = train(config, root=tmp_path, progress=False)
    table = metrics(record).set_index("metric")["value"]
    assert table["dra/mean_weight"] == pytest.approx(1, abs=1e-6)
    assert {"raw/cosine_reward", "raw/repetition_reward", "raw/length_reward"} <= set(table.index)
    assert record.manifest["parameters"]["adjustment_options"] == safe
    assert record.manifest["embedder"] == "policy"

    def lengths(texts: list[str]) -> np.ndarray:
        return np.array([[1.0, len(text)] for text in texts])

    local = dataclasses.replace(short, adjustment_options={"scope": "official-local"})
    theirs = train(local, root=tmp_path, embedder=lengths, progress=False)
    assert "lengths" in theirs.manifest["embedder"] and theirs.run_id != record.run_id
    with pytest.raises(InputError, match="adjustment: dra"):
        train(SMALL, root=tmp_path, embedder=lengths, progress=False)


def test_what_only_steers_dra_names_a_run_only_where_it_counts() -> None:
    plain = TrainConfig(adjustment="dra")
    said = dataclasses.replace(plain, adjustment_options={"sign": "paper", "clamp": False})
    assert said.identity() == plain.identity() and "embedder" not in plain.identity()
    other = dataclasses.replace(plain, adjustment_options={"sign": "safe"}, embedder="policy")
    assert other.identity() != plain.identity()
    assert dataclasses.replace(other, adjustment="none").identity() == TrainConfig().identity()
    # The names of runs made before these options existed.
    assert content_hash(TrainConfig().identity()).startswith("cc9064ed455a")
    assert content_hash(plain.identity()).startswith("c1c3565806b3")


def test_every_reward_that_a_config_can_name_exists() -> None:
    assert TrainConfig(rewards=tuple(REWARDS)).validate()


def test_the_kl_reference_is_the_backbone_that_was_loaded(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, beta=0.1, max_steps=2, max_completion_length=8)
    record = train(config, root=tmp_path, progress=False)
    kl = metrics(record).query("metric == 'kl'")["value"].tolist()
    assert kl[0] == pytest.approx(0, abs=1e-6)
    assert not (record.folder / "reference").exists()


def test_the_four_seams_are_called_and_change_the_run(whole: RunRecord, tmp_path: Path) -> None:
    seen = []

    def advantage(rollout: object) -> object:
        return 0 * rollout.advantages[:, None].repeat(1, max(map(len, rollout.completion_ids)))

    def loss(trainer: object, model: object, inputs: dict, default: object) -> object:
        seen.append("loss")
        return default()

    def rollout(rows: list, trainer: object) -> Generation:
        ids = trainer.processing_class([row["prompt"] for row in rows])["input_ids"]
        return Generation(rows, ids, [[7, 8, trainer.processing_class.eos_token_id]] * len(ids))

    plugs = Hooks(
        rollout=rollout, advantage=advantage, loss=loss, observe=lambda r: {"rows": len(r.completions)}
    )
    record = train(dataclasses.replace(SMALL, max_steps=1), root=tmp_path, plugs=plugs, progress=False)
    table = metrics(record).set_index("metric")["value"]
    assert seen == ["loss"] and table["rows"] == 8 and table["mean_length"] == 3 and table["grad_norm"] == 0
    assert record.run_id != whole.run_id and record.manifest["plugs"]["loss"]


def test_advantages_of_another_shape_are_refused(tmp_path: Path) -> None:
    plugs = Hooks(advantage=lambda rollout: rollout.advantages[:3])
    with pytest.raises(InputError, match="advantage"):
        train(dataclasses.replace(SMALL, max_steps=1), root=tmp_path, plugs=plugs, progress=False)
    (folder,) = tmp_path.glob("train__*")
    assert RunRecord.load(folder).status == "error"


def test_training_stops_at_the_first_batch_that_is_not_the_orders(tmp_path: Path) -> None:
    from hammerlib.training import build
    from hammerlib.training.logs import OrderMismatchError

    with pytest.MonkeyPatch.context() as patch:
        arguments = build.grpo_arguments

        def shuffled(job: object, folder: Path) -> object:
            found = arguments(job, folder)
            found.shuffle_dataset = True
            return found

        patch.setattr(build, "grpo_arguments", shuffled)
        with pytest.raises(OrderMismatchError, match="step 1"):
            train(SMALL, root=tmp_path, progress=False)


def test_completions_without_a_visible_character_are_embedded_as_the_end_of_text() -> None:
    backbone = load_backbone("nano")
    vectors = CompletionEmbedder(backbone)(["", " ", "\n\t ", backbone.tokenizer.eos_token, "4"])
    assert np.allclose(vectors[:4], vectors[0], atol=1e-6) and not np.allclose(vectors[4], vectors[0])


def test_the_tail_is_named_in_the_manifest(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, n_problems=3, max_completion_length=4)
    with pytest.raises(InputError, match="tail: report"):
        train(config, root=tmp_path, progress=False)
    assert not list(tmp_path.iterdir())
    record = train(dataclasses.replace(config, tail="report"), root=tmp_path, progress=False)
    order = Order.load(record.folder / "order.json")
    problems = load_problems(config.problems, split="rl", n=3)
    assert record.manifest["tail_dropped"] == [problems[int(order.permutation[-1])]["id"]]


def test_an_order_of_other_problems_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    ours, others = load_problems(SMALL.problems, n=12), load_problems(SMALL.problems, n=12, seed=5)
    order = order_by("random", None, problems=others)
    with pytest.raises(InputError, match="order"):
        train(SMALL, problems=ours, order=order, root=tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("values", "words"), [
    ({"order": "magic"}, "hammer"),
    ({"loss_type": "ppo"}, "dr_grpo"),
    ({"adjustment": "all"}, "dra"),
    ({"rewards": ()}, "at least one"),
    ({"rewards": ("magic",)}, "cosine"),
    ({"group_size": 1}, "at least 2"),
    ({"learning_rate": "2e-4"}, "without quotes"),
    ({"learning_rate": 0.0}, "more than 0"),
    ({"epochs": 1.5}, "epochs"),
    ({"temperature": float("nan")}, "finite"),
    ({"prompts_per_step": 7}, "leaves 6"),
    ({"n_problems": 4}, "at least 8"),
    ({"report_to": ("magic",)}, "tensorboard"),
    ({"tail": "drop"}, "report"),
    ({"embedder": "magic"}, "sentence-transformers:MODEL"),
    ({"adjustment_options": {"smi": "magic"}}, "log_det"),
    ({"adjustment_options": {"sing": "safe"}}, "known: sign"),
    ({"adjustment_options": ["sign"]}, "name: value"),
    ({"max_steps": True}, "max_steps"),
    ({"template": "html"}, "chat"),
    ({"scale_rewards": "row"}, "batch"),
    ({"max_steps": 500}, "epochs: 4"),
])  # fmt: skip
def test_nonsense_in_a_config_is_told_in_one_line(values: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        TrainConfig(**values).validate()
    assert "\n" not in str(caught.value) and caught.value.remedy


def test_chat_needs_a_backbone_with_a_chat_template(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="chat"):
        train(dataclasses.replace(SMALL, template="chat"), root=tmp_path, progress=False)


def test_completions_longer_than_the_model_reads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"max_completion_length = 500: with a prompt of \d+ tokens"):
        train(dataclasses.replace(SMALL, max_completion_length=500), root=tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_config_is_read_from_yaml_and_names_what_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("order: random\nlearning_rate: 1.0e-4\nrewards: [accuracy, format]\nmax_steps: null\n")
    assert TrainConfig.from_yaml(path) == TrainConfig(
        order="random", learning_rate=1e-4, rewards=("accuracy", "format")
    )
    for text, words in (("ordr: random\n", "ordr"), ("[1, 2", "cannot be read"), ("7\n", "name: value")):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            TrainConfig.from_yaml(path)


def test_the_launcher_exits_with_2_and_one_line_on_bad_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from hammerlib.training.launch import main

    (tmp_path / "bad.yaml").write_text("group_size: 1\n")
    assert main(["--config", str(tmp_path / "bad.yaml")]) == 2
    assert capsys.readouterr().err.startswith("error: group_size = 1:")
