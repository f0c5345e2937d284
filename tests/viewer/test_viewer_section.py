"""Which scans a report shows: the worst, the median and the best, or some of the data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shown_scans import SHAPE, labelled, scans

from gutseg.masks.bit_rows import BitRows
from gutseg.viewer import section

NAMES = tuple(f"case{n}_day0" for n in range(1, 6))
# planes of the truth that each prediction has, all others are empty
KEPT = dict(zip(NAMES, (9, 20, 3, 15, 0), strict=True))


def _predict(name):
    labels = labelled(name).labels.copy()
    labels[KEPT[name] :] = 0
    return BitRows.from_class_bits(labels, 3), np.ones(SHAPE[0], bool)


@pytest.fixture
def source(monkeypatch):
    """Scans whose predictions stop at some plane, behind any name of a source."""
    made = replace(scans(NAMES), predict=_predict)
    monkeypatch.setattr(section, "open_scans", lambda place: made)
    return made


def test_dice_is_pooled_over_classes_and_predicted_planes(source):
    found = section.dice(source)
    labels = labelled("case4_day0").labels
    sizes = [np.bitwise_count(part).sum() for part in (labels[:15], labels)]
    assert found["case4_day0"] == pytest.approx(2 * sizes[0] / sum(sizes))
    assert (found["case2_day0"], found["case5_day0"]) == (1.0, 0.0)
    seen = np.arange(SHAPE[0]) < 15
    part = replace(source, predict=lambda name: (_predict(name)[0], seen))
    assert section.dice(part)["case4_day0"] == 1.0


def test_worst_median_and_best_are_shown(source):
    (found,) = section.sections([Path("runs/smp")])
    (part,) = found.parts
    assert part.caption.startswith(
        "Scans: the worst, the median and the best of 5 by Dice: case5_day0, case1_day0, case2_day0"
    )
    assert part.html.count("data-scan=") == 3


def test_several_sources_share_the_page(source, monkeypatch):
    def opened(place):
        if place.name == "gone":
            raise ValueError("no predictions")
        return source

    monkeypatch.setattr(section, "open_scans", opened)
    places = [Path("runs/a"), Path("runs/gone"), Path("blends/b/blend.yaml")]
    (found,) = section.sections(places)
    assert [part.name for part in found.parts] == ["viewer_1_a", "viewer_2_b"]
    assert found.parts[1].caption.startswith("b: the worst")
    assert section.sections([Path("gone")]) == []


def test_many_sources_or_a_small_page_never_end_a_report(source, monkeypatch):
    """Four of nine are shown; then the worst scan alone; and where that is too large, none."""
    places = [Path(f"runs/r{number}") for number in range(9)]
    (found,) = section.sections(places)
    assert len(found.parts) == section.MOST_VIEWERS == 4
    assert found.about.endswith("Only the first 4 are shown; gutseg view shows the others.")
    shown = set()
    for budget in range(2000, 60000, 2000):
        monkeypatch.setattr(section, "BUDGET", budget)
        viewers = section.sections(places[:1])
        shown.add(viewers[0].parts[0].html.count("data-scan=") if viewers else 0)
    assert shown == {0, 1, 3}
    monkeypatch.setattr(section, "BUDGET", 10)
    assert section.sections(places) == []


def test_of_data_alone_some_are_shown(cache):
    (found,) = section.sections([], cache)
    assert "case1_day0, case2_day0, case5_day0" in found.parts[0].caption
    assert section.sections([], cache.parent / "raw") == []
