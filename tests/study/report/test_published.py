"""The numbers that papers print, as they stand in published/*.csv, and how rows find them."""

import json
from pathlib import Path

import pandas as pd
import pytest
from pytest import approx

from gutseg.losses import LOSSES
from gutseg.study.report.published import (
    FOLDER,
    cite,
    loss_key,
    network_key,
    note,
    paired,
    pairing,
    published_table,
    read,
    with_published,
)
from gutseg.study.report.tables import TABLES

FOCAL = "focal_softmax:inverse"
REFERENCES = Path(__file__).parents[3] / "docs" / "references.md"


def _row(name, *words):
    """The numbers of the row that has these words in its first columns."""
    table = read(name)
    found = table[(table.iloc[:, : len(words)] == list(words)).all(axis=1)]
    assert len(found) == 1
    columns = found.columns[len(words) : -1]
    return {key: float(found.iloc[0][key]) for key in columns if found.iloc[0][key]}


def test_every_file_is_in_the_index_and_is_shown():
    files = {path.stem for path in FOLDER.glob("*.csv")} - {"index"}
    assert files == set(read("index")["name"])
    with_tables = {table.published for table in TABLES.values()}
    shown_with_others = {"binary_weights", "scans_per_case", "organs_together", "slice_sizes"}
    shown_with_others |= {"hard_pixel_counts"}
    assert files == (with_tables - {""}) | shown_with_others


@pytest.mark.parametrize("source", sorted(read("index")["source"].unique()))
def test_every_source_is_a_citation_key(source):
    assert f"| {source} |" in REFERENCES.read_text()


@pytest.mark.parametrize("name", sorted(read("index")["name"]))
def test_every_file_is_a_table_with_the_number_of_the_printed_one(name):
    table = read(name)
    assert table.columns[-1] == "table" and (table["table"] != "").all()
    assert not table.duplicated(list(table.columns[:-1])).any()
    page = published_table(name)
    assert page.startswith(f"{cite(name)}:") and f"\n\n| {table.columns[0]} |" in page


@pytest.mark.parametrize("name", sorted(read("index")["name"]))
def test_every_printed_loss_is_one_of_ours(name):
    losses = read(name).get("loss", pd.Series(dtype=str)).str.split("+").explode()
    assert set(losses.str.split(":").str[0]) <= set(LOSSES)


def test_the_predictor_of_background_alone_recalls_one_class_of_seven():
    """Row ③ of table 4.12; in print the two columns are swapped."""
    rising = "focal_softmax:rising"
    conic, monusac = (_row("class_weights", data, rising) for data in ("CoNIC", "MoNuSAC"))
    share = _row("weights", "CoNIC", "background")["share"]
    assert conic["recall"] == approx(1 / 7, abs=5e-5) and conic["precision"] == conic["iou"]
    assert monusac["recall"] == 1 / 5 and monusac["precision"] == monusac["iou"]
    assert conic["precision"] == approx(share / 100 / 7, abs=5e-5)


def test_the_binary_network_is_possible_with_its_columns_swapped_back():
    """Its Dice follows from the background's precision and recall, by hand to .66."""
    row = _row("binary", "CoNIC")
    ground = _row("weights", "CoNIC", "background")["share"] / 100
    correct = ground * row["recall.background"]
    called_ground = correct / row["precision.background"]
    tp = 1 - called_ground - (ground - correct)
    assert 2 * tp / (1 - ground + 1 - called_ground) == approx(row["dice"], abs=0.01)
    # as printed it would leave half a percent of the pixels to the foreground
    assert 1 - ground * row["precision.background"] / row["recall.background"] < 0.01


def test_one_row_of_each_kind_as_printed():
    """CoNIC, DeepLab with Dice, table 4.3: .6167 .2640 .4043 .3032; the third is recall."""
    row = _row("networks", "CoNIC", "deeplab", "dice")
    assert row == {"dice": 0.6167, "iou": 0.2640, "recall": 0.4043, "precision": 0.3032}
    assert _row("hard_pixels", "MoNuSAC", "online_bootstrapping:1024")["iou"] == 0.1851
    summed = _row("sums", "CoNIC", "deeplab", "dice+online_bootstrapping:512")
    assert summed["recall"] == 0.3603
    combined = _row("combinations", "CoNIC", "deeplab", "dice+focal_softmax:falling_foreground")
    assert combined["iou"] == approx(0.2703)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("networks", {"CoNIC": 16, "MoNuSAC": 16}),
        ("class_iou", {"CoNIC": 8}),
        ("sums", {"CoNIC": 12, "MoNuSAC": 6}),
        ("combinations", {"CoNIC": 8, "MoNuSAC": 4}),
        ("class_weights", {"CoNIC": 5, "MoNuSAC": 5}),
        ("hard_pixels", {"CoNIC": 8, "MoNuSAC": 8}),
        ("bce_and_dice", {"best": 4, "lowest loss": 4}),
        ("patches", dict.fromkeys(("UNet", "TwoPathCNN", "DeepMedic", "HighResNet"), 3)),
    ],
)
def test_no_printed_row_is_lost(name, rows):
    assert read(name).iloc[:, 0].value_counts(sort=False).to_dict() == rows


def test_the_printed_shares_are_of_all_pixels_and_agree():
    shares = read("hard_pixel_shares").iloc[:, 2:-1].astype(float)
    assert shares.sum(axis=1).to_list() == approx([100] * 7, abs=0.02)
    assert shares.iloc[-1].to_list() == read("weights")["share"].astype(float).to_list()


def test_the_paper_counts_every_slice_once():
    slices = _row("slices", "UW-Madison")
    assert read("slice_sizes")["slices"].astype(int).sum() == slices["slices"]
    assert slices["without a mask"] + slices["with a mask"] == slices["slices"]
    assert read("scans_per_case")["cases"].astype(int).sum() == slices["cases"]


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("U-Net", "unet"),
        ("unet(widths=[4, 8])", "unet"),
        ("AttU-Net", "attunet"),
        ("Attention U-Net", "attunet"),
        ("DeepLabV3+", "deeplab"),
        ("UnetPlusPlus", "unet++"),
        ("U-Net3+", "unet3+"),
        ("hybrid U-Net", "hybridunet"),
    ],
)
def test_networks_are_found_whatever_their_spelling(label, key):
    assert network_key(label) == key


def _sum(*terms, kind=""):
    return {
        "loss": "weighted_sum",
        "class_weights": kind,
        "params": json.dumps({"terms": list(terms)}),
    }


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"loss": "ce", "class_weights": "", "params": "{}"}, "ce"),
        ({"loss": "ce", "class_weights": "inverse", "params": "{}"}, "ce:inverse"),
        ({"loss": "focal_softmax", "class_weights": "inverse", "params": "{}"}, FOCAL),
        ({"loss": "focal_softmax", "class_weights": "uniform"}, "focal_softmax"),
        ({"loss": "online_bootstrapping", "params": '{"n": 512}'}, "online_bootstrapping:512"),
        ({"loss": "bce_dice", "params": '{"dice_weight": 1.0}'}, "bce_dice:1"),
        ({"loss": "bce_dice", "params": '{"dice_weight": 0.5}'}, "bce_dice:0.5"),
        (
            _sum({"loss": "online_bootstrapping"}, {"loss": "dice"}),
            "dice+online_bootstrapping:512",
        ),
        (_sum({"loss": "focal_softmax"}, {"loss": "dice"}, kind="inverse"), f"dice+{FOCAL}"),
        (_sum({"loss": "ce"}, {"loss": "dice", "weight": 0.5}), "weighted_sum"),
        ({"loss": "weighted_sum"}, "weighted_sum"),
    ],
)
def test_losses_are_found_by_what_the_papers_vary(row, key):
    assert loss_key(row) == key


def _beside(name, network, loss, **measures):
    cells = pd.DataFrame(measures).assign(network=network, loss=loss)
    printed = with_published(cells, list(measures), name)
    means = [f"{cells[key].mean():.3f}" for key in measures]
    return [paired(*pair) for pair in zip(means, printed, strict=True)]


def test_ours_stands_before_the_printed():
    both = {"dice": [0.4, 0.6], "iou": [0.2, 0.4]}
    row = _beside("networks", "deeplab", "dice", **both)
    assert row == ["0.500 (0.617; 0.551)", "0.300 (0.264; 0.233)"]
    assert _beside("networks", "deeplab", "ce", dice=[0.5]) == ["0.500 (0.503; –)"]
    assert _beside("networks", "vnet", "dice", dice=[0.5]) == ["0.500"]
    assert _beside("", "vnet", "dice", dice=[0.5]) == ["0.500"]


def test_classes_are_found_in_capitals_too():
    assert _beside("class_iou", "deeplab", "dice", **{"iou.Epithelial": [0.5]}) == ["0.500 (0.443)"]


def test_what_the_parentheses_hold_is_said_in_their_order():
    said = pairing("networks")
    assert said.startswith("In parentheses: [Tongji 2022], tables 4.3, 4.4, 4.6 and 4.7 (data: CoN")
    assert "CoNIC; MoNuSAC" in said and "swapped back" in note("networks")
    assert "epoch: best; lowest loss" in pairing("bce_and_dice")
    assert pairing("binary") == ""


def test_a_printed_table_keeps_what_was_left_blank():
    page = published_table("hard_pixels")
    assert "| MoNuSAC | online_bootstrapping:4096 | – | – | – |" in page
    assert "| CoNIC | online_bootstrapping:4096 | 0.1739 |" in page
