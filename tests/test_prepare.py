import numpy as np
import pandas as pd
import pytest

from gutseg.data.cache import Cache
from gutseg.prepare import prepare


def _run(raw, tmp_path, **settings):
    prepare(raw, tmp_path / "cache", workers=2, **settings)
    return Cache(tmp_path / "cache")


def test_cache_of_a_good_folder(raw, tmp_path, capsys):
    cache = _run(raw, tmp_path)
    assert cache.index["scan"].unique().tolist() == ["case2_day1", "case2_day9", "case10_day0"]
    assert len(cache.index) == 9 + 6 + 7
    assert capsys.readouterr().out.endswith("3 scans, 22 slices, 0 issues skipped\n")
    assert pd.read_csv(tmp_path / "cache" / "skipped.csv").empty


def _break(raw, what):
    slice_3 = raw / "train/case2/case2_day1/scans/slice_0003_48_40_1.50_1.50.png"
    csv = raw / "train.csv"
    if what == "truncated":
        slice_3.write_bytes(slice_3.read_bytes()[:200])
    elif what == "other size":
        slice_3.write_bytes(next((raw / "train").glob("*/case2_day9/scans/*0001*")).read_bytes())
    elif what == "wrong name":
        slice_3.rename(slice_3.with_name("slice_0003_40_40_1.50_1.50.png"))
    elif what == "runs":
        lines = csv.read_text().splitlines()
        row = next(i for i, line in enumerate(lines) if line.startswith("case2_day1_slice_0003,st"))
        lines[row] = "case2_day1_slice_0003,stomach,1919 3"
        csv.write_text("\n".join(lines) + "\n")
    elif what == "unknown class":
        csv.write_text(csv.read_text() + "case2_day1_slice_0003,liver,1 1\n")


FAULTS = {
    "truncated": "case2/case2_day1/scans/slice_0003_48_40_1.50_1.50.png: truncated after 200 bytes",
    "other size": "slice_0003_48_40_1.50_1.50.png: is 40x40 .* its name says 48x40",
    "wrong name": "slice_0003_40_40_1.50_1.50.png: 40x40, the rest of case2_day1 is 48x40",
    "runs": r"row 10 \(case2_day1_slice_0003, stomach\): pair 1: start 1919 length 3 .*1920 pixels",
    "unknown class": "row 68: class 'liver' is not one of",
}


@pytest.mark.parametrize("what", FAULTS)
def test_bad_input_is_named_and_leaves_no_index(raw, tmp_path, what):
    _break(raw, what)
    with pytest.raises(ValueError, match=FAULTS[what]):
        _run(raw, tmp_path)
    assert not (tmp_path / "cache" / "index.parquet").exists()
    assert not list((tmp_path / "cache").glob("*.tmp"))


@pytest.mark.parametrize("what", FAULTS)
def test_skip_bad_lists_it_and_goes_on(raw, tmp_path, what):
    _break(raw, what)
    cache = _run(raw, tmp_path, skip_bad=True)
    skipped = pd.read_csv(tmp_path / "cache" / "skipped.csv")
    assert len(skipped) == 1
    lost = "case2_day1_slice_0003" not in set(cache.index["id"])
    assert lost == (what != "unknown class")
    scan = cache.scan("case2_day1")
    assert scan.shape == (9, 40, 48)  # later slices keep their distance
    assert bool(scan.image[2].any()) == (what in ("runs", "unknown class"))
    # a second run finds everything cached and reports the same
    again = _run(raw, tmp_path, skip_bad=True)
    assert again.index.equals(cache.index)
    assert pd.read_csv(tmp_path / "cache" / "skipped.csv").equals(skipped)
    with pytest.raises(ValueError, match="skip-bad"):
        _run(raw, tmp_path)


def test_a_killed_run_goes_on_where_it_was(raw, tmp_path):
    first = _run(raw, tmp_path)
    (tmp_path / "cache" / "index.parquet").unlink()
    keep = tmp_path / "cache" / "case2_day1" / "image.npy"
    before = keep.stat().st_mtime_ns
    half = tmp_path / "cache" / "case10_day0"
    for path in half.iterdir():
        path.unlink()
    half.rmdir()
    again = _run(raw, tmp_path)
    assert keep.stat().st_mtime_ns == before
    assert again.index.equals(first.index)


def test_changed_labels_are_cached_anew(raw, tmp_path):
    before = _run(raw, tmp_path).scan("case2_day9").mask.sum()
    table = pd.read_csv(raw / "train.csv", keep_default_na=False)
    table.loc[table["id"].str.startswith("case2_day9"), "segmentation"] = ""
    table.to_csv(raw / "train.csv", index=False)
    assert before > 0
    cache = _run(raw, tmp_path)
    assert cache.scan("case2_day9").mask.sum() == 0
    assert not cache.index.query("scan == 'case2_day9'")["stomach"].any()


def test_a_slice_without_rows_stays_as_a_neighbour_only(raw, tmp_path, caplog):
    table = pd.read_csv(raw / "train.csv", keep_default_na=False)
    table[table["id"] != "case2_day1_slice_0005"].to_csv(raw / "train.csv", index=False)
    with caplog.at_level("WARNING"):
        cache = _run(raw, tmp_path)
    assert "1 slices have a PNG but no rows: case2_day1_slice_0005" in caplog.text
    assert "case2_day1_slice_0005" not in set(cache.index["id"])
    assert cache.scan("case2_day1").image[4].any()


def test_nothing_in_common(raw, tmp_path):
    (raw / "train.csv").write_text("id,class,segmentation\ncase99_day0_slice_0001,stomach,\n")
    with pytest.raises(ValueError, match="no scan has both PNGs below train/ and rows"):
        _run(raw, tmp_path)


def test_no_train_csv(tmp_path):
    (tmp_path / "sample_submission.csv").write_text("id,class,predicted\n")
    with pytest.raises(FileNotFoundError, match="prepare needs the training set's labels"):
        _run(tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match="kaggle competitions download"):
        _run(tmp_path / "nowhere", tmp_path)


def test_real_scan(real_data, tmp_path, caplog):
    """13 scans of the csv have no PNGs here, and one PNG has no rows: both are named."""
    with caplog.at_level("WARNING"):
        cache = _run(real_data / "uwmgi" / "uw-madison-gi-tract-image-segmentation", tmp_path)
    assert "13 scans have rows but no PNGs: case2_day2, case2_day3" in caplog.text
    assert "1 slices have a PNG but no rows: case85_day0_slice_0088" in caplog.text
    scan = cache.scan("case2_day1")
    assert scan.shape == (144, 266, 266) and scan.image.max() == 846
    assert [scan.percentile(p) for p in (25, 50, 75, 90, 99.9)] == [2, 9, 98, 239, 532]
    assert np.count_nonzero(cache.index["stomach"]) > 20
