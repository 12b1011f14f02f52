"""Sphinx configuration."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util.docutils import SphinxDirective
from toymodels.experiments import explore, published

import toymodels
from toymodels.study.explorer import page

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent)]  # gallery.py, and experiments/ for the reference
from gallery import write_gallery  # noqa: E402

project = "toymodels"
author = copyright = "The toymodels authors"
release = toymodels.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "jupyter_execute", "notebooks/README.md"]
html_theme = "sphinx_book_theme"
html_title = "toymodels"
html_theme_options = {
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "use_download_button": False,
    "navbar_persistent": [],  # the search stands in the side bar
}
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_math_renderer = "mathml"  # drawn by the browser itself, without a script or the network
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The reference is made from the docstrings of every module there is: none can be forgotten.
apidoc_modules = [
    {
        "path": str(HERE.parent / package),
        "destination": f"reference/{package}",
        "separate_modules": True,
        "module_first": True,
    }
    for package in ("toymodels", "experiments")
]
# The public names of `toymodels` and of `toymodels.sweep` are described where they are defined.
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "ignore-module-all": True,
}
autodoc_typehints = "none"

# Notebooks are run by `make notebooks` and shown as they came out.
nb_execution_mode = "off"
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_update_mathjax = False
myst_heading_anchors = 3
(HERE / "published.md").write_text(
    "# Published results, and ours\n\nRead from the `summary.json` beside every figure.\n\n"
    + published.markdown(HERE.parent / "figures")
)
write_gallery()
shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks", dirs_exist_ok=True)


def bars_are_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep the |x| of a formula from being taken for a substitution."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            code = re.split(r"(``.*?``)", line)
            lines[i] = "".join(c if c.startswith("``") else c.replace("|", r"\|") for c in code)


FIELDS: dict[str, list[str]] = {}


def field_kept(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep a field's sentence from napoleon, which takes what is before a colon for a type."""
    if what == "attribute":
        said = not "".join(lines[:1]).startswith("Alias for field number")  # namedtuple's words
        FIELDS[name] = list(lines) if said else []


def field_back(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Put a field's sentence back."""
    lines[:] = FIELDS.pop(name, lines)


def draw_formula(self: Any, node: Any) -> None:
    """Write a formula as MathML."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    self.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def write_explorers(app: Any) -> None:
    """Write the explorer of every figure that has none, or an older one, beside the pages."""
    code = [path.stat().st_mtime for path in Path(page.__file__).parent.glob("*.*")]
    for folder in sorted(path.parent for path in (HERE.parent / "figures").glob("*/results.nc")):
        out = Path(app.outdir, "explore", f"{folder.name}.html")
        newest = max(*code, (folder / "results.nc").stat().st_mtime)
        if not out.exists() or out.stat().st_mtime < newest:
            explore.make_page(folder, out)


class Explorer(SphinxDirective):
    """The explorer of a figure's result, shown in a frame: ``{explorer} init_overlap``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the frame of a page of `write_explorers`."""
        (name,) = self.arguments
        place = "../" * self.env.docname.count("/") + f"explore/{name}.html"
        frame = (
            f'<iframe class="explorer" src="{place}" loading="lazy" title="Explorer of {name}">'
            f'</iframe><p><a href="{place}">Open this explorer on a page of its own</a></p>'
        )
        return [nodes.raw("", frame, format="html")]


def setup(app: Any) -> None:
    """Connect to Sphinx."""
    app.add_html_math_renderer("mathml", (draw_formula, None), (draw_formula, None))
    app.add_directive("explorer", Explorer)
    app.connect("builder-inited", write_explorers)
    app.connect("autodoc-process-docstring", field_kept, priority=0)
    app.connect("autodoc-process-docstring", field_back, priority=900)
    app.connect("autodoc-process-docstring", bars_are_bars, priority=901)
