"""``hammer card``: what the hub shows of a trained model or of an order, all of it from their records."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError, need, printable
from hammerlib.ordering import Order
from hammerlib.runs import RunRecord
from hammerlib.runs.storage import content_hash

if TYPE_CHECKING:
    from huggingface_hub import RepoCard

TEMPLATE = Path(__file__).with_name("templates") / "card.md.j2"
MEASURES = ("pass@", "majority@", "truncated_share", "mean_tokens")
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K"}  # the hub's words


def make_card(path: Path) -> tuple[RepoCard, dict[str, Path]]:
    """Return the card of a training run's folder or of an order's file, and what belongs beside it."""
    need("huggingface_hub")
    if path.is_file():
        return _order_card(Order.load(path)), {"order.json": path}
    try:
        run = RunRecord.load(path)
    except FileNotFoundError:
        remedy = "name a folder of `hammer train` or a file of `hammer order`"
        raise InputError("run", str(path), "is neither a run nor an order", remedy) from None
    if run.manifest["kind"] != "train" or run.status != "success":
        problem = f"is a run of {run.manifest['kind']} that ended with {run.status}"
        raise InputError("run", run.run_id, problem, "name a training run that ended with success")
    run.check(present=True)
    files = [entry["path"] for entry in run.manifest["artefacts"]]
    chosen = [name for name in files if name.startswith("model/") or name == "order.json"]
    return _run_card(run), {name.removeprefix("model/"): path / name for name in chosen}


def _order_card(order: Order) -> RepoCard:
    from huggingface_hub import DatasetCard, DatasetCardData

    size = next((name for most, name in SIZES.items() if len(order) < most), "100K<n<1M")
    data = DatasetCardData(
        pretty_name=f"{order.strategy} order of {len(order)} problems",
        size_categories=[size],
        tags=["data-ordering", "curriculum", "rlvr", "hammerlib"],
    )
    return DatasetCard.from_template(
        data,
        str(TEMPLATE),
        title=f"{printable(order.strategy)} order of {len(order)} problems",
        lead="The sequence in which to train problems, and how far it is from the best of its kind.",
        sections={"Order": _order_facts(order)},
    )


def _run_card(run: RunRecord) -> RepoCard:
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    made = run.manifest
    config = made["parameters"]
    order = Order.load(run.folder / "order.json")
    evaluations = _evaluations(run)
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=evaluation.manifest["parameters"]["benchmark"],
            dataset_name=evaluation.manifest["parameters"]["benchmark"],
            metric_type=name,
            metric_value=entry["value"],
            metric_args={key: entry[key] for key in ("low", "high", "n", "k")},
        )
        for evaluation in evaluations
        for name, entry in evaluation.metrics.items()
        if name.startswith(MEASURES[:2])
    ]
    hub = re.fullmatch(r"hub:([^/@]+/[^/@]+).*", config["problems"])
    base = None
    if "/" in made["backbone"] and made["revision"] != "local":
        base = made["backbone"].partition("@")[0]
    data = ModelCardData(
        base_model=base,
        datasets=[hub[1]] if hub else None,
        eval_results=results or None,
        model_name=run.run_id,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["grpo", "rlvr", "trl", "hammerlib"],
    )
    lead = f"{printable(made['backbone'])} trained with GRPO in a recorded order of problems."
    return ModelCard.from_template(
        data,
        str(TEMPLATE),
        title=run.run_id,
        lead=lead,
        sections=_run_facts(run) | {"Order": _order_facts(order)},
        rows=[row for evaluation in evaluations for row in _rows(evaluation)],
    )


def _evaluations(run: RunRecord) -> list[RunRecord]:
    """The finished evaluations of this run's model that stand beside it."""
    beside = [RunRecord.load(file.parent) for file in run.folder.parent.glob("evaluate__*/manifest.json")]
    own = f"{run.run_id}/model"
    done = [one for one in beside if one.status == "success" and one.manifest.get("backbone") == own]
    return sorted(done, key=lambda one: one.run_id)


def _run_facts(run: RunRecord) -> dict[str, dict[str, Any]]:
    made = run.manifest
    config = made["parameters"]
    plan = made["schedule"]
    steps = run.metrics["steps"]["value"]
    table = run.table("metrics.csv")
    tokens = table.loc[table["metric"] == "sampled_tokens", "value"].sum()
    batch = f"{config['prompts_per_step']} prompts x {config['group_size']} completions"
    reward = "+".join(printable(name) for name in config["rewards"])
    objective = f"{config['loss_type']}, scale_rewards {config['scale_rewards']}, beta {config['beta']:g}"
    named = [str(algorithm["name"]) for algorithm in config["algorithms"]]
    return {
        "Data": {
            "problems": f"{made['n_problems']} of `{printable(config['problems'])}`, split {config['split']}",
            "fingerprint": f"`{made['problems_fingerprint']}`",
            "left out at the end of the order": len(made["tail_dropped"]),
        },
        "Training": {
            "start": f"`{printable(made['backbone'])}`, revision {printable(made['revision'])}, "
            f"weights `{made['backbone_weights']}`",
            "objective": f"{objective}; rewards {reward}; {', '.join([config['adjustment'], *named])}",
            "weights": f"LoRA of rank {config['lora_rank']}" if config["lora_rank"] else "all",
            "budget": f"{steps:g} steps of {batch}, {tokens:,.0f} sampled tokens, "
            f"{plan['processes']} processes on {made['device']}",
            "seeds": ", ".join(map(str, made["seeds"])),
            "code": f"commit {made['git']['commit']}, dirty {made['git']['dirty']}; "
            + ", ".join(f"{name} {version}" for name, version in made["packages"].items()),
        },
    }


def _order_facts(order: Order) -> dict[str, Any]:
    made = order.provenance
    facts = {
        "strategy": f"{printable(order.strategy)}, seed {made.get('seed')}, options "
        f"{printable(made.get('options'))}, centre {made.get('centre')}",
        "hash": f"`{order.hash}`",
        "problems": len(order),
    }
    if order.item_hashes is not None:
        held = content_hash(order.item_hashes)[:16]
        facts["data"] = f"`{held}` over id, prompt and answer of every problem, each hashed in `order.json`"
    if made.get("backbone"):
        vectors = f"layer {made.get('layer')}, {made.get('pooling')}, template {made.get('template')}"
        facts["vectors"] = f"`{printable(made['backbone'])}`, {vectors}"
    if order.cost is not None:
        facts["mean cosine a step along it"] = f"{order.cost:.4f} (random orders {order.random_cost:.4f})"
    certificate = "none was asked for"
    if order.lower_bound is not None:
        gap = "unknown" if order.gap is None else f"{100 * order.gap:.3f} %"
        certificate = f"no order of these vectors is below {order.lower_bound:.4f}; gap {gap}"
    return facts | {"certificate": certificate}


def _rows(evaluation: RunRecord) -> list[list[Any]]:
    benchmark = f"`{printable(evaluation.manifest['parameters']['benchmark'])}`"
    rows = []
    for name, entry in evaluation.metrics.items():
        if name.startswith(MEASURES):
            interval = f"[{entry['low']:.4f}, {entry['high']:.4f}]"
            rows.append([benchmark, name, f"{entry['value']:.4f}", interval, entry["n"], entry["k"]])
    return rows


def check_push(repo: str, files: dict[str, Path]) -> None:
    """Refuse a name that the hub would not take, and files that a published copy does not hold."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError("push", repo, f"is no name of a repository ({error})", "write owner/name") from None
    for name, file in files.items():
        if not file.is_file():
            raise InputError("push", name, "is not in the run's folder", "name the run, not a published copy")


def push(card: RepoCard, files: dict[str, Path], repo: str) -> str:
    """Commit card and files to a repository of the hub, made private where there is none; its address."""
    from huggingface_hub import CommitOperationAdd, HfApi

    parts = {"README.md": str(card).encode(), **files}
    content = [CommitOperationAdd(name, part) for name, part in parts.items()]
    api = HfApi()
    try:
        api.create_repo(repo, repo_type=card.repo_type, private=True, exist_ok=True)
        card.validate()
        done = api.create_commit(
            repo, content, commit_message="Card, order and weights", repo_type=card.repo_type
        )
    except Exception as error:  # the hub's, or those of its transport library, which has changed before
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        remedy = "log in with `hf auth login`, and see that the name is yours to write"
        raise InputError("push", repo, f"was refused: {reason}", remedy) from error
    return str(done.commit_url)
