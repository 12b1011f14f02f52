"""Every number of README.md and docs/ is its data's, or exempt: see `tests.claims.text`."""

import pytest

from experiments.published import beside
from tests.claims import text
from tests.claims.sources import ROOT, value

SENTENCE = 'MSE {loss.transfer("MSE")}, KL {loss.transfer("KL")} (n = {loss.n}).'


@pytest.mark.parametrize("name", text.DOCUMENTS)
def test_every_number_is_its_source_s(name):
    print(text.summary(name))
    assert not (complaints := text.complaints(name)), "\n" + "\n".join(complaints)


def test_every_document_of_results_is_read():
    read = {ROOT / name for name in text.DOCUMENTS}
    # Made from the data, without numbers (two), and measured by its own script.
    without = {"published.md", "gallery.md", "glossary.md", "soundness.md"}
    assert {path for path in (ROOT / "docs").glob("*.md") if path.name not in without} < read


def test_every_exemption_is_needed():
    documents = [(ROOT / name).read_text() for name in text.DOCUMENTS]
    for pattern in text.exemptions():
        assert any(text.find(pattern, document) for document in documents), pattern


def test_published_values_outside_our_intervals_are_limits():
    limits = (ROOT / "docs/limits.md").read_text().splitlines()
    for row, ours in beside(ROOT / "figures"):
        reach = ((ours["ci_high"] - ours["ci_low"]) / 2) ** 2 + (row.half_width or 0) ** 2
        if abs(ours["mean"] - row.value) > reach**0.5:
            named = [line for line in limits if f"{row.value:g} " in line and row.folder in line]
            assert named, f"{row} is outside of {ours['mean']:.4f} and not in docs/limits.md"


def written(mse, kl):
    return f"MSE {mse}, KL {kl} (n = 8)."


RIGHT = written("0.69 (0.61 to 0.76)", "0.55")


def problems(document, sentences=(SENTENCE,), exempt=()):
    found = text.report(document, sentences, exempt)
    return found.errors + found.untied + [claim for claim in found.claims if not claim.holds]


def test_right_numbers_pass():
    assert problems(RIGHT) == []


@pytest.mark.parametrize(
    "document",
    [
        written("0.68 (0.61 to 0.76)", "0.55"),
        written("0.69 (0.62 to 0.76)", "0.55"),
        written("0.69 (0.61 to 0.77)", "0.55"),
        written("0.69 (0.61 to 0.76)", "0.56"),
        written("0.69 (0.61 to 0.76)", f"{text.MINUS}0.55"),
        written("0.69 (0.61 to 0.76)", "0.550"),
        RIGHT.replace("8", "9"),
        RIGHT + " Besides, 0.3.",
        RIGHT * 2,
        RIGHT.replace("MSE", "SGD"),
    ],
)
def test_a_number_that_drifts_is_noticed(document):
    assert problems(document)


def test_what_a_source_selects_by_may_be_said_and_nothing_else():
    sentence = 'At m = 10 a hop keeps {chain.contraction("new", m=10)} of transfer, for 3 seeds.'
    document = "At m = 10 a hop keeps 0.80 of transfer, for 3 seeds."
    assert [number.group() for number in problems(document, [sentence])] == ["3"]
    assert problems(document, [sentence], ["3 seeds"]) == []


def test_code_addresses_and_formulas_are_not_read():
    assert problems("`x = 1` and [two](figures/2), $3$:\n```\n4\n```\n", []) == []


@pytest.mark.parametrize(
    ("printed", "data", "rounded"),
    [
        ("0.53", 0.5349, "0.53"),
        (f"{text.MINUS}0.03", -0.0349, f"{text.MINUS}0.03"),
        ("0.00", -0.001, f"{text.MINUS}0.00"),
        ("5e-4", 4.9e-4, "5e-4"),
        (".53", 0.526, ".53"),
        ("60,000", 60000, "60,000"),
    ],
)
def test_numbers_are_rounded_as_they_are_printed(printed, data, rounded):
    claim = text.Claim(0, 0, printed, data, "")
    assert claim.holds
    assert claim.rounded == rounded


def test_writing_puts_the_data_in_place(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text(written("0.9 (0.1 to 0.2)", "0.111"))
    (tmp_path / "README.txt").write_text(SENTENCE)
    monkeypatch.setattr(text, "ROOT", tmp_path)
    monkeypatch.setattr(text, "HERE", tmp_path)
    (tmp_path / "exempt.txt").write_text("")
    text.write("README.md")
    assert (tmp_path / "README.md").read_text() == written("0.7 (0.6 to 0.8)", "0.555")
    assert text.complaints("README.md") == []


@pytest.mark.parametrize("source", ["__import__('os')", "(lambda: 1)()", "loss.transfer.data"])
def test_nothing_but_sources_is_evaluated(source):
    with pytest.raises((SyntaxError, KeyError, AttributeError)):
        value(source)


def test_a_label_of_no_or_two_dimensions_is_refused():
    with pytest.raises(KeyError, match="'none' is a label of 0 dimensions"):
        value('loss.transfer("none")')
    with pytest.raises(KeyError, match="'shared' is a label of 3 dimensions"):
        value('head_overlap.transfer("shared", m=10)')
