import pytest

from toymodels.display import PlainLines, duration, number


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (3725, "1:02:05")])
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_unknown_numbers_are_dashes():
    assert (number(None), number(0.12345)) == ("-", "0.123")


def test_plain_lines_tell_each_tenth_once(capsys):
    lines = PlainLines()
    for done in (0, 1, 2, 3, 20):
        lines("models", done, 20, None if done == 0 else 5.0)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "models ..."
    assert [line.split(",")[0] for line in told[1:]] == ["models: 2 of 20", "models: 20 of 20"]
