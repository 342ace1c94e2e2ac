"""One function per figure; each returns its Axes and never calls ``show``.

`title` is the finding, `note` what it rests on, `label` the quantity with its unit; `ax` is drawn on, default
a new figure.
"""
# ruff: noqa: E402, F401

from hammerlib.errors import need
from hammerlib.moved import old_names

need("matplotlib")  # before the modules below import it

# Names beyond `__all__` are drawn by one notebook each and described in one line.
from hammerlib.plots.curves import (
    arm_dots,
    curve_table,
    forest,
    pass_at_k_curves,
    reliability_curves,
    spreads,
    stacked_bars,
    topic_bars,
    training_curves,
)
from hammerlib.plots.drawings import answer_fan, diagram, sample_strips
from hammerlib.plots.groups import (
    advantage_dots,
    group_panel,
    mode_curves,
    power_curves,
    rho_histogram,
    token_bars,
)
from hammerlib.plots.live import live_curves
from hammerlib.plots.orders import (
    coverage_scatter,
    edge_deciles,
    gap_dots,
    lag_curves,
    path_on_circle,
    prefix_curves,
)
from hammerlib.plots.space import hover_map, project, semantic_map, similarity_histogram, trustworthiness
from hammerlib.plots.study import contrast_forest, difference_curves, replicate_curves, waiting_curves
from hammerlib.plots.style import colour, panels, save, style

__all__ = [
    *("colour", "panels", "save", "style"),
    *("answer_fan", "diagram", "sample_strips"),
    *("arm_dots", "forest", "live_curves", "pass_at_k_curves", "topic_bars", "training_curves"),
    *("edge_deciles", "gap_dots", "prefix_curves"),
    *("hover_map", "project", "semantic_map", "similarity_histogram", "trustworthiness"),
    *("contrast_forest", "replicate_curves"),
]

__getattr__ = old_names(__name__)
