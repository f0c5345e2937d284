"""The two views that a check draws, what it demands of the csv, and the forecast."""

import json

import pandas as pd
import pytest

from gutseg.constants import CLASSES
from gutseg.data.index import Issues, list_slices
from gutseg.data.volume import decode_png, read_file
from gutseg.kaggle import rehearsal
from gutseg.kaggle.rehearsal import (
    Measured,
    check_csv,
    check_faults,
    forecast,
    measured,
    rehearse,
    what_to_cut,
)
from gutseg.kaggle.sandbox import Ran
from gutseg.kaggle.views import write_views

# A kernel of the standard library: masks of one pixel where there is a PNG that ends as one does,
# in the order of the sample, or of train.csv for a header-only one.
KERNEL = """
import csv, os, sys
from pathlib import Path

images = Path(os.environ["GUTSEG_INPUT"])
root = next(p.parent for p in images.glob("**/sample_submission.csv"))
sample = list(csv.reader((root / "sample_submission.csv").open()))[1:]
part = "test" if sample else "train"
sample = sample or list(csv.reader((root / "train.csv").open()))[1:]
good = set()
for path in root.glob(part + "/*/*/scans/*.png"):
    if path.read_bytes().endswith(b"IEND\\xaeB`\\x82"):
        good.add(f"{path.parts[-3]}_{'_'.join(path.name.split('_')[:2])}")
    else:
        print(path.name, "is cut", file=sys.stderr)
rows = [(name, organ, "1 1" if name in good else "") for name, organ, _ in sample]
for name in sorted({row[0] for row in rows} - good):
    print(name, "has no PNG", file=sys.stderr)
PLACE
if part == "train":
    open("score.json", "w").write('{"score": 0.25}')
with open("submission.csv", "w") as stream:
    csv.writer(stream, lineterminator="\\n").writerows([("id", "class", "predicted"), *rows])
"""


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """Both folders, drawn once."""
    return write_views(tmp_path_factory.mktemp("views"))


@pytest.fixture
def check(built, views, tmp_path, monkeypatch):
    """A function that checks a build whose kernel has a line changed; returns what is printed."""
    monkeypatch.setattr(rehearsal, "write_views", lambda folder, full, case: views)

    def run(change="", full=False):
        folder = built(KERNEL.replace("PLACE", change))
        return list(rehearse(folder, tmp_path / "work", full)), folder

    return run


def test_the_hidden_test_has_what_a_hidden_test_can_have(views):
    slices = list_slices(views.hidden / "test", Issues())
    sample = pd.read_csv(views.hidden / "sample_submission.csv", keep_default_na=False)
    counts = slices.groupby("scan").size().to_dict()
    assert counts == {"case2_day16": 6, "case5_day3": 6, "case7_day0": 79, "case9_day2": 1}
    sizes = {(2 * row.width, 2 * row.height) for row in slices.itertuples()}
    assert sizes == {(266, 266), (360, 310), (276, 276), (234, 234)}
    train = list_slices(views.public / "train", Issues())
    assert set(train["case"]) == {2} and (train["day"] < 16).all()  # case 2 returns, 5 is new
    assert set(slices["id"]) - set(sample["id"]) == {"case2_day16_slice_0006"}
    absent = {"case7_day0_slice_0003", "case999_day0_slice_0001", "case999_day0_slice_0002"}
    assert set(sample["id"]) - set(slices["id"]) == absent
    assert views.empty == absent | {"case5_day3_slice_0002"}
    assert (sample.groupby("id").size() == 3).all() and not sample["id"].is_monotonic_increasing
    assert (views.num_public, views.num_hidden) == (6, 91)
    unread = []
    for row in slices.itertuples():
        try:
            decode_png(read_file(views.hidden / row.file), row.height, row.width)
        except ValueError:
            unread.append(row.id)
    assert unread == ["case5_day3_slice_0002"]


def test_the_public_view_is_a_header_and_no_test(views):
    assert (views.public / "sample_submission.csv").read_bytes() == b"id,class,predicted\n"
    assert not (views.public / "test").exists()
    labels = pd.read_csv(views.public / "train.csv")
    assert labels["class"].tolist() == list(CLASSES) * 6 and labels["segmentation"].notna().any()


def test_a_good_kernel_passes_in_both_views_and_its_time_is_kept(check):
    lines, folder = check()
    assert lines[0].startswith("public view, header-only sample: 18 rows in ")
    # the run that its blend names is not there
    assert lines[0].endswith("; not scored, since every network may have seen its scan")
    assert lines[1].startswith("hidden test, 91 slices: 282 rows in ")
    assert lines[1].endswith("4 slices that nobody can read have empty masks and are in the log")
    assert lines[2].startswith("50 cases x 3 scans x 144 slices: ") and "of 9 hours on" in lines[2]
    kept = json.loads((folder / "checks.json").read_text())["machines"]
    assert len(kept) == 1 and next(iter(kept.values()))["full"] is False


WRONG = {
    "sorted": ("rows.sort()", "csv is not valid: submission.csv row [0-9]+: .* is out of order"),
    "one class before another": (
        "rows[0], rows[1] = rows[1], rows[0]",
        "submission.csv row [23]: .* is out of order: it is row [23] of the sample",
    ),
    "a row less": ("rows.pop()", "is not valid: submission.csv: row [0-9]+ of the sample is missi"),
    "unreadable slices left out": (
        "rows = [row for row in rows if row[0] in good]",
        "is not valid: submission.csv: row [0-9]+ of the sample is missing: case",
    ),
    "a row more": ("rows.append(rows[0])", "is not valid: submission.csv row 20: .*listed twice"),
    "an image that nobody asks for": (
        "if part == 'test': rows.append(('case2_day16_slice_0006', 'stomach', ''))",
        "row 284: case2_day16_slice_0006, stomach is not in the sample",
    ),
    "a run past the end": (
        "rows[0] = (*rows[0][:2], '1 999999')",
        "submission.csv row 2: predicted, .*999999",
    ),
    "no rows": ("rows = []", "the kernel's csv holds no rows|of the sample is missing"),
    "a mask of what cannot be read": (
        "rows = [(*row[:2], '1 1') for row in rows]",
        "the kernel wrote a mask for case.*, which nobody can read",
    ),
    "it crashes on a header-only sample": ("sample[500] if part == 'train' else 0", "ended with 1"),
    "it crashes on ids without an image": (
        "assert {row[0] for row in rows} <= good or part == 'train'",
        "the kernel ended with 1: AssertionError",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_kaggle_would_refuse_or_score_wrong_fails_the_check(check, fault):
    change, message = WRONG[fault]
    with pytest.raises(ValueError, match=message):
        check(change)


def test_a_kernel_that_says_nothing_of_faults_fails_the_check(views, tmp_path):
    rows = pd.DataFrame({"id": [], "class": [], "predicted": []}, dtype=str)
    log = ["case7_day0_slice_0003", "case999_day0_slice_0001 and case999_day0_slice_0002"]
    cut = "slice_0002_180_155_3.00_3.00.png"
    check_faults(Ran(tmp_path, [*log, cut], 1.0, 0), rows, views)
    with pytest.raises(ValueError, match=f"the kernel's log does not name {cut}$"):
        check_faults(Ran(tmp_path, log, 1.0, 0), rows, views)


def test_a_csv_with_another_header_is_refused(views, tmp_path):
    (tmp_path / "s.csv").write_text("id,class,segmentation\n")
    with pytest.raises(ValueError, match="s.csv: header is id,class,segmentation; expected id,cla"):
        check_csv(tmp_path / "s.csv", views.hidden)


def test_time_is_a_start_and_so_much_a_slice(views, tmp_path):
    runs = [Ran(tmp_path, [], seconds, peak) for seconds, peak in ((26.0, 10**9), (111.0, 2e9))]
    found = measured(*runs, views, full=True)
    # 85 slices more in 85 seconds; 20 of them are not for slices
    assert found == Measured(True, start_seconds=20.0, seconds_per_slice=1.0, peak_gb=2.0)
    assert found.hours == pytest.approx((20 + 50 * 3 * 144) / 3600)
    slower = measured(runs[1], runs[0], views, full=True)  # noise: the smaller view took longer
    assert slower.seconds_per_slice == pytest.approx(26 / 91) and slower.start_seconds == 0


def test_the_forecast_keeps_every_kind_of_machine_of_a_build(built, monkeypatch):
    folder = built("")
    monkeypatch.setattr(rehearsal, "_machine", lambda: "2 x Tesla T4")
    slow = Measured(True, start_seconds=30.0, seconds_per_slice=2.0, peak_gb=3.0)
    (line,) = forecast(folder, slow)
    assert line == (
        "50 cases x 3 scans x 144 slices: 12.0 of 9 hours on 2 x Tesla T4, 0.5 slices/s: too long; "
        "one fold a run 6.0 h; on a GPU a larger predict.batch_size may help"
    )
    monkeypatch.setattr(rehearsal, "_machine", lambda: "2 cores of a CPU")
    fast = Measured(False, start_seconds=30.0, seconds_per_slice=0.5, peak_gb=3.0)
    lines = list(forecast(folder, fast))
    assert len(lines) == 2 and lines[0] == line
    size = "2.0 slices/s (half the side; --full measures real sizes)"
    assert lines[1].endswith(f"3.0 of 9 hours on 2 cores of a CPU, {size}")
    (folder / "bundle" / "bundle.json").write_text("{}")  # another build: nothing of it is known
    assert len(list(forecast(folder, fast))) == 1


def test_what_could_be_cut(tmp_path):
    text = "members: [{run: a, folds: [0, 1, 2, 3, 4], tta: flips}, {run: b, folds: [0, 1]}]\n"
    (tmp_path / "blend.yaml").write_text(text)
    blend = rehearsal.load_blend(tmp_path / "blend.yaml")
    assert what_to_cut(blend, 9.0) == ""
    # 5 x 4 + 2 passes; without flips 5 + 2, of one fold 4 + 1, of both 1 + 1
    assert what_to_cut(blend, 22.0) == (
        ": too long; tta: none 7.0 h, one fold a run 5.0 h, both 2.0 h; on a GPU a larger "
        "predict.batch_size may help"
    )


def test_a_folder_of_ones_own_is_run_alone(built, views, tmp_path, capsys):
    folder = built(KERNEL.replace("PLACE", ""))
    rehearsal.check(folder, views.hidden)
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{views.hidden}: 282 rows in ")
    assert last == (
        f"{folder}: the kernel ran as on Kaggle; next: gutseg kernel push --folder {folder}"
    )
    assert not (folder / "checks.json").exists()
