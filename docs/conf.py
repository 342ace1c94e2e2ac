"""The site: the pages beside this file, the repository's own pages, and the notebooks of the published run.

No notebook is executed. Pages from elsewhere in the repository are copied to where the site shows them
(`stage`), and links between files of the repository lead to their pages, wherever they stand (`_link_pages`).
"""

from __future__ import annotations

import html
import json
import os
import posixpath
import re
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import typer
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

import hammerlib
from hammerlib import embed, load_problems, order_by
from hammerlib.cli import COMMANDS, application
from hammerlib.pages import dra_sliders, order_explorer

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "docs"
# Where files that are no pages of the site can be seen; without it, a link to one is only its words.
REPOSITORY = os.environ.get("DOCS_REPOSITORY", "")

project = "hammerlib"
author = "The hammerlib authors"
release = version = hammerlib.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build", "_extra"]
html_extra_path = ["_extra"]
html_theme = "furo"
html_title = f"hammerlib {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = html_show_copyright = html_show_sourcelink = html_copy_source = False
nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_merge_streams = True
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath", "amsmath"]
autodoc_typehints = "none"  # the docstrings tell them
autodoc_member_order = "bysource"
autosummary_generate_overwrite = True
numpydoc_show_class_members = False
suppress_warnings = ["mystnb.unknown_mime_type"]  # plotly's map beside its picture
logger = logging.getLogger(__name__)

LINK = re.compile(
    r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<path>(?![a-z]+:|[/#<])[^)#\s]+)(?P<place>#[^)\s]*)?\)"
)
# Rooms whose names are for readers; the others serve these.
ROOMS = (
    *("problems", "models", "ordering", "diversity", "dra", "advantages", "grading", "rewards"),
    *("training", "evaluation", "plots", "runs", "errors"),
)


def stage() -> dict[str, str]:
    """Copy pages of the repository here; page of the site (its path from here) by path in the repository."""
    pages = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
    names = [
        "results/LOG.md",
        "results/PROTOCOL.md",
        "results/PROTOCOL-systems.md",
        "results/PROTOCOL-real.md",
        "results/README.md",
    ]
    names += [path.relative_to(ROOT).as_posix() for path in ROOT.glob("results/benchmarks/*.md")]
    names += [path.relative_to(ROOT).as_posix() for path in ROOT.glob("results/study/*/*.md")]
    pages |= {name: name for name in names} | _published()
    for folder in ("walk", "systems", "results", "rooms", "api"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    for source, page in pages.items():
        if page != "index.md":
            (HERE / page).parent.mkdir(parents=True, exist_ok=True)
            text = (ROOT / source).read_text(encoding="utf-8")
            (HERE / page).write_text(text, encoding="utf-8")
    for pattern in ("results/study/*/*.svg", "results/benchmarks/*.svg"):
        for picture in ROOT.glob(pattern):
            shutil.copy(picture, HERE / picture.relative_to(ROOT))
    own = {f"docs/{path.name}": path.name for path in HERE.glob("*.md") if path.name not in pages.values()}
    return pages | own | {"docs/index.md": "index.md"}


def _published() -> dict[str, str]:
    """The newest published run of each notebook, which is also the page of its source."""
    newest: dict[str, dict] = {}
    for path in (ROOT / "results" / "published").glob("*/manifest.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["created"] >= newest.get(manifest["kind"], manifest)["created"]:
            newest[manifest["kind"]] = manifest
    pages = {}
    for kind, manifest in newest.items():
        folder = "walk" if (ROOT / "notebooks" / f"{kind}.ipynb").is_file() else "systems"
        pages[f"results/published/{manifest['run_id']}/notebook.ipynb"] = f"{folder}/{kind}.ipynb"
    return pages


def write_rooms() -> None:
    """A page for each room with the names that it offers beside those of the reference."""
    (HERE / "rooms").mkdir(exist_ok=True)
    for room in ROOMS:
        title = f"hammerlib.{room}"
        above = [name for name, home in hammerlib._HOMES.items() if home.startswith(title)]
        options = f"   :members:\n   :exclude-members: {', '.join(above)}\n"
        if hasattr(import_module(title), "__all__"):
            options += "   :imported-members:\n"
        text = f"# {title}\n\n```{{eval-rst}}\n.. automodule:: {title}\n{options}```\n"
        if above:
            text += f"\nAlso: {', '.join(f'{{py:obj}}`hammerlib.{name}`' for name in above)}.\n"
        (HERE / "rooms" / f"{room}.md").write_text(text, encoding="utf-8")


def write_commands() -> None:
    """A page with every command, its arguments and its options."""
    lines = [
        "# Commands",
        "",
        "The same as `hammer COMMAND --help`; what is wrong ends with one line and code 2.",
        "",
    ]
    group = typer.main.get_command(application())
    for name in COMMANDS:
        command = group.commands[name]
        lines += [
            f"## hammer {name}",
            "",
            *(command.help or "").splitlines(),
            "",
            "| | meaning | default |",
            "|---|---|---|",
        ]
        for parameter in command.params:
            names = ", ".join(f"`{option}`" for option in parameter.opts)
            if parameter.param_type_name == "argument":
                names = f"`{parameter.metavar or parameter.name.upper()}`"
            told = getattr(parameter, "help", None) or ""
            default = parameter.default
            shown = f"`{default}`" if isinstance(default, str | int | float) and default is not False else ""
            lines.append(f"| {names} | {html.escape(told.replace('|', '/'), quote=False)} | {shown} |")
        lines.append("")
    (HERE / "commands.md").write_text("\n".join(lines), encoding="utf-8")


def _link_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Lead links between files of the repository to pages of the site."""
    page = app.env.doc2path(docname, base=False)
    origin = next((path for path, staged in reversed(PAGES.items()) if staged == str(page)), None)
    if origin is None:
        return

    def led(link: re.Match[str]) -> str:
        for folder in (posixpath.dirname(origin), ""):  # printed tables name paths from the top
            target = posixpath.normpath(posixpath.join(folder, link["path"]))
            if (ROOT / target).exists():
                break
        else:
            logger.warning("%s links to %s, which is not there", origin, link["path"], location=docname)
            return link["text"]
        found = next((PAGES[name] for name in _as_pages(target) if name in PAGES), None)
        if found is not None:
            return f"[{link['text']}](/{found}{link['place'] or ''})"
        if REPOSITORY:
            return f"[{link['text']}]({REPOSITORY}/tree/main/{target})"
        return link["text"]

    if page.suffix == ".ipynb":
        notebook = _without_defaults(json.loads(source[0]))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = LINK.sub(led, "".join(cell["source"]))
        source[0] = json.dumps(notebook, ensure_ascii=False)
    else:
        source[0] = LINK.sub(led, source[0])


def _as_pages(target: str) -> list[str]:
    """Files whose page stands for a path: itself, a folder's README, a source notebook's published run."""
    kind = posixpath.splitext(posixpath.basename(target))[0]
    published = [
        path for path, page in PAGES.items() if page in (f"walk/{kind}.ipynb", f"systems/{kind}.ipynb")
    ]
    notebook = target.startswith("notebooks/") and target.endswith(".ipynb")
    return [target, f"{target}/README.md", f"{target}/notebook.ipynb", *(published if notebook else [])]


def _without_defaults(content: dict) -> dict:
    """Of two cells of parameters, the defaults and those of the run, only the latter are the run's."""
    tags = [set(cell["metadata"].get("tags", ())) for cell in content["cells"]]
    if any("injected-parameters" in found for found in tags):
        content["cells"] = [
            cell for cell, found in zip(content["cells"], tags, strict=True) if "parameters" not in found
        ]
    return content


def _mathml(visitor: nodes.NodeVisitor, node: nodes.Element, *, block: bool) -> None:
    """Formulas as MathML, which every browser draws without a script and without a network."""
    visitor.body.append(tex2mathml(node.astext(), as_block=block))
    raise nodes.SkipNode


def _inline(visitor: nodes.NodeVisitor, node: nodes.Element) -> None:
    _mathml(visitor, node, block=False)


def _display(visitor: nodes.NodeVisitor, node: nodes.Element) -> None:
    _mathml(visitor, node, block=True)


def write_players() -> None:
    """The pages to play with: DRA's sliders, and orders of some of nano's problems."""
    folder = HERE / "_extra"
    folder.mkdir(exist_ok=True)
    dra_sliders().write(folder / "dra_sliders.html")
    problems = load_problems("reasoning-gym:nano", n=200)
    embedded = embed(problems, "nano")
    choices = [("hammer", {"eta": eta}) for eta in (0.0, 0.1, 0.3)]
    choices += [(name, {}) for name in ("min-path", "similar", "farthest-first", "random")]
    orders = {}
    for name, options in choices:
        words = ", ".join([name, *(f"eta {value}" for value in options.values())])
        orders[words] = order_by(name, embedded, problems=problems, **options)
    centred = embedded.vectors - embedded.vectors.mean(axis=0)
    coordinates = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    order_explorer(orders, embedded, problems, coordinates).write(folder / "orders.html")


PAGES = stage()
write_players()
write_rooms()
write_commands()
html_math_renderer = "mathml"


def setup(app: Sphinx) -> None:
    """Register the links and the formulas."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_display, None))
    app.connect("source-read", _link_pages)
