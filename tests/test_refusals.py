"""Bad submissions, inputs and bundles: each is refused with the message of docs/kaggle.md.

The tables of refused_*.py name a message as the page shows it, `…` for any value; a new refusal
is a row of one of them and a row of the page's troubleshooting.
"""

import re
from pathlib import Path

import pytest
from folders import draw, write_csv, write_scan
from refused_bundles import BUNDLES
from refused_inputs import INPUTS
from refused_pushes import PUSHES
from refused_submissions import SUBMISSIONS

from gutseg.ending import explain

PAGE = Path(__file__).parents[1] / "docs" / "kaggle.md"
REFUSALS = SUBMISSIONS | INPUTS | BUNDLES | PUSHES


def documented() -> list[str]:
    """Return the messages that the page explains: the first cells of its troubleshooting."""
    section = PAGE.read_text().split("\n## Troubleshooting\n")[1].split("\n## ")[0]
    return [message.strip() for _, message in re.findall(r"^\| (`{1,2})(.+?)\1 \|", section, re.M)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with hidden/: two scans of a test and the sample that asks for them."""
    monkeypatch.chdir(tmp_path)
    for seed, (scan, shape) in enumerate(
        {"case7_day0": (3, 40, 48), "case8_day3": (2, 36, 36)}.items()
    ):
        rows = write_scan(tmp_path / "hidden", scan, *draw(*shape, seed), part="test")
        write_csv(
            tmp_path / f"{scan}.csv", [(one, organ, "") for one, organ, _ in rows], "predicted"
        )
    parts = [(tmp_path / f"{scan}.csv").read_text() for scan in ("case8_day3", "case7_day0")]
    sample = parts[0] + parts[1].partition("\n")[2]
    (tmp_path / "hidden" / "sample_submission.csv").write_text(sample)
    return tmp_path


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_what_the_page_explains(name, place, capsys, caplog):
    message, call = REFUSALS[name]
    with pytest.raises((ValueError, OSError, SystemExit)) as refused:
        call(place)
    sentence = explain(refused.value) if isinstance(refused.value, Exception) else refused.value
    said = [*capsys.readouterr().out.splitlines(), *caplog.messages, *str(sentence).splitlines()]
    form = ".+".join(map(re.escape, message.split("…")))
    assert any(re.fullmatch(form, line) for line in said), "\n".join(said)
    assert message in documented()


def test_the_page_explains_no_message_that_nothing_says():
    said = {message for message, _ in REFUSALS.values()}
    assert [message for message in documented() if message not in said] == []


def test_there_are_enough_of_them():
    assert len(REFUSALS) >= 30
