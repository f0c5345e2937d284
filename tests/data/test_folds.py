import pandas as pd
import pytest

from gutseg.data.folds import assign, by_block, by_case, read_folds


@pytest.fixture
def slices():
    rows = [
        (case, f"case{case}_day{d}", z) for case in range(10) for d in (0, 1) for z in range(12)
    ]
    return pd.DataFrame(rows, columns=["case", "scan", "z"]).assign(
        id=lambda t: t["scan"] + "_" + t["z"].astype(str)
    )


def test_no_patient_is_in_two_folds_and_strata_are_balanced(slices):
    stratum = slices["z"] % 3
    folds = by_case(slices, stratum, 5, seed=42)
    assert folds["case"].is_unique and sorted(folds["fold"].unique()) == [0, 1, 2, 3, 4]
    counts = pd.crosstab(slices["case"].map(folds.set_index("case")["fold"]), stratum)
    assert (counts == counts.iloc[0]).all(axis=None)
    assert not by_case(slices, stratum, 5, seed=43).equals(folds)


def test_blocks_interleave(slices):
    one = slices[slices["scan"] == "case0_day0"]
    assert by_block(one, folds=3, block=2)["fold"].tolist() == [0, 0, 1, 1, 2, 2] * 2


@pytest.mark.parametrize("folds", [1, 11])
def test_impossible_numbers_of_folds(slices, folds):
    with pytest.raises(ValueError, match=f"folds = {folds}; expected 2 to 10"):
        by_case(slices, slices["z"] % 2, folds, seed=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,part\n1,0\n", "header is case,part; expected case,fold or id,fold"),
        ("case,fold\n1,0\n1,1\n", "row 3: case 1 is listed twice"),
        ("case,fold\n1,a\n", "row 2: fold 'a' is not a whole number from 0 to 999"),
        ("case,fold\n1,-1\n", "row 2: fold '-1' is not a whole number from 0 to 999"),
    ],
)
def test_bad_fold_files(tmp_path, text, message):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_folds(tmp_path / "f.csv")


def test_a_case_without_fold_is_named(slices, tmp_path):
    folds = by_case(slices, slices["z"] % 2, 5, seed=0)
    assert assign(slices, folds, tmp_path)[0] == folds["fold"][0]
    with pytest.raises(ValueError, match="assigns no fold to 1 of the cache's cases: 7; make one"):
        assign(slices, folds[folds["case"] != 7], tmp_path)


def test_committed_folds_come_from_the_real_listing(real_data):
    """folds/uwmgi_has_mask_5fold.csv: seed 42, stratum = has any mask."""
    from pathlib import Path

    table = pd.read_csv(real_data / "uwmgi" / "slices.csv")
    committed = Path(__file__).parents[2] / "folds" / "uwmgi_has_mask_5fold.csv"
    expected = by_case(table, table["has_ann"].astype(int), 5, seed=42)
    pd.testing.assert_frame_equal(read_folds(committed), expected)
