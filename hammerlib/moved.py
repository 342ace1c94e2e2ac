"""Old module names, kept importable for one release after a move."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

# Old dotted name -> new one; what lies below an old package moves with it unless it has a line of its own.
MOVED: dict[str, str] = {
    "hammerlib.tokens": "hammerlib.models.tokens",
    "hammerlib.nano": "hammerlib.models.nano",
    "hammerlib.nano.ladder": "hammerlib.models.nano.recipe",
    "hammerlib.nano.shipping": "hammerlib.models.nano.recipe",
    "hammerlib.backbones": "hammerlib.models.backbone",
    "hammerlib.backbones.load": "hammerlib.models.backbone",
    "hammerlib.backbones.places": "hammerlib.models.backbone",
    "hammerlib.backbones.warm": "hammerlib.models.warm",
    "hammerlib.embeddings": "hammerlib.models.embeddings",
    "hammerlib.embeddings.forward": "hammerlib.models.embeddings",
    "hammerlib.embeddings.record": "hammerlib.models.embeddings",
    "hammerlib.ordering.path": "hammerlib.ordering.greedy",
    "hammerlib.ordering.record": "hammerlib.ordering.order",
    "hammerlib.ordering.options": "hammerlib.ordering.strategies",
    "hammerlib.ordering.bound": "hammerlib.ordering.certificate",
    "hammerlib.ordering.repeats": "hammerlib.ordering.certificate",
    "hammerlib.ordering.compiled": "hammerlib.ordering.candidates",
    "hammerlib.ordering.prices": "hammerlib.ordering.candidates",
    "hammerlib.ordering.improve": "hammerlib.ordering.tour",
    "hammerlib.ordering.fragments": "hammerlib.ordering.tour",
    "hammerlib.ordering.exact": "hammerlib.ordering.tour",
    "hammerlib.diversity.groups": "hammerlib.diversity.scores",
    "hammerlib.diversity.prefixes": "hammerlib.diversity.profiles",
    "hammerlib.diversity.explain": "hammerlib.diversity.profiles",
    "hammerlib.diversity.modes": "hammerlib.exact.modes",
    "hammerlib.diversity.collapse": "hammerlib.exact.modes",
    "hammerlib.diversity.advantages": "hammerlib.advantages",
    "hammerlib.diversity.tabular": "hammerlib.exact.tabular",
    "hammerlib.diversity.claims": "hammerlib.exact.claims",
    "hammerlib.systems.chord.flow": "hammerlib.exact.flow",
    "hammerlib.systems.hard_examples.signal": "hammerlib.exact.signal",
    "hammerlib.cli.compare": "hammerlib.cli.measuring",
    "hammerlib.cli.grading": "hammerlib.cli.measuring",
    "hammerlib.cli.sweep": "hammerlib.cli.commands",
    "hammerlib.plots.arms": "hammerlib.plots.curves",
    "hammerlib.plots.reliability": "hammerlib.plots.curves",
    "hammerlib.plots.claims": "hammerlib.plots.orders",
    "hammerlib.plots.redundancy": "hammerlib.plots.groups",
    "hammerlib.plots.sides": "hammerlib.pages.sides",
    "hammerlib.report": "hammerlib.pages.results",
    "hammerlib.pipeline.page": "hammerlib.pages.notebook",
    "hammerlib.pipeline.live": "hammerlib.pipeline.execution",
    "hammerlib.pipeline.opening": "hammerlib.pipeline.parameters",
    "hammerlib.cells": "hammerlib.runs.trials",
    "hammerlib.cells.progress": "hammerlib.runs.trials",
    "hammerlib.cells.records": "hammerlib.runs.trials",
    "hammerlib.cells.turn": "hammerlib.runs.trials",
    "hammerlib.executor": "hammerlib.runs.workers",
    "hammerlib.grading.room.calls": "hammerlib.grading.room.confinement",
    "hammerlib.grading.worker": "hammerlib.grading.pool",
    "hammerlib.jsons": "hammerlib.runs.reading",
    "hammerlib.problems.copies": "hammerlib.problems.cleaning",
    "hammerlib.problems.hub": "hammerlib.problems.files",
    "hammerlib.problems.hygiene": "hammerlib.problems.cleaning",
    "hammerlib.problems.overlap": "hammerlib.problems.cleaning",
    "hammerlib.storage": "hammerlib.runs.storage",
    "hammerlib.study.bonuses": "hammerlib.study.algorithms",
    "hammerlib.study.cell": "hammerlib.study.trial",
    "hammerlib.study.clock": "hammerlib.study.power",
    "hammerlib.study.controls": "hammerlib.study.orders",
    "hammerlib.study.curves": "hammerlib.study.endpoints",
    "hammerlib.study.decomposition": "hammerlib.study.contrasts",
    "hammerlib.study.discoveries": "hammerlib.study.contrasts",
    "hammerlib.study.families": "hammerlib.study.contrasts",
    "hammerlib.study.formats": "hammerlib.study.pages",
    "hammerlib.study.glossary": "hammerlib.study.pages",
    "hammerlib.study.interactions": "hammerlib.study.contrasts",
    "hammerlib.study.matching": "hammerlib.study.algorithms",
    "hammerlib.study.measure": "hammerlib.study.trial",
    "hammerlib.study.noise": "hammerlib.study.endpoints",
    "hammerlib.study.page": "hammerlib.study.pages",
    "hammerlib.study.pairing": "hammerlib.study.records",
    "hammerlib.study.replicate": "hammerlib.study.trial",
    "hammerlib.study.scales": "hammerlib.study.pages",
    "hammerlib.study.sections": "hammerlib.study.pages",
    "hammerlib.study.settings": "hammerlib.study.plan",
    "hammerlib.study.spread": "hammerlib.study.contrasts",
    "hammerlib.study.summary": "hammerlib.study.pages",
    "hammerlib.study.tables": "hammerlib.study.pages",
    "hammerlib.study.thresholds": "hammerlib.study.contrasts",
    "hammerlib.study.vectors": "hammerlib.study.orders",
    "hammerlib.study.verdicts": "hammerlib.study.contrasts",
    "hammerlib.study.window": "hammerlib.study.orders",
    "hammerlib.sweep": "hammerlib.evaluation.grid",
    "hammerlib.systems.chord.plug": "hammerlib.systems.chord.algorithm",
    "hammerlib.systems.chord.schedule": "hammerlib.systems.chord.loss",
    "hammerlib.systems.evolmath.crossover": "hammerlib.systems.evolmath.evolution",
    "hammerlib.systems.evolmath.fitness": "hammerlib.systems.evolmath.evolution",
    "hammerlib.systems.evolmath.linear": "hammerlib.systems.evolmath.problem",
    "hammerlib.systems.evolmath.public": "hammerlib.systems.evolmath.operators",
    "hammerlib.systems.evolmath.seeds": "hammerlib.systems.evolmath.problem",
    "hammerlib.systems.hard_examples.budget": "hammerlib.systems.hard_examples.selection",
    "hammerlib.systems.hard_examples.probe": "hammerlib.systems.hard_examples.selection",
    "hammerlib.systems.puzzles.asking": "hammerlib.systems.puzzles.build",
    "hammerlib.systems.puzzles.corpus": "hammerlib.systems.puzzles.generate",
    "hammerlib.systems.puzzles.draws": "hammerlib.systems.puzzles.choices",
    "hammerlib.systems.puzzles.functions": "hammerlib.systems.puzzles.formulas",
    "hammerlib.systems.puzzles.reading": "hammerlib.systems.puzzles.spec",
    "hammerlib.systems.puzzles.state": "hammerlib.systems.puzzles.build",
    "hammerlib.systems.puzzles.syntax": "hammerlib.systems.puzzles.formulas",
    "hammerlib.systems.quantifiers.examples": "hammerlib.systems.quantifiers",
    "hammerlib.systems.quantifiers.grammar": "hammerlib.systems.quantifiers",
    "hammerlib.systems.quantifiers.loop": "hammerlib.systems.quantifiers",
    "hammerlib.systems.smt.finite": "hammerlib.systems.smt",
    "hammerlib.systems.smt.matching": "hammerlib.systems.smt",
    "hammerlib.systems.ttrl.plugs": "hammerlib.systems.ttrl.algorithm",
    "hammerlib.systems.ttrl.reshaping": "hammerlib.systems.ttrl.votes",
    "hammerlib.systems.uncalibrated.estimators": "hammerlib.systems.uncalibrated.tabular",
    "hammerlib.yamls": "hammerlib.runs.reading",
    "hammerlib.evaluation.dirichlet": "hammerlib.evaluation.intervals",
    "hammerlib.evaluation.statistics": "hammerlib.evaluation.intervals",
    "hammerlib.evaluation.aggregates": "hammerlib.evaluation.intervals",
    "hammerlib.evaluation.power": "hammerlib.evaluation.significance",
    "hammerlib.evaluation.measures": "hammerlib.evaluation.metrics",
    "hammerlib.evaluation.calibration": "hammerlib.evaluation.metrics",
    "hammerlib.evaluation.scores": "hammerlib.evaluation.comparison",
    "hammerlib.evaluation.transcripts": "hammerlib.evaluation.comparison",
    "hammerlib.evaluation.run": "hammerlib.evaluation.evaluator",
    "hammerlib.evaluation.collection": "hammerlib.evaluation.evaluator",
    "hammerlib.evaluation.shards": "hammerlib.evaluation.evaluator",
    "hammerlib.evaluation.judging": "hammerlib.evaluation.samples",
    "hammerlib.evaluation.outcomes": "hammerlib.evaluation.samples",
    "hammerlib.evaluation.lines": "hammerlib.evaluation.foreign",
    "hammerlib.evaluation.regrade": "hammerlib.evaluation.imports",
    "hammerlib.evaluation.prompts": "hammerlib.evaluation.benchmarks",
    "hammerlib.evaluation.overlap": "hammerlib.evaluation.benchmarks",
    "hammerlib.evaluation.engines.sampling": "hammerlib.evaluation.engines",
    "hammerlib.evaluation.engines.batches": "hammerlib.evaluation.engines",
    "hammerlib.evaluation.engines.transformers": "hammerlib.evaluation.engines",
    "hammerlib.evaluation.engines.cache": "hammerlib.models.decoding",
    "hammerlib.evaluation.engines.generating": "hammerlib.models.decoding",
    "hammerlib.evaluation.engines.decoding": "hammerlib.models.decoding",
    "hammerlib.training.advantages": "hammerlib.advantages",
    "hammerlib.training.rollouts": "hammerlib.training.generation",
    "hammerlib.training.algorithms": "hammerlib.training.config",
    "hammerlib.training.serving": "hammerlib.training.config",
    "hammerlib.training.table": "hammerlib.training.schedule",
    "hammerlib.training.orders": "hammerlib.training.schedule",
    "hammerlib.training.completions": "hammerlib.training.logs",
    "hammerlib.training.glossary": "hammerlib.training.logs",
    "hammerlib.training.saving": "hammerlib.training.checkpoints",
    "hammerlib.training.estimate": "hammerlib.training.preview",
    "hammerlib.training.cautions": "hammerlib.training.preview",
    "hammerlib.training.shards": "hammerlib.training.build",
    "hammerlib.training.groups": "hammerlib.training.trainer",
    "hammerlib.training.epochs": "hammerlib.training.dynamic",
    "hammerlib.training.names": "hammerlib.training.hooks",
    "hammerlib.training.seams": "hammerlib.training.hooks",
    "hammerlib.training.embedder": "hammerlib.models.embedder",
    "hammerlib.training.grid": "hammerlib.training.run",
}


class _KeepsFunctions(ModuleType):
    """A room whose functions Python does not replace by an old module of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and callable(self.__dict__.get(name))):
            super().__setattr__(name, value)


# Room or package -> module of today -> names that it no longer offers itself.
NAMES: dict[str, dict[str, str]] = {
    "hammerlib.evaluation": {
        "hammerlib.evaluation.benchmarks": (
            "RECIPES format_prompts gold_version known_overlap training_overlap"
        ),
        "hammerlib.evaluation.summary": "reason_counts reliability",
    },
    "hammerlib.rewards": {
        "hammerlib.rewards.graded": "SCORABLE",
        "hammerlib.rewards.adjusted": "raw_sum",
        "hammerlib.rewards.shape": "text_of",
    },
    "hammerlib.systems.chord": {
        "hammerlib.systems.chord.loss": "WEIGHTINGS adaptive_mu mixed_loss token_weights",
        "hammerlib.exact.flow": "expert_flow",
    },
    "hammerlib.systems.evolmath": {
        "hammerlib.systems.evolmath.evolution": (
            "WEIGHTS Evolution can_cross cross_pairs first_number is_linked is_low measure ratio scores "
            "stories_of"
        ),
        "hammerlib.systems.evolmath.problem": (
            "Item Link Part Relation Statement draw_rows rank released_is_necessary value_of"
        ),
        "hammerlib.systems.evolmath.stories": "Passage Story",
        "hammerlib.systems.evolmath.operators": (
            "approximate background confused disturb irrelevant is_needed misleading translate useless"
        ),
        "hammerlib.systems.evolmath.source": "load_evolved",
        "hammerlib.systems.evolmath.following": "simulate",
    },
    "hammerlib.systems.hard_examples": {
        "hammerlib.exact.signal": "Learnable expected_path learnable learnable_share mixed_probability",
        "hammerlib.systems.hard_examples.selection": "pass_rates select_level",
    },
    "hammerlib.systems.puzzles": {
        "hammerlib.systems.puzzles.choices": "Choices Rejected",
        "hammerlib.systems.puzzles.generate": (
            "Harvest deduplicate read_jsonl released_difference signature write_jsonl"
        ),
        "hammerlib.systems.puzzles.build": "Puzzle State",
        "hammerlib.systems.puzzles.spec": "Spec",
        "hammerlib.systems.puzzles.formulas": "evaluate render",
        "hammerlib.systems.puzzles.scoring": "hard_score scorer",
        "hammerlib.systems.puzzles.source": "load_puzzles",
    },
    "hammerlib.systems.ttrl": {
        "hammerlib.systems.ttrl.votes": "Vote agrees clip_advantages pseudo_rewards",
        "hammerlib.systems.ttrl.algorithm": "relabelled watch_votes",
    },
    "hammerlib.systems.uncalibrated": {
        "hammerlib.systems.uncalibrated.stating": "STATED",
        "hammerlib.systems.uncalibrated.tabular": "Outcomes auroc surrogate",
    },
    "hammerlib.systems.uncalibrated.stating": {
        "hammerlib.systems.uncalibrated.algorithm": "LeaveOneOut",
    },
}


class MovedModules:
    """Finder that answers an old module name with the module of today."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old name, None for every other."""
        if not name.startswith("hammerlib."):
            return None
        return ModuleSpec(name, self) if new_name(name) else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make an empty module, which `exec_module` replaces."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in the place of the old one, so that both names are one module."""
        name = module.__spec__.name
        new = new_name(name)
        room, _, child = name.rpartition(".")
        if callable(getattr(sys.modules[room], child, None)):  # a function named like its old module
            sys.modules[room].__class__ = _KeepsFunctions
        warnings.warn(
            f"{name} is now {new}; the old name goes with the next release", DeprecationWarning, stacklevel=2
        )
        today = importlib.import_module(new)
        if not hasattr(today, "__path__") and any(old.startswith(f"{name}.") for old in MOVED):
            today.__path__ = []  # a package once, one file today
        sys.modules[name] = today

    def get_code(self, name: str) -> CodeType:
        """Return what `python -m` runs for an old name: the module of today."""
        run = f"import runpy; runpy.run_module({new_name(name)!r}, run_name='__main__', alter_sys=True)"
        return compile(run, "<moved>", "exec")


def new_name(name: str) -> str | None:
    """Today's name of an old module, None where the name is no old one."""
    old = name
    while old:
        if old in MOVED:
            return MOVED[old] + name[len(old) :]
        old = old.rpartition(".")[0]
    return None


def old_names(package: str) -> Callable[[str], object]:
    """Return a module's `__getattr__` (PEP 562) that finds the names which it offered before."""
    homes = {name: module for module, names in NAMES[package].items() for name in names.split()}

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        words = f"{package}.{name} is now {homes[name]}.{name}; the old place goes with the next release"
        warnings.warn(words, DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(homes[name]), name)

    return find


def install() -> None:
    """Make old names importable; a second call changes nothing."""
    if not any(isinstance(one, MovedModules) for one in sys.meta_path):
        sys.meta_path.insert(0, MovedModules())
