import pytest
from pytest import approx

from gutseg.study.report import published_numbers as seeds


def test_the_predictor_of_background_alone_recalls_one_class_of_seven():
    """Row ③ of Table 4.12; printed, the two columns are swapped."""
    conic, monusac = (table["rising"] for table in seeds.WEIGHT_FUNCTIONS.values())
    assert conic["recall"] == approx(1 / 7, abs=5e-5) and conic["precision"] == conic["iou"]
    assert monusac["recall"] == 1 / 5 and monusac["precision"] == monusac["iou"]
    assert conic["precision"] == approx(seeds.SHARES[-1] / 100 / 7, abs=5e-5)


def test_the_binary_model_is_possible_with_its_columns_swapped_back():
    """Its Dice follows from the background's precision and recall, by hand to .66."""
    row, ground = seeds.BINARY["CoNIC"], seeds.SHARES[-1] / 100
    right = ground * row["recall.background"]
    called_ground = right / row["precision.background"]
    tp = 1 - called_ground - (ground - right)
    assert 2 * tp / (1 - ground + 1 - called_ground) == approx(row["dice"], abs=0.01)
    # as printed it would leave half a percent of the pixels to the foreground
    assert 1 - ground * row["precision.background"] / row["recall.background"] < 0.01


def test_one_row_of_each_kind_as_printed():
    """CoNIC, DeepLab with Dice, Table 4.3: .6167 .2640 .4043 .3032; the third is recall."""
    row = seeds.NETWORKS["CoNIC"]["deeplab", "dice"]
    assert row == {"dice": 0.6167, "iou": 0.2640, "recall": 0.4043, "precision": 0.3032}
    assert seeds.BOOTSTRAPPING["MoNuSAC"]["1024"]["iou"] == 0.1851
    assert seeds.SUMS["CoNIC"]["deeplab", seeds.sum_key([seeds.OB, "dice"])]["recall"] == 0.3603
    assert seeds.COMBINATIONS["CoNIC"]["deeplab", seeds.sum_key(["dice", seeds.FOCAL_5])][
        "iou"
    ] == approx(0.2703)


@pytest.mark.parametrize(
    ("table", "rows"),
    [("NETWORKS", [16, 16]), ("PER_CLASS", [8]), ("SUMS", [12, 6]), ("COMBINATIONS", [8, 4])],
)
def test_no_row_of_the_thesis_is_lost(table, rows):
    assert [len(part) for part in getattr(seeds, table).values()] == rows


def test_the_paper_counts_every_slice_once():
    assert sum(seeds.SIDES.values()) == seeds.SLICES["slices"]
    assert seeds.SLICES["without a mask"] + seeds.SLICES["with a mask"] == seeds.SLICES["slices"]
    assert sum(seeds.SCANS_PER_CASE.values()) == seeds.SLICES["cases"]
