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
    from huggingface_hub import CardData, RepoCard

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

    title = f"{order.strategy} order of {len(order)} problems"
    data = DatasetCardData(
        pretty_name=title,
        size_categories=[next((name for most, name in SIZES.items() if len(order) < most), "100K<n<1M")],
        tags=["data-ordering", "curriculum", "rlvr", "hammerlib"],
    )
    lead = "The sequence in which to train problems, and how far it is from the best of its kind."
    return DatasetCard(_text(data, order, title=printable(title), lead=lead))


def _run_card(run: RunRecord) -> RepoCard:
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    made = run.manifest
    config = made["parameters"]
    measured = _measured(run)
    results = []
    for benchmark, name, entry in measured:
        if name.startswith(MEASURES[:2]):
            results.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=benchmark,
                    dataset_name=benchmark,
                    metric_type=name,
                    metric_value=entry["value"],
                    metric_args={key: entry[key] for key in ("low", "high", "n", "k")},
                )
            )
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
    table = run.table("metrics.csv")
    text = _text(
        data,
        Order.load(run.folder / "order.json"),
        title=run.run_id,
        lead=f"{printable(made['backbone'])} trained with GRPO in a recorded order of problems.",
        made=made,
        config=config,
        tokens=table.loc[table["metric"] == "sampled_tokens", "value"].sum(),
        evaluations=measured,
    )
    return ModelCard(text)


def _measured(run: RunRecord) -> list[tuple[str, str, dict[str, Any]]]:
    """Benchmark, name and value of what finished evaluations beside this run say of its model."""
    beside = [RunRecord.load(file.parent) for file in run.folder.parent.glob("evaluate__*/manifest.json")]
    measured = []
    for evaluation in sorted(beside, key=lambda one: one.run_id):
        manifest = evaluation.manifest
        if evaluation.status == "success" and manifest.get("backbone") == f"{run.run_id}/model":
            for name, entry in evaluation.metrics.items():
                if name.startswith(MEASURES):
                    measured.append((manifest["parameters"]["benchmark"], name, entry))
    return measured


def _text(data: CardData, order: Order, **values: Any) -> str:
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("hammerlib.pages")
    templates = Environment(loader=loader, trim_blocks=True, lstrip_blocks=True)
    templates.filters["printable"] = printable
    held = None if order.item_hashes is None else content_hash(order.item_hashes)[:16]
    return templates.get_template("card.md.j2").render(
        card_data=data.to_yaml(), order=order, held=held, **values
    )


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
