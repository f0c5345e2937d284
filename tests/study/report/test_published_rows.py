import json

import pandas as pd
import pytest

from gutseg.study.report import published_numbers as seeds
from gutseg.study.report.published_rows import beside, loss_key, network_key, own, paired


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
        ({"loss": "focal_softmax", "class_weights": "inverse", "params": "{}"}, seeds.FOCAL),
        ({"loss": "online_bootstrapping", "params": '{"n": 512}'}, seeds.OB),
        ({"loss": "bce_dice", "params": '{"dice_weight": 1.0}'}, "bce_dice:1"),
        ({"loss": "bce_dice", "params": '{"dice_weight": 0.5}'}, "bce_dice:0.5"),
        (
            _sum({"loss": "online_bootstrapping"}, {"loss": "dice"}),
            "dice+online_bootstrapping:512",
        ),
        (
            _sum({"loss": "focal_softmax"}, {"loss": "dice"}, kind="inverse"),
            f"dice+{seeds.FOCAL}",
        ),
        (_sum({"loss": "ce"}, {"loss": "dice", "weight": 0.5}), "weighted_sum"),
        ({"loss": "weighted_sum"}, "weighted_sum"),
    ],
)
def test_losses_are_found_by_what_the_seeds_vary(row, key):
    assert loss_key(row) == key


def test_ours_stands_before_the_seeds():
    cells = pd.DataFrame({"dice": [0.4, 0.6], "iou": [0.2, 0.4]})
    row = beside(cells, ["dice", "iou"], seeds.NETWORKS, ("deeplab", "dice"))
    assert row == ["0.500 (0.617; 0.551)", "0.300 (0.264; 0.233)"]
    assert beside(cells, ["dice"], seeds.NETWORKS, ("deeplab", "ce")) == ["0.500 (0.503; –)"]
    assert beside(cells, ["dice"], seeds.NETWORKS, ("vnet", "dice")) == ["0.500"]
    assert paired(0.5, []) == "0.500"


def test_classes_are_found_in_capitals_too():
    cells = pd.DataFrame({"iou.Epithelial": [0.5]})
    row = beside(cells, ["iou.Epithelial"], seeds.PER_CLASS, ("deeplab", "dice"))
    assert row == ["0.500 (0.443)"]


def test_the_seeds_own_table_keeps_what_was_left_blank():
    page = own(seeds.BOOTSTRAPPING, {"iou": "mIoU"}, ["data", "n"])
    assert "| MoNuSAC | 4096 | – |" in page and "| CoNIC | 4096 | 0.1739 |" in page
