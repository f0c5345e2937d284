import pandas as pd
import pytest

from gutseg.data.index import Issues, list_slices, scan_key
from gutseg.data.mask_csv import read_labels
from gutseg.prepare import join


def test_width_comes_first_in_the_file_name_and_second_in_the_array(raw):
    slices = list_slices(raw / "train", Issues())
    row = slices[slices["id"] == "case2_day1_slice_0003"].iloc[0]
    assert (row["height"], row["width"]) == (40, 48)
    assert row["file"].endswith("slice_0003_48_40_1.50_1.50.png")


def test_cases_are_sorted_by_number_not_by_letter(raw):
    assert list_slices(raw / "train", Issues())["scan"].unique().tolist() == [
        "case2_day1",
        "case2_day9",
        "case10_day0",
    ]
    assert sorted(["case10_day0", "case9_day20", "case9_day3"], key=scan_key)[0] == "case9_day3"


def test_join_is_by_id_even_when_one_png_and_its_rows_are_gone(raw):
    """Joining by order would shift every label behind the gap."""
    path = raw / "train/case2/case2_day9/scans/slice_0006_40_40_1.50_1.50.png"
    path.unlink()
    labels = read_labels(raw / "train.csv", Issues())
    labels = labels[labels["id"] != "case2_day9_slice_0006"]
    slices, labels = join(list_slices(raw / "train", Issues()), labels, Issues())
    assert slices["id"].nunique() == 9 + 5 + 7
    assert labels["id"].tolist() == slices["id"].repeat(3).tolist()


def test_scans_on_one_side_are_listed(raw, caplog):
    labels = read_labels(raw / "train.csv", Issues())
    slices = list_slices(raw / "train", Issues())
    join(slices[slices["scan"] != "case2_day9"], labels, Issues())
    assert "1 scans have rows but no PNGs: case2_day9" in caplog.text
    kept, _ = join(slices, labels[labels["scan"] != "case10_day0"], Issues())
    assert "7 slices have a PNG but no rows: case10_day0_slice_" in caplog.text
    assert "case10_day0" not in set(kept["scan"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("case2/case2_day1/scans/slice_3_48_40_1.50_1.50.png", "name does not read as"),
        ("case2/case3_day1/scans/slice_0001_48_40_1.50_1.50.png", "name does not read as"),
        ("case2/case2_day1/scans/slice_0003_40_40_1.63_1.63.png", "two PNGs of one slice"),
    ],
)
def test_bad_file_names(raw, name, message):
    path = raw / "train" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=message):
        list_slices(raw / "train", Issues())
    issues = Issues(collect=True)
    list_slices(raw / "train", issues)
    assert name.rsplit("/", 1)[1] in issues.table()["where"].iloc[0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("case2_slice_0001,stomach,", r"train.csv row 68: id 'case2_slice_0001' is not of the"),
        ("case2_day1_slice_0001,liver,", r"row 68: class 'liver' is not one of large_bowel"),
        ("case2_day1_slice_0001,stomach,", r"row 68: id .* is listed twice with this class"),
    ],
)
def test_bad_rows_name_the_line(raw, row, message):
    with (raw / "train.csv").open("a") as stream:
        stream.write(row + "\n")
    with pytest.raises(ValueError, match=message):
        read_labels(raw / "train.csv", Issues())


def test_the_header_is_checked(tmp_path):
    pd.DataFrame({"id": [], "organ": []}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="header is id,organ; expected id,class,segmentation"):
        read_labels(tmp_path / "t.csv", Issues())
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(ValueError, match="t.csv is empty; give a csv of id, class"):
        read_labels(tmp_path / "t.csv", Issues())


def test_a_partly_downloaded_scan_is_a_fault(raw):
    (raw / "train/case2/case2_day1/scans/slice_0004_48_40_1.50_1.50.png").unlink()
    slices = list_slices(raw / "train", Issues())
    with pytest.raises(ValueError, match="case2_day1: 1 slices have rows in the csv but no PNG"):
        join(slices, read_labels(raw / "train.csv", Issues()), Issues())


def test_real_listing_agrees_with_the_data_paper(real_data):
    """38,496 slices of 85 cases and 274 scans; names carry width, then height."""
    from gutseg.constants import NATIVE_SIZES
    from gutseg.data.index import PNG_NAME

    table = pd.read_csv(real_data / "uwmgi" / "slices.csv")
    names = table["file"].str.rsplit("/", n=1).str[1].map(PNG_NAME.fullmatch)
    assert names.notna().all()
    assert [int(m[2]) for m in names] == table["width"].tolist()
    assert [int(m[3]) for m in names] == table["height"].tolist()
    counts = table.groupby(["width", "height"]).size().to_dict()
    assert counts == NATIVE_SIZES
