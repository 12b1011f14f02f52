"""The page of all figures: a card each, made from gallery.toml and from what lies beside the figure."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from docutils.nodes import make_id

HERE = Path(__file__).parent
FIGURES = HERE.parent / "figures"

HEAD = """# Gallery

Every figure, with what was asked and what came out. *Numbers* leads to the protocol, the numbers and
their intervals; *explore* to a page on which any slice of the result can be drawn; the command computes the
figure again. Its data lie in `figures/NAME/results.nc`.

"""

CARD = """:::{{grid-item-card}}
:img-top: ../figures/{name}/figure.png
:img-alt: {asked}

**{asked}**

{found}

<a href="{link}">Numbers</a> · <a href="explore/{name}.html">explore</a>
`toymodels {experiment} --config figures/{name}/summary.json`
:::
"""


def write_gallery() -> None:
    """Write gallery.md.

    Raises:
        ValueError: a figure has no sentences, or sentences have no figure.

    """
    sections = tomllib.loads((HERE / "gallery.toml").read_text())
    told = [name for section in sections.values() for name in section if name != "title"]
    there = [path.parent.name for path in FIGURES.glob("*/figure.png")]
    if sorted(told) != sorted(there):
        raise ValueError(f"gallery.toml and figures/ differ: {set(told) ^ set(there)}")
    addresses = dict(find_sections())
    parts = [HEAD]
    for section in sections.values():
        parts += [f"## {section.pop('title')}\n", "::::{grid} 1 2 2 2\n:gutter: 3\n"]
        parts += [
            CARD.format(name=name, experiment=find_experiment(name), link=addresses[name], **said)
            for name, said in section.items()
        ]
        parts.append("::::\n")
    (HERE / "gallery.md").write_text("\n".join(parts))


def find_experiment(name: str) -> str:
    """The experiment that made a figure."""
    return json.loads((FIGURES / name / "summary.json").read_text())["experiment"]


def find_sections() -> Iterator[tuple[str, str]]:
    """By figure, the address of the section of the results that tells its numbers."""
    heading = ""
    for line in (HERE / "results.md").read_text().splitlines():
        if line.startswith("#"):
            heading = line
        for name in re.findall(r"figures/(\w+)", line):
            yield name, f"results.html#{make_id(heading)}"
