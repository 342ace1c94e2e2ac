"""One function per figure; each returns its Axes and never calls ``show``."""
# ruff: noqa: E402

from hammerlib.errors import need

need("matplotlib")  # before the modules below import it

from hammerlib.plots.arms import arm_dots, spreads, stacked_bars
from hammerlib.plots.claims import coverage_scatter
from hammerlib.plots.curves import forest, pass_at_k_curves, training_curves
from hammerlib.plots.groups import group_panel, topic_bars
from hammerlib.plots.live import live_curves
from hammerlib.plots.orders import edge_deciles, gap_dots, lag_curves, path_on_circle, prefix_curves
from hammerlib.plots.redundancy import advantage_dots, mode_curves, power_curves, rho_histogram
from hammerlib.plots.reliability import reliability_curves
from hammerlib.plots.sides import side_by_side
from hammerlib.plots.space import hover_map, project, semantic_map, similarity_histogram, trustworthiness
from hammerlib.plots.study import contrast_forest, difference_curves, replicate_curves, waiting_curves
from hammerlib.plots.style import colour, panels, save, style

__all__ = [
    "advantage_dots",
    "arm_dots",
    "colour",
    "contrast_forest",
    "coverage_scatter",
    "difference_curves",
    "edge_deciles",
    "forest",
    "gap_dots",
    "group_panel",
    "hover_map",
    "lag_curves",
    "live_curves",
    "mode_curves",
    "panels",
    "pass_at_k_curves",
    "path_on_circle",
    "power_curves",
    "prefix_curves",
    "project",
    "reliability_curves",
    "replicate_curves",
    "rho_histogram",
    "save",
    "semantic_map",
    "side_by_side",
    "similarity_histogram",
    "spreads",
    "stacked_bars",
    "style",
    "topic_bars",
    "training_curves",
    "trustworthiness",
    "waiting_curves",
]
