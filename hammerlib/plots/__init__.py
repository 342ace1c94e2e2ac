"""One function per figure; each returns its Axes and never calls ``show``."""

from hammerlib.plots.curves import forest, pass_at_k_curves, training_curves
from hammerlib.plots.groups import group_panel, topic_bars
from hammerlib.plots.orders import edge_deciles, prefix_curves
from hammerlib.plots.space import hover_map, project, semantic_map, similarity_histogram, trustworthiness
from hammerlib.plots.style import colour, panels, save, style

__all__ = [
    "colour",
    "edge_deciles",
    "forest",
    "group_panel",
    "hover_map",
    "panels",
    "pass_at_k_curves",
    "prefix_curves",
    "project",
    "save",
    "semantic_map",
    "similarity_histogram",
    "style",
    "topic_bars",
    "training_curves",
    "trustworthiness",
]
