"""HTML pages and generated tables: published runs, runs side by side, groups, orders, notebooks."""

from hammerlib.pages.explorer import dra_sliders, order_explorer
from hammerlib.pages.groups import group_browser
from hammerlib.pages.page import Page, write_page
from hammerlib.pages.results import publish
from hammerlib.pages.sides import Sides, side_by_side

__all__ = [
    "Page",
    "Sides",
    "dra_sliders",
    "group_browser",
    "order_explorer",
    "publish",
    "side_by_side",
    "write_page",
]
