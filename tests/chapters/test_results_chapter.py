"""What the results chapter says: sections, names, differences, images that stand alone."""

import numpy as np
import pytest
from fake_sources import images, patients

from gutseg import blends
from gutseg.chapters import results
from gutseg.chapters.results import comparing, pictures
from gutseg.chapters.results.in_mm import clinical_parts
from gutseg.chapters.results.measuring import measure
from gutseg.chapters.results.wording import key_of, labels
from gutseg.metrics.clinical import Clinical, OrganResult
from gutseg.metrics.competition import METRICS, summarise
from gutseg.metrics.pooled import Counts
from gutseg.reporting.parts import Chart, Table

METRIC = METRICS["default"]


@pytest.fixture
def sources(monkeypatch, tmp_path):
    """Folders that open as fake sources: two runs, images, and one that cannot be scored."""
    fakes = {"good": patients(1, noise=30), "bad": patients(2, noise=110), "pictures": images()}

    def opened(path):
        if path.name not in fakes:
            raise ValueError(f"{path.name} holds no predictions; run: gutseg predict")
        return fakes[path.name]

    monkeypatch.setattr(blends, "open_source", opened)
    for name in (*fakes, "empty"):
        (tmp_path / name).mkdir()
    return tmp_path


def _parts(sections):
    return {part.name: part for one in sections for part in one.parts}


def test_one_run(sources):
    found = results.sections([sources / "good"])
    assert [one.key for one in found] == ["results"] + [
        f"results-{word}"
        for word in ("people", "probabilities", "clinical", "outlines", "empty", "false")
    ]
    parts = _parts(found)
    scores = parts["results_scores"].frame.set_index("class")
    measured = measure("x", patients(1, noise=30), METRIC)
    expected = summarise(measured.results, METRIC)
    assert scores.loc["all", "score"] == pytest.approx(expected.score)
    assert scores.loc["all", "1 - Hausdorff"] == pytest.approx(1 - expected.hausdorff)
    by_part = parts["results_score_parts"].frame.set_index("class").loc["all"]
    ends = by_part[["1 - Hausdorff, from", "1 - Hausdorff", "1 - Hausdorff, to"]]
    assert ends.is_monotonic_increasing
    assert (scores["patients"] == 7).all() and (scores["scans"] == 10).all()
    assert parts["results_folds"].frame["patients"].tolist() == [4, 3]
    cases = parts["results_cases"].frame
    assert cases["score"].is_monotonic_increasing and cases["scans"].sum() == 10
    worst = parts["results_worst_decile"]
    assert worst.frame["case"].tolist() == [cases["case"][0]] and "1 of 7" in worst.caption
    assert len(parts["results_scans"].frame) == 10
    presence = parts["results_presence_counts"].frame
    assert (presence[["both", "neither", "missed", "invented"]].sum(axis=1) == 80).all()
    # what is swept at the threshold in use is the Dice of the scores
    swept = parts["results_best_thresholds"].frame
    assert swept["Dice"].tolist() == pytest.approx(scores["Dice"].tolist()[:3])
    assert (swept["gain"] >= 0).all()


def _organ(scan, organ, distance, outcome="found"):
    return OrganResult(scan, organ, outcome, 0.5, 0.4, 9.0, distance, 1.0, -2.0, 10.0)


def test_millimetres_worked_by_hand():
    """HD95 of 2, 4 and 9 mm in two patients: the mean is over pairs, an absent organ is none."""
    organs = [
        _organ("case1_day0", "stomach", 2.0),
        _organ("case1_day4", "stomach", 4.0),
        _organ("case2_day0", "stomach", 9.0, "missed"),
        OrganResult("case3_day0", "stomach", "absent", *[np.nan] * 5, 0.0, 0.0),
    ]
    means, ends = (part.frame for part in clinical_parts(organs, Clinical(), ""))
    assert means["class"].tolist() == ["stomach", "all"]
    assert means.loc[0, ["pairs", "missed", "HD95 mm"]].tolist() == [3, 1, 5.0]
    row = ends[(ends["class"] == "all") & (ends["measure"] == "HD95 mm")].iloc[0]
    assert (row["mean"], row["median"]) == (5, 4)
    # influences of the patients: (6 - 2 · 5) / 3 and (9 - 5) / 3; t of one degree is 12.706
    assert row["to"] - row["mean"] == pytest.approx(12.7062 * np.sqrt(2 * 2) * 4 / 3, rel=1e-4)


def test_every_part_has_its_own_name_and_charts_say_what_they_show(sources):
    found = results.sections([sources / name for name in ("good", "bad", "pictures", "empty")])
    assert found[0].about.endswith(
        "empty is left out: empty holds no predictions; run: gutseg predict."
    )
    names = [part.name for one in found for part in one.parts]
    (pair,) = _parts(found)["results_differences_chart"].series
    table = _parts(found)["results_differences"].frame
    assert pair.name == "good minus bad" and pair.x[-1] == "all"
    assert [*pair.y] == table["score"].tolist() and [*pair.low] == table["from"].tolist()
    keys = [one.key for one in found]
    assert len(set(names)) == len(names) and len(set(keys)) == len(keys)
    for part in _parts(found).values():
        assert part.caption and set(part.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
        if isinstance(part, Chart):
            assert any(letter.isdigit() for letter in part.about), part.name
            for series in part.series:
                assert len(series.x) == len(series.y)


def test_nothing_to_show(sources):
    (only,) = results.sections([sources / "empty"])
    assert only.parts == [] and "holds no predictions" in only.about


def test_differences_leave_out_zero_where_one_run_is_better(sources):
    better, worse = patients(1, noise=30), patients(1, noise=110)
    pair = [measure(name, one, METRIC) for name, one in (("a", better), ("b", worse))]
    frame = comparing.difference_table(pair, METRIC).frame.set_index("class")
    gain = summarise(pair[0].results, METRIC).score - summarise(pair[1].results, METRIC).score
    assert frame.loc["all", "score"] == pytest.approx(gain)
    assert frame.loc["all", "differs"] == "yes" and frame.loc["all", "from"] > 0
    same = comparing.difference_table([pair[0], pair[0]], METRIC).frame
    assert (same["differs"] == "no").all() and (same["score"].abs() < 1e-12).all()


def test_only_scans_with_the_same_truth_are_compared():
    ours = measure("a", patients(1), METRIC).results
    theirs = measure("b", patients(2), METRIC).results[1:]
    theirs[0].truth[0, 0] += 1
    one, other = comparing.common(ours, theirs)
    assert [part.scan for part in one] == [part.scan for part in other]
    assert [part.scan for part in one] == [part.scan for part in ours[2:]]


def test_images_that_stand_alone(sources):
    parts = _parts(results.sections([sources / "pictures"]))
    frame = parts["results_pooled"].frame.set_index("class")
    source = images()
    tp = fp = fn = 0
    for name in source.scans:
        found = source.probabilities(name)[0][1] >= 128
        truth = source.data.scan(name).labels == 1
        tp, fp, fn = (
            tp + (found & truth).sum(),
            fp + (found & ~truth).sum(),
            fn + (~found & truth).sum(),
        )
    assert frame.loc["object", "Dice"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert frame.loc["object", "IoU"] == pytest.approx(tp / (tp + fp + fn))
    assert frame.loc["object", "from"] <= frame.loc["object", "Dice"] <= frame.loc["object", "to"]
    swept = parts["results_best_thresholds"].frame.set_index("class")
    assert swept.loc["object", "Dice"] == pytest.approx(frame.loc["object", "Dice"])


def test_classes_that_exclude_each_other_have_no_thresholds():
    found = pictures.picture_parts("x", images("multiclass", background=0), "")
    names = [part.name for part in found if isinstance(part, Table | Chart)]
    assert "results_pooled" in names and "results_thresholds" not in names


def test_the_mean_over_objects_leaves_out_background_and_absent_classes():
    parts = [[[8, 2, 0], [1, 3, 0], [1, 1, 0]], [[6, 4, 0], [0, 1, 0], [2, 0, 0]]]
    groups = [Counts(*np.array(part), 50) for part in parts]
    found = pictures.dice_intervals(groups, background=0)
    assert found[1].value == pytest.approx(12 / (12 + 4 + 1))
    assert np.isnan(found[2].value) and found[3].value == pytest.approx(found[1].value)


def test_names_tell_sources_apart(tmp_path):
    for folder in ("x/unet", "y/unet", "b"):
        (tmp_path / folder).mkdir(parents=True)
    blend = tmp_path / "b" / "blend.yaml"
    assert labels([tmp_path / "x" / "unet", blend]) == ["unet", "b"]
    assert labels([tmp_path / "x/unet", tmp_path / "y/unet", blend])[:2] == ["x/unet", "y/unet"]
    assert [one[-3:] for one in labels([blend, blend])] == ["(1)", "(2)"]
    assert key_of("x/U-Net 3+", "-") == "x-u-net-3"


def test_a_trained_run_beside_its_blend_as_score_has_them(trained):
    found = _parts(results.sections([trained.run, trained.blend]))
    frame = found["results_scores"].frame.set_index(["source", "class"])
    for name, source in zip(
        labels([trained.run, trained.blend]), (trained.run, trained.blend), strict=True
    ):
        expected = summarise(blends.out_of_fold(source, METRIC).results["all"], METRIC)
        assert frame.loc[(name, "all"), "score"] == pytest.approx(expected.score)
    assert len(found["results_differences"].frame) == 4
