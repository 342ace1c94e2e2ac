"""Bigger machines by configuration only: LoRA, vLLM, launch files, the cluster job, the dry run."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import launch_command_parser
from safetensors.numpy import load_file
from test_training import SMALL, weights

from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.ordering import order_by
from hammerlib.problems import load_problems
from hammerlib.runs import start_run
from hammerlib.runs.trials import Guess
from hammerlib.training import Hooks, TrainConfig, train
from hammerlib.training.build import _server_named, build_trainer, check_port, check_shards
from hammerlib.training.config import check_vllm, vllm_arguments
from hammerlib.training.machines import Shape, devices_named, expected
from hammerlib.training.preview import (
    FACTOR,
    estimate_memory,
    peak,
    preview,
    sharded,
    trained_parameters,
    warnings_about,
)
from hammerlib.training.run import prepare
from hammerlib.training.schedule import plan

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "launch"

# LoRA

ADAPTERS = dataclasses.replace(
    SMALL, lora_rank=4, max_steps=2, learning_rate=1e-2, scheduler="constant", max_completion_length=40
)


def start_weights() -> dict[str, np.ndarray]:
    return load_file(Path(load_backbone("nano").model.name_or_path) / "model.safetensors")


def test_lora_trains_its_adapters_alone_and_the_merged_model_reloads(tmp_path: Path) -> None:
    record = train(ADAPTERS, root=tmp_path, progress=False)
    start = start_weights()
    merged = load_file(record.folder / "model" / "model.safetensors")
    moved = {name for name in start if not np.array_equal(start[name], merged[name])}
    linear = {name for name in start if "_proj" in name}
    assert moved == linear  # every adapted layer, and nothing else
    for name in linear:
        assert np.linalg.matrix_rank(merged[name] - start[name], tol=1e-4) <= 4
    assert not list((record.folder / "model").glob("*adapter*"))
    trained = load_backbone(str(record.folder / "model"))
    ids = trained.tokenizer("7+8=", return_tensors="pt")
    assert (
        trained.model.generate(**ids, max_new_tokens=4, do_sample=False).shape[1] > ids["input_ids"].shape[1]
    )


@pytest.mark.parametrize(("values", "words"), [
    ({}, "set lora_rank: 16"),
    ({"lora_rank": 4, "sampler": "decoding"}, "round them away; set sampler: trl"),
    ({"lora_rank": 4, "vllm": "colocate"}, "round them away; set vllm: off"),
    ({"lora_rank": 4, "vllm": "server", "vllm_server": "http://node:8000"}, "round them away; set vllm: off"),
])  # fmt: skip
def test_four_bits_go_with_adapters_that_nothing_merges(values: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TrainConfig(load_in_4bit=True, **values).validate()


@pytest.mark.long
def test_a_lora_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    config = dataclasses.replace(ADAPTERS, save_steps=1)
    whole = train(config, root=tmp_path / "a", progress=False)

    def stop(rollout: object) -> dict[str, float]:
        if rollout.step == 1 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        return {}

    plugs = Hooks(observe=stop)
    with pytest.raises(KeyboardInterrupt):
        train(config, root=tmp_path / "b", algorithms=[plugs], progress=False)
    again = train(config, root=tmp_path / "b", algorithms=[plugs], progress=False)
    assert again.manifest["resumed_from_step"] == 1 and weights(again) == weights(whole)


# vLLM


@pytest.mark.parametrize(("values", "words"), [
    ({"vllm": "on"}, "colocate"),
    ({"vllm": "server"}, "trl vllm-serve"),
    ({"vllm": "server", "vllm_server": "localhost:8000"}, "is no URL"),
    ({"vllm_server": "http://localhost:8000"}, "set vllm: server"),
    ({"vllm": "server", "vllm_server": "http://localhost:8000", "vllm_tensor_parallel": 2}, "vllm: colocate"),
    ({"vllm": "colocate", "vllm_group_port": 51217}, "set vllm: server"),
    ({"vllm": "server", "vllm_server": "http://localhost:8000", "vllm_group_port": 70000}, "65536|less than"),
    ({"vllm": "colocate", "vllm_memory": 0.99}, "no memory for training"),
    ({"vllm": "colocate", "vllm_memory": 0.0}, "more than 0"),
    ({"vllm_tensor_parallel": 0}, "at least 1"),
])  # fmt: skip
def test_vllm_fields_that_make_no_sense_together_are_refused(values: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        TrainConfig(**values).validate()
    assert "\n" not in str(caught.value)


def test_vllm_is_refused_with_odd_processes_and_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(vllm="colocate", vllm_tensor_parallel=2)
    with pytest.raises(InputError, match="does not divide 3"):
        check_vllm(config, processes=3)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"hammerlib\[vllm\]"):
        train(config)


def test_vllm_is_told_to_trl_by_trls_own_names_and_names_the_run() -> None:
    from trl import GRPOConfig

    server = TrainConfig(vllm="server", vllm_server="http://node:8000")
    told = {**vllm_arguments(TrainConfig(vllm="colocate"), 100), **vllm_arguments(server, 100)}
    assert set(told) <= {field.name for field in dataclasses.fields(GRPOConfig)}
    assert vllm_arguments(TrainConfig(vllm="colocate"), 100)["vllm_max_model_length"] == 148
    assert server.identity() != TrainConfig().identity()  # other samples, another run ...
    assert vllm_arguments(server, 100)["vllm_group_port"] == GRPOConfig.vllm_group_port  # TRL's default
    elsewhere = dataclasses.replace(server, vllm_server="http://other:8000", vllm_group_port=51217)
    assert vllm_arguments(elsewhere, 100)["vllm_group_port"] == 51217
    assert elsewhere.identity() == server.identity()  # ... wherever the server stands


def test_a_second_trainer_on_a_machine_is_told_that_its_port_is_taken(tmp_path: Path) -> None:
    job = prepare(SMALL)
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = {"vllm": "server", "vllm_server": "http://node:8000", "vllm_group_port": port}
        second = dataclasses.replace(job, config=dataclasses.replace(SMALL, **settings))
        line = rf"^vllm_group_port = {port}: cannot be used: Address already in use; set another, such as"
        with (
            start_run("train", parameters={}, root=tmp_path) as record,
            pytest.raises(InputError, match=line) as caught,
        ):
            build_trainer(second, record)
        assert "\n" not in str(caught.value)
    check_port(port)  # the first one ended


def test_what_trl_finds_wrong_with_a_server_is_one_line_and_other_errors_stay() -> None:
    config = TrainConfig(vllm="server", vllm_server="http://node:8000")
    told = "The vLLM server can't be reached at http://node:8000 after 240.0 seconds. Make sure that it runs."
    line = (
        r"^vllm_server = 'http://node:8000': The vLLM server can't be reached.*that it runs; start `trl vllm"
    )
    with pytest.raises(InputError, match=line), _server_named(config):
        raise ConnectionError(told)
    with pytest.raises(RuntimeError, match="out of memory") as other, _server_named(config):
        raise RuntimeError("CUDA out of memory")
    assert not isinstance(other.value, InputError)


# Launch files


@pytest.mark.parametrize(("name", "kind"), [
    ("ddp", "MULTI_GPU"), ("fsdp", "FSDP"), ("zero2", "DEEPSPEED"), ("zero3", "DEEPSPEED"),
])  # fmt: skip
def test_launch_files_are_what_accelerate_reads(name: str, kind: str) -> None:
    path = LAUNCH / f"{name}.yaml"
    found = load_config_from_file(str(path))
    assert isinstance(found, ClusterConfig) and found.distributed_type == kind
    # accelerate would drop a name it does not know with a warning only.
    known = {field.name for field in dataclasses.fields(ClusterConfig)}
    assert set(yaml.safe_load(path.read_text())) <= known
    assert found.mixed_precision == "bf16" and found.num_processes == 8
    parser = launch_command_parser()
    flags = {action.dest for action in parser._actions}
    assert set(found.fsdp_config or {}) | set(found.deepspeed_config or {}) <= flags
    assert f"--config_file launch/{name}.yaml" in path.read_text()


def test_the_two_deepspeed_files_differ_in_the_stage_and_both_shard_as_they_say() -> None:
    two, three = (load_config_from_file(str(LAUNCH / f"zero{n}.yaml")).deepspeed_config for n in (2, 3))
    assert (two["zero_stage"], three["zero_stage"]) == (2, 3)
    assert three["zero3_save_16bit_model"]  # else the saved model is empty
    fsdp = load_config_from_file(str(LAUNCH / "fsdp.yaml")).fsdp_config
    assert fsdp["fsdp_version"] == 2 and fsdp["fsdp_state_dict_type"] == "FULL_STATE_DICT"


@pytest.mark.parametrize(("state", "how"), [
    ({"fsdp_plugin": object()}, "FSDP"),
    ({"deepspeed_plugin": SimpleNamespace(zero_stage=3)}, "ZeRO-3"),
    ({"deepspeed_plugin": SimpleNamespace(zero_stage=2)}, None),
    ({}, None),
])  # fmt: skip
def test_what_cannot_be_done_in_shards_is_refused_before_the_first_step(state: dict, how: str | None) -> None:
    accelerator = SimpleNamespace(state=SimpleNamespace(**state))
    check_shards(SMALL, accelerator)
    for config in (
        dataclasses.replace(SMALL, lora_rank=4),
        dataclasses.replace(SMALL, adjustment="dra", embedder="policy"),
    ):
        if how is None:
            check_shards(config, accelerator)
            continue
        with pytest.raises(InputError, match=how):
            check_shards(config, accelerator)


# The cluster job, with the cluster's commands replaced by ones that tell what they were asked


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment as Slurm gives it on the second of two machines of four GPUs."""
    commands = {
        "scontrol": '[ "$1" = show ] && printf "node-a\\nnode-b\\n" || echo "scontrol $*" >> "$TOLD"',
        "srun": 'while [[ "$1" == --* ]]; do shift; done; SLURM_NODEID=1 exec "$@"',
        "accelerate": 'printf "%q " "$@" > "$ASKED"; [ -z "${SLOW:-}" ] || { kill -USR1 $PPID; sleep 5; }',
    }
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "train.yaml").write_text("order: random\n")
    (tmp_path / "order.json").write_text("{}")
    return os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "123", "SLURM_NNODES": "2",
        "SLURM_JOB_NODELIST": "node-[a-b]", "SLURM_GPUS_ON_NODE": "4", "TOLD": str(tmp_path / "told"),
        "ASKED": str(tmp_path / "asked"), "HAMMER_CACHE": str(tmp_path),
    }  # fmt: skip


def job(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess:
    command = ["bash", str(LAUNCH / "slurm.sh"), *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["ddp", "zero3"])
def test_the_cluster_job_starts_accelerate_on_every_machine_alike(
    name: str, cluster: dict[str, str], tmp_path: Path
) -> None:
    ended = job(cluster, str(tmp_path / "train.yaml"), f"launch/{name}.yaml", str(tmp_path / "order.json"))
    assert ended.returncode == 0, ended.stderr
    words = shlex.split((tmp_path / "asked").read_text())
    chosen = launch_command_parser().parse_args(words[1:])  # accelerate's own reading of the line
    assert words[0] == "launch" and chosen.config_file == f"launch/{name}.yaml"
    assert (chosen.num_machines, chosen.machine_rank, chosen.num_processes) == (2, 1, 8)
    assert chosen.main_process_ip == "node-a" and 20000 <= chosen.main_process_port < 40000
    assert chosen.module and chosen.training_script == "hammerlib.training.launch"
    expected = ["--config", str(tmp_path / "train.yaml"), "--order", str(tmp_path / "order.json")]
    assert chosen.training_script_args == expected


def test_the_cluster_job_is_valid_asks_for_what_the_launch_files_use_and_queues_itself_again(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    text = (LAUNCH / "slurm.sh").read_text()
    assert subprocess.run(["bash", "-n", str(LAUNCH / "slurm.sh")]).returncode == 0
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", text, re.M))
    assert "requeue" in options and options["signal"] == "B:USR1@120" and options["ntasks-per-node"] == "1"
    for path in LAUNCH.glob("*.yaml"):
        assert load_config_from_file(str(path)).num_processes == int(options["gpus-per-node"])
    job(cluster | {"SLOW": "1"}, str(tmp_path / "train.yaml"))
    assert (tmp_path / "told").read_text().strip() == "scontrol requeue 123"
    refused = job(cluster, "missing.yaml")
    assert refused.returncode == 2 and refused.stderr.startswith("error: file = 'missing.yaml'")


# The dry run


def test_adapters_are_counted_as_peft_makes_them() -> None:
    from peft import LoraConfig, get_peft_model

    count = trained_parameters(load_backbone("nano").model, 4)
    adapted = get_peft_model(load_backbone("nano").model, LoraConfig(r=4, target_modules="all-linear"))
    assert adapted.get_nb_trainable_parameters()[0] == count


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(
        "{n_problems: 18, prompts_per_step: 4, group_size: 4, tail: report, order: random, adjustment: dra,"
        " steps_per_generation: 2, save_steps: 2, max_completion_length: 8}"
    )
    return path


def test_a_dry_run_tells_everything_and_makes_nothing(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = tmp_path / "results"
    words = ["train", "--config", str(config), "--dry-run", "--processes", "2", "--results", str(results)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert not results.exists()
    for fact in (
        "world size 2", "2 processes x 8 rows x 1 accumulated = 16 completions a step = 4 prompts x 4",
        "8 prompts a generation batch, for 2 micro-batches (2 steps)",
        "4 steps; one pass is 4 steps over 16 problems, 2 left over",
        "zero3.yaml", "every 2 steps (1 in all", "scale_rewards: group", "inside one it is random",
        "tail: the last 2 problems",
    ):  # fmt: skip
        assert fact in told, fact


@pytest.mark.long
def test_the_dry_runs_schedule_is_the_index_log_of_the_run(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    order = order_by("reversed", None, problems=load_problems(SMALL.problems, split="rl", n=18), of="dataset")
    order.save(tmp_path / "order.json")
    words = ["train", "--config", str(config), "--order", str(tmp_path / "order.json"),
             "--results", str(tmp_path / "runs")]  # fmt: skip
    assert main([*words, "--dry-run"]) == 0
    told = dict(re.findall(r"step (\d+), epoch 0: (\S+),", capsys.readouterr().out))
    # VmHWM is this program's own peak; ru_maxrss would count what its parent held when it started it.
    program = "import sys; from hammerlib.cli import main; assert main(sys.argv[1:]) == 0; "
    program += "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    child = subprocess.run([sys.executable, "-c", program, *words], stdout=subprocess.PIPE, text=True)
    *_, place, kilobytes = child.stdout.split()
    folder = Path(place)
    assert child.returncode == 0 and folder.name.startswith("train__reversed__dra__")
    first = {
        line.split(",")[0]: line.split(",")[5]
        for line in reversed((folder / "index_log.csv").read_text().split()[1:])
    }
    assert set(told) == {"1", "2", "3", "4"} and told == first
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["order_hash"] == order.hash and manifest["parameters"]["order"] == "reversed"
    # The memory that was foretold, against what this process took at its height.
    foretold = peak(estimate_memory(prepare(TrainConfig.from_yaml(config))))
    assert foretold / FACTOR < int(kilobytes) * 1024 < foretold * FACTOR


def test_an_order_for_other_problems_is_refused(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    order_by("random", None, problems=load_problems(SMALL.problems, n=18, seed=4)).save(tmp_path / "o.json")
    assert main(["train", "--config", str(config), "--order", str(tmp_path / "o.json"), "--dry-run"]) == 2
    assert main(["train", "--config", str(config), "--order", str(tmp_path / "none.json")]) == 2
    assert main(["train", "--config", str(config), "--processes", "2"]) == 2
    assert main(["train", "--config", str(config), "--dry-run", "--processes", "0"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4 and all(line.startswith("error:") for line in errors)
    assert "--dry-run" in errors[2]


@pytest.mark.parametrize(("values", "said"), [
    ({"adjustment": "dra"}, "scale_rewards"),
    ({"adjustment": "dra", "rewards": ("cosine",)}, "sign: safe"),
    ({"loss_type": "dr_grpo"}, "2503.20783"),
    ({"num_iterations": 2}, "inside one it is random"),
    ({"max_steps": 1}, "end is not reached"),
    ({"threads": 2}, "slower"),
    ({"save_steps": None}, "starts again"),
])  # fmt: skip
def test_every_caution_comes_with_its_cause_and_goes_without_it(values: dict, said: str) -> None:
    clean = dataclasses.replace(SMALL, n_problems=8, save_steps=2)
    assert warnings_about(prepare(clean)) == []
    assert any(said in line for line in warnings_about(prepare(dataclasses.replace(clean, **values))))


def test_the_memory_of_each_part_follows_its_formula() -> None:
    size = load_backbone("nano").model.num_parameters() * 4
    plain = estimate_memory(prepare(dataclasses.replace(SMALL, beta=0.1)))
    assert plain["policy"] == plain["start model"] == plain["reference"] == plain["gradients"] == size
    assert plain["optimizer"] == 2 * size
    lora = estimate_memory(prepare(dataclasses.replace(SMALL, lora_rank=2, beta=0.1)))
    assert lora["gradients"] < 0.05 * size and lora["reference"] == 0 and lora["policy"] > size
    longer = estimate_memory(prepare(dataclasses.replace(SMALL, max_completion_length=96)))
    assert longer["training"] > 2 * plain["training"]
    gpu = estimate_memory(prepare(SMALL), device="cuda")
    assert gpu["generation"] * 2 == plain["generation"] and gpu["training"] < plain["training"]
    each = sharded(plain, 8)
    assert each["ddp"] == peak(plain) > each["zero2"] > each["zero3"] == each["fsdp"]


QWEN = {  # of Qwen2.5-0.5B-Instruct: 494,032,768 parameters, as its card says (0.49 B)
    "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": 896, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936,
    "tie_word_embeddings": True, "max_position_embeddings": 32768,
}  # fmt: skip


@pytest.fixture
def shape(tmp_path: Path) -> Path:
    """A folder with a model's configuration and a tokenizer, and no weights."""
    folder = tmp_path / "shape"
    load_backbone("nano").tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(QWEN))
    return folder


def planned(capsys: pytest.CaptureFixture, *words: str) -> str:
    """What a dry run prints for a GPU that is not here."""
    command = ["train", "--dry-run", "--set", "n_problems=16", "--set", "gradient_accumulation=8"]
    assert main([*command, *words]) == 0
    return capsys.readouterr().out


def test_a_plan_for_a_device_needs_neither_weights_nor_vllm(
    shape: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HAMMER_RESULTS", str(tmp_path / "runs"))
    monkeypatch.delenv("HAMMER_DATA", raising=False)
    here = ["--set", f"backbone={shape}", "--device", "24 GB"]
    full = planned(capsys, *here)
    assert "494,032,768 parameters" in full and "not made here" in full
    assert re.search(r"time         about \d+ s to \d+ s: \d[\d,]+ tokens, were every completion", full)
    assert "not measured: arithmetic from the data sheet of RTX 3090, RTX 4090, A10; the first run" in full
    assert "the data sheet of RTX 4090;" in planned(capsys, *here[:-1], "RTX 4090")
    assert "unknown: nothing is known of a GPU of 13 GB" in planned(capsys, *here[:-1], "13 GB")
    assert re.search(r"fits into 24 GB: 1\d GB", full) and "download" not in full
    job = prepare(TrainConfig(backbone=str(shape), n_problems=16), weights=False)
    named = dataclasses.replace(
        job, backbone=dataclasses.replace(job.backbone, name="Qwen/Qwen2.5-0.5B-Instruct")
    )
    assert "download of about 988 MB where the hub's cache does not hold Qwen/" in preview(named, "24 GB")
    colocated = planned(capsys, *here, "--set", "vllm=colocate")
    if importlib.util.find_spec("vllm") is None:
        assert "vllm: not installed on this machine" in colocated
    assert "with vLLM's 7.2 GB" in colocated
    small = planned(capsys, "--set", f"backbone={shape}", "--device", "4 GB")
    assert "does not fit into 4.0 GB" in small and "smaller: lora_rank" in small
    lora = planned(capsys, *here, "--set", "lora_rank=32")
    assert "fits into 24 GB" in lora and "LoRA of rank 32" in lora
    four = planned(capsys, *here, "--set", "lora_rank=32", "--set", "load_in_4bit=true")
    assert "LoRA of rank 32 on 4 bits" in four
    policy = [float(re.search(r"policy ([\d.]+) GB", text.replace("MB", "GB"))[1]) for text in (lora, four)]
    assert policy == [1.1, 527.0]  # GB, MB: 358 million weights of 4.13 bits, 136 million of 16


def test_a_finished_run_refines_the_time(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    words = ["--set", "n_problems=16", "--set", "order=random", "--results", str(tmp_path)]
    assert main(["train", *words, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "at most about" in told and "step-nano.md" in told
    assert main(["train", *words]) == 0
    run = Path(capsys.readouterr().out.split()[-1])
    row = json.loads((run / "manifest.json").read_text())["machine"]
    table = pd.read_csv(run / "metrics.csv").groupby("metric")["value"].sum()
    assert row["training"] == pytest.approx(table["sampled_tokens"] / table["seconds"], abs=0.06)
    assert main(["train", *words, "--set", "seed=1", "--dry-run"]) == 0
    assert f"({run.name})" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "names"), [
    ("24 GB", ["RTX 3090", "RTX 4090", "A10"]), ("24gb", ["RTX 3090", "RTX 4090", "A10"]),
    ("80GiB", ["A100 80 GB", "H100"]), ("13 GB", ["a GPU"]),
    ("rtx 4090", ["RTX 4090"]), ("NVIDIA GeForce RTX 4090", ["RTX 4090"]), ("NVIDIA A10", ["A10"]),
    ("A100 80GB", ["A100 80 GB"]), ("NVIDIA A100-SXM4-40GB", ["A100 40 GB"]),
    ("NVIDIA A100 80GB PCIe", ["A100 80 GB"]), ("NVIDIA H100 80GB HBM3", ["H100"]), ("H200", ["H200"]),
    # others of like names, whose data sheets say something else, and two in one word
    ("NVIDIA A10G", None), ("NVIDIA GeForce RTX 4090 Laptop GPU", None), ("NVIDIA GeForce RTX 3090 Ti", None),
    ("NVIDIA H100 PCIe", None), ("NVIDIA H100 NVL", None), ("A100", None), ("a big one", None), ("", None),
    ("0 GB", None), ("0.0 GiB", None), ("-1 GB", None), ("GB", None), ("24", None), ("24 TB", None),
])  # fmt: skip
def test_a_device_is_a_size_or_the_name_of_one_gpu(words: str, names: list[str] | None) -> None:
    if names is None:
        with pytest.raises(InputError, match="write a size such as '24 GB', or one of RTX 3090, ") as caught:
            devices_named(words)
        assert "\n" not in str(caught.value)
    else:
        assert [device.name for device in devices_named(words)] == names
    if words == "24gb":
        assert devices_named(words)[0].memory == 24e9


def test_a_device_is_only_planned_for(capsys: pytest.CaptureFixture) -> None:
    assert main(["train", "--set", "seed=1", "--device", "24 GB"]) == 2
    assert main(["sweep", str(ROOT / "configs/study/gpu.yaml"), "--device", "24 GB"]) == 2
    assert capsys.readouterr().err.count("add --dry-run") == 2
    assert main(["train", "--set", "seed=1", "--dry-run", "--device", "a big one"]) == 2
    assert "write a size such as '24 GB'" in capsys.readouterr().err


# Time by data sheets: no GPU was measured

HALF = Shape(494_032_768, 2 * 24 * 2 * 64 * 2)  # Qwen2.5-0.5B: 24 layers of 2 heads of 64, keys and values
RECIPE = TrainConfig(
    n_problems=7424, group_size=5, prompts_per_step=64, gradient_accumulation=64, lora_rank=32, beta=0.001,
    max_completion_length=1024, vllm="colocate", template="chat",
)  # fmt: skip


def seconds_of(config: TrainConfig = RECIPE, shape: Shape = HALF, gpu: str = "H100", **others: int) -> Guess:
    processes = others.pop("processes", 1)
    prompt = others.pop("prompt", 200)
    batches = plan(config, config.n_problems, processes)
    return expected(config, batches, shape, devices_named(gpu), prompt=prompt, **others)


@pytest.fixture
def no_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of runs in which there is none yet."""
    monkeypatch.setenv("HAMMER_RESULTS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_the_arithmetic_is_the_formula_by_hand(no_runs: Path) -> None:
    # one step of 2 x 2 completions of 100 tokens, prompts of 50, all weights, transformers
    config = TrainConfig(
        n_problems=2, prompts_per_step=2, group_size=2, max_completion_length=100, gradient_accumulation=2
    )
    found = seconds_of(config, Shape(1e9, 1000.0), "RTX 4090", prompt=50)
    for seconds, share, wait in ((found.most, 0.075, 0.066), (found.least, 0.462, 0.0)):
        read = (1e9 * 4 + 4 * 1000 * (50 + 50)) / 1008e9
        assert read > 2 * 1e9 * 4 / (165.2e12 * share)  # of so few rows reading decides
        assert seconds == pytest.approx(100 * (wait + read) + 4 * 150 * 4 * 2 * 1e9 / (165.2e12 * share))


def test_the_plan_by_data_sheets_grows_with_model_tokens_and_trials(no_runs: Path) -> None:
    once = seconds_of()
    assert once.least < once.most
    twice = seconds_of(dataclasses.replace(RECIPE, n_problems=2 * 7424))
    assert (twice.least, twice.most) == pytest.approx((2 * once.least, 2 * once.most))
    # ten times the weights: the waits between tokens stay, the rest is tenfold
    large = seconds_of(shape=Shape(10 * HALF.parameters, 10 * HALF.cached))
    waits = 116 * 1024 * 0.066
    assert large.least == pytest.approx(10 * once.least)
    assert large.most - waits == pytest.approx(10 * (once.most - waits))
    short = seconds_of(dataclasses.replace(RECIPE, max_completion_length=512))
    assert once.most / 3 < short.most < 0.6 * once.most
    pair = seconds_of(dataclasses.replace(RECIPE, gradient_accumulation=32), processes=2)
    assert once.least / 2 < pair.least < once.least and once.most / 2 < pair.most < once.most
    budget = seconds_of(dataclasses.replace(RECIPE, token_budget=116 * 64 * 5 * 1024 // 4))
    assert budget.most == pytest.approx(once.most / 4)
    # a GPU of more FLOP/s and bandwidth is faster at both ends
    slower, faster = seconds_of(gpu="RTX 3090"), seconds_of(gpu="RTX 4090")
    assert faster.least < slower.least and faster.most < slower.most
    any_of_24 = seconds_of(gpu="24 GB")
    assert any_of_24.least == faster.least and any_of_24.most == slower.most


def test_the_log_that_the_recipe_names_lies_within_the_plan(no_runs: Path) -> None:
    # its last step, on two GPUs that it does not name: gen, old_log_prob, ref, update_actor
    found = seconds_of(dataclasses.replace(RECIPE, gradient_accumulation=32), gpu="80 GB", processes=2)
    assert found.least < 116 * (67.868 + 1.907 + 0.768 + 6.339) < found.most
    assert found.most < 10 * 3600  # and the plan says something


@pytest.mark.parametrize("recipe", ["gsm8k-qwen", "gsm8k-qwen-full", "math-qwen", "math-qwen-full"])
def test_the_recipes_for_24_gb_take_hours_by_their_data_sheets(recipe: str, no_runs: Path) -> None:
    config = TrainConfig.from_dict(yaml.safe_load((ROOT / f"configs/recipes/{recipe}.yaml").read_text()))
    found = seconds_of(config, gpu="24 GB")
    assert 0.4 * 3600 < found.least < 2 * 3600 and 6 * 3600 < found.most < 24 * 3600
    assert found.by.startswith("not measured: ") and "\n" not in found.by


def test_what_was_not_executed_says_so_in_its_head() -> None:
    files = [
        *(ROOT / "configs").glob("*.yaml"),
        *(ROOT / "configs" / "recipes").glob("*.yaml"),
        ROOT / "Dockerfile",
    ]
    files += [ROOT / "configs/study/gpu.yaml", *LAUNCH.iterdir()]
    assert len(files) > 20
    for file in files:
        lines = file.read_text().splitlines()
        head = " ".join(lines[: next(k for k, line in enumerate(lines) if k and not line.startswith("#"))])
        executed = file.stem in ("ci", "laptop")
        assert executed != bool(re.search(r"Not (run|built) by us|Not run by us yet|Not executed", head)), (
            file
        )


def test_a_measured_run_replaces_the_arithmetic_on_its_device_alone(no_runs: Path) -> None:
    by_sheet, here = seconds_of(), expected(SMALL, plan(SMALL, 1000), Shape(839_168))
    assert "step-nano.md" in here.by and here.least == here.most  # this CPU was measured
    row = {"device": "NVIDIA H100 80GB HBM3", "parameters": 494_032_768, "savings": False, "vllm": "colocate"}
    row |= {"training": 4000.0}
    with start_run("train", parameters={}, run_id="train__one", root=no_runs) as run:
        run.note(machine=row)
    measured = seconds_of()
    assert measured.least == measured.most == 7424 * 5 * 1024 / 4000
    assert "4,000.0 tokens a second" in measured.by and "(train__one)" in measured.by
    assert seconds_of(gpu="80 GB") == measured  # one of those of that size is known
    assert seconds_of(gpu="RTX 4090").by.startswith("not measured") and by_sheet != measured
    assert expected(SMALL, plan(SMALL, 1000), Shape(839_168)) == here


def test_a_sweep_tells_hours_on_a_gpu_that_is_not_here(
    no_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["sweep", str(ROOT / "configs/study/gpu.yaml"), "--dry-run", "--root", str(tmp_path)]

    def hours(*words: str) -> list[float]:
        assert main([*command, *words]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "no record yet" in line]
        assert "1.5 billion parameters by the model's name" in line
        return [float(number) for number in re.findall(r"([\d.]+) h", line)]

    least, most = hours("--device", "80 GB")
    assert 2 < least < most < 500
    assert hours("--device", "80 GB", "--workers", "2") == pytest.approx([least / 2, most / 2], abs=0.06)
    half = hours("--device", "80 GB", "--replicates", "0-2")
    assert half == pytest.approx([least / 2, most / 2], abs=0.06)
    (here,) = hours()
    assert here > 10_000  # on a CPU, from SmolLM2-135M's measured rate


def test_the_preview_shows_no_schedule_that_is_not_known() -> None:
    base = {"n_problems": 8, "order": "random", "prompts_per_step": 4, "group_size": 2}
    walk = preview(prepare(TrainConfig(**base, dynamic_sampling=True)))
    assert "found out while training" in walk and "step 1, epoch" not in walk
    again = preview(prepare(TrainConfig(**base, epochs=2, epoch_order="reorder", save_steps=2)))
    assert "step 3, epoch 1: in an order made anew" in again and "step 2, epoch 0: in an" not in again
    assert "every 2 steps (1 in all" in again, "none is written at the last step"


@pytest.mark.parametrize("reward", ["overlong", "log_score", "quadratic_score"])
def test_every_reward_that_may_be_negative_is_told_of_under_dra(reward: str) -> None:
    config = TrainConfig(
        n_problems=8, order="random", adjustment="dra", rewards=("accuracy", reward),
        overlong_buffer=4 if reward == "overlong" else None,
    )  # fmt: skip
    told = warnings_about(prepare(config))
    assert any("sign paper" in one for one in told)
    for options in ({"positives_only": True}, {"method": "mmr"}):  # MMR divides nothing
        other = dataclasses.replace(config, adjustment_options=options)
        assert not any("sign paper" in one for one in warnings_about(prepare(other)))
