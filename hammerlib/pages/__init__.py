"""HTML pages and generated tables: published runs, two runs side by side, an executed notebook."""

from hammerlib.pages.notebook import write_page
from hammerlib.pages.results import publish
from hammerlib.pages.sides import Sides, side_by_side

__all__ = ["Sides", "publish", "side_by_side", "write_page"]
