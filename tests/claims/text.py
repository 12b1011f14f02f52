"""The numbers of README.md and docs/ beside the data that they come from.

``tests/claims/README.txt`` repeats the sentences of README.md that hold numbers, as far as it takes
to find them, with a source in braces in place of every number that is a result
(`tests.claims.sources`). Empty lines part the sentences, ``#`` begins a comment. A source that is
an array over seeds stands for ``0.53``, ``0.53 (0.51 to 0.55)``, ``0.53, 0.51 to 0.55`` or
``0.53 | 0.51 to 0.55``: the mean and its interval. A number must equal its source, rounded to the
decimals that are printed. What a source selects by (``m=10``) may stand in its sentence, too.

``tests/claims/exempt.txt`` lists the numbers that need no source. Code, addresses and formulas are
not read.

    python -m tests.claims.text           reports what differs and what has no source
    python -m tests.claims.text --write   puts the data's numbers into the text; read the text after
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from tests.claims.quantities import interval
from tests.claims.sources import ROOT, selectors, value

HERE = Path(__file__).parent
DOCUMENTS = {
    "README.md": "README.txt",
    "docs/index.md": "index.txt",
    "docs/results.md": "results.txt",
    "docs/howto.md": "howto.txt",
    "docs/limits.md": "limits.txt",
    "docs/language.md": "language.txt",
    "docs/theory.md": "theory.txt",
    "docs/theory_overlap.md": "theory_overlap.txt",
    "docs/theory_trained.md": "theory_trained.txt",
}
DIGITS = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:e-?\d+)?"
MINUS = "\N{MINUS SIGN}"
NUMBER = rf"[-{MINUS}+]?{DIGITS}"
SLOT = (
    rf"({NUMBER})(?:\s+\(({NUMBER})\s+to\s+({NUMBER})\)"
    rf"|(?:,|\s+\|)\s+({NUMBER})\s+to\s+({NUMBER}))?"
)
ANY_NUMBER = re.compile(rf"(?<![\w.]){DIGITS}")
UNREAD = re.compile(
    r"```.*?```|\$\$.*?\$\$|\$[^$]+\$|`[^`]*`|<!--.*?-->|\]\([^)]*\)|https?://\S+", re.DOTALL
)


class Claim(NamedTuple):
    """A number in a document, and its source's."""

    start: int
    end: int
    printed: str
    data: float
    source: str

    @property
    def holds(self) -> bool:
        """Whether the data, rounded like the text, are the text's number."""
        found = float(plain(self.printed))
        digits, _, power = plain(self.printed).partition("e")
        unit = 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
        return abs(self.data - found) <= unit / 2 * (1 + 1e-6)

    @property
    def rounded(self) -> str:
        """The data's number as the text prints it."""
        digits, _, power = plain(self.printed).partition("e")
        decimals = len(digits.partition(".")[2])
        group = "," if "," in self.printed else ""
        text = f"{self.data:{group}.{decimals}{'e' if power else 'f'}}".replace("e-0", "e-")
        if self.printed.lstrip(f"-{MINUS}+").startswith("."):
            text = text.replace("0.", ".", 1)
        return text if power or "-" in self.printed else text.replace("-", MINUS)


class Report(NamedTuple):
    """What became of a document's numbers."""

    claims: list[Claim]
    selected: list[re.Match[str]]
    exempt: list[re.Match[str]]
    untied: list[re.Match[str]]
    errors: list[str]


def plain(number: str) -> str:
    """A printed number as Python writes it."""
    return number.replace(MINUS, "-").replace(",", "")


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a file without its comments, each with single spaces."""
    lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    return [" ".join(part.split()) for part in "\n".join(lines).split("\n\n") if part.strip()]


def claims(document: str, sentence: str) -> tuple[list[Claim], list[re.Match[str]]]:
    """The numbers of a sentence, and those that its sources select by, where the document says it.

    Raises:
        ValueError: the document does not say it exactly once.
    """
    *parts, end = re.split(r"\{(.*?)\}", sentence)
    literals, sources = [*parts[::2], end], parts[1::2]
    loose = [r"\s+".join(map(re.escape, re.split(r"\s+", literal))) for literal in literals]
    matches = list(re.finditer(SLOT.join(loose), document))
    if len(matches) != 1:
        raise ValueError(f"the text says this {len(matches)} times, not once")
    match, found = matches[0], []
    for i, source in enumerate(sources):
        groups = [j for j in range(5 * i + 1, 5 * i + 6) if match.group(j)]
        for group, data in zip(groups, numbers(source, len(groups)), strict=True):
            found.append(Claim(*match.span(group), match.group(group), data, source))
    known = {float(n) for source in sources for n in re.findall(DIGITS, selectors(source))}
    inner = ANY_NUMBER.finditer(document, *match.span())
    return found, [number for number in inner if float(plain(number.group())) in known]


def numbers(source: str, printed: int) -> list[float]:
    """The first so many of a source's mean and the ends of its interval."""
    data = value(source)
    if printed > 1 or (isinstance(data, xr.DataArray) and data.dims):
        found = interval(data)
        return [float(number) for number in (found.mean, found.ci_low, found.ci_high)[:printed]]
    return [float(data)]


def report(document: str, sentences: list[str], exemptions: list[str]) -> Report:
    """Tie every number of a document to its source, or find it exempt."""
    found = Report([], [], [], [], [])
    for sentence in sentences:
        try:
            tied, selected = claims(document, sentence)
        except (AttributeError, LookupError, SyntaxError, TypeError, ValueError) as error:
            found.errors.append(f"{error}: {sentence}")
        else:
            found.claims.extend(tied)
            found.selected.extend(selected)
    unread = [match.span() for match in UNREAD.finditer(document)]
    tied = [(claim.start, claim.end) for claim in found.claims]
    selected = [match.span() for match in found.selected]
    allowed = [m.span() for pattern in exemptions for m in find(pattern, document)]
    for match in ANY_NUMBER.finditer(document):
        if not inside(match, unread + tied + selected):
            (found.exempt if inside(match, allowed) else found.untied).append(match)
    return found


def inside(match: re.Match[str], spans: list[tuple[int, int]]) -> bool:
    """Whether a number lies within one of the spans."""
    return any(start <= match.start() and match.end() <= end for start, end in spans)


def find(pattern: str, document: str) -> list[re.Match[str]]:
    """Where an exemption applies; a space stands for any white space."""
    return list(re.finditer(pattern.replace(" ", r"\s+"), document, re.MULTILINE))


def exemptions() -> list[str]:
    """Patterns of numbers that need no source."""
    lines = (HERE / "exempt.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def read(name: str) -> tuple[str, Report]:
    """A document and the report on it."""
    document = (ROOT / name).read_text()
    sentences = paragraphs((HERE / DOCUMENTS[name]).read_text())
    return document, report(document, sentences, exemptions())


def complaints(name: str) -> list[str]:
    """A line for every number that differs or has no source: file, line, text and data."""
    document, found = read(name)

    def line(at: int) -> str:
        return f"{name}:{document.count(chr(10), 0, at) + 1}"

    differ = [
        f"{line(claim.start)}: the text has {claim.printed}, the data {claim.rounded} "
        f"({claim.data:.6g}): {claim.source}"
        for claim in found.claims
        if not claim.holds
    ]
    loose = [
        f"{line(m.start())}: {m.group()} has no source: "
        f"...{' '.join(document[max(m.start() - 40, 0) : m.end() + 30].split())}..."
        for m in found.untied
    ]
    return [f"{name}: {error}" for error in found.errors] + differ + loose


def write(name: str) -> None:
    """Put the data's numbers in place of those that differ."""
    document, found = read(name)
    for claim in sorted(found.claims, reverse=True):
        if not claim.holds:
            document = document[: claim.start] + claim.rounded + document[claim.end :]
    (ROOT / name).write_text(document)


def summary(name: str) -> str:
    """How many of a document's numbers are tied, selected by, exempt and without a source."""
    found = read(name)[1]
    return (
        f"{name}: {len(found.claims)} numbers tied, {len(found.selected)} that sources select by, "
        f"{len(found.exempt)} exempt, {len(found.untied)} without a source"
    )


def main(arguments: list[str]) -> None:
    for name in DOCUMENTS:
        if "--write" in arguments:
            write(name)
        print(*complaints(name), summary(name), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
