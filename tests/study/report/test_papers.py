import json

import pandas as pd
import pytest

from gutseg.study.report.tables import TABLES
from gutseg.study.report.view import View

ROW = {
    "network": "U-Net",
    "architecture": "unet",
    "network_params": "{}",
    "label": "bce",
    "loss": "bce",
    "class_weights": "",
    "params": "{}",
    "terms": "",
    "lr": 0.1,
    "patch": "8x8",
    "batch_size": 4,
    "seed": 0,
    "fold": 0,
    "steps": 7,
    "parameters": 2.5e6,
    "background": "ground",
    "dice_fg": 0.6,
    "iou_fg": 0.4,
    "accuracy": 0.9,
    "iou.ground": 0.9,
    "iou.large": 0.3,
    "iou.small": 0.3,
    "share.ground": 0.8,
    "share.large": 0.15,
    "share.small": 0.05,
}


def _draw(name, tmp_path, *changes):
    frame = pd.DataFrame([ROW | change for change in changes or [{}]])
    return TABLES[name].build(View(frame, "iou", tmp_path))


def test_g1_by_hand(tmp_path):
    """Objects fill .15 + .05; the background is 16 times the smallest class."""
    assert "| U-Net | 4 | 8x8 | 8x8 | 0.200 | 16.0 |" in _draw("G1", tmp_path)
    overlapping = _draw("G1", tmp_path, {"background": ""})
    assert "| 8x8 | 1.000 | 16.0 |" in overlapping
    never = _draw("G1", tmp_path, {"share.small": 0.0})
    assert "| 8x8 | 0.150 | – |" in never


def test_g3_quartiles_by_hand(tmp_path):
    cells = [{"dice_fg": value, "lr": 0.1} for value in (0.1, 0.2, 0.3, 0.4, 0.8)]
    page = _draw("G3", tmp_path, *cells, {"lr": 0.01, "dice_fg": float("nan"), "patch": "16x16"})
    assert "| bce | 0.30 (0.20–0.40) | – |" in page
    assert page.count("0.30 (0.20–0.40)") == 2
    assert (tmp_path / "boxes0.png").is_file()


@pytest.mark.parametrize(
    ("architecture", "params", "kind"),
    [
        ("unet", {"widths": [4, 8]}, "none"),
        ("hybrid_unet", {"local_levels": [], "external_levels": [1]}, "external"),
        ("hybrid_unet", {"local_levels": [0], "external_levels": []}, "local"),
        ("hybrid_unet", {"local_levels": [0], "external_levels": [1]}, "local + external"),
        ("hybrid4", {"norm": "none"}, "local + external"),
    ],
)
def test_u4_says_which_attention_a_network_has(tmp_path, architecture, params, kind):
    change = {"architecture": architecture, "network_params": json.dumps(params)}
    assert f"\n| {kind} | U-Net | bce | 0.600 |" in _draw("U4", tmp_path, change)


def test_u1_pairs_the_inputs_of_a_cell(tmp_path):
    """Seeds gain .1 and .2 in Dice, .15 ± .05 t(.975, 1) = .635; IoU stays."""
    first, second = {"input": "", "seed": 0}, {"input": "elastic", "network": "U-Net, elastic"}
    changes = [first, second | {"seed": 0, "dice_fg": 0.7}]
    changes += [first | {"seed": 1}, second | {"seed": 1, "dice_fg": 0.8}]
    page = _draw("U1", tmp_path, *changes)
    assert "| U-Net | bce | 0.600 | 0.400 | – | – |" in page
    gain = "0.150 ± 0.635 | 0.000 ± 0.000 |"
    assert f"| U-Net, elastic | bce | 0.750 | 0.400 | {gain}" in page
    assert _draw("U1", tmp_path, first).startswith("Not measured: this comparison's config has one")


def test_u4_sets_all_networks_against_the_first(tmp_path):
    params = json.dumps({"local_levels": [0], "external_levels": []})
    local = {"network": "local, 5 slices", "architecture": "hybrid_unet", "network_params": params}
    changes = [{"seed": seed} for seed in (0, 1)]
    changes += [local | {"seed": 0, "dice_fg": 0.7}, local | {"seed": 1, "dice_fg": 0.8}]
    page = _draw("U4", tmp_path, *changes)
    gain = "0.150 ± 0.635 | 0.000 ± 0.000 | 2.500 |"
    assert f"| local | local, 5 slices | bce | 0.750 | 0.400 | {gain}" in page


def test_u2_pairs_the_networks_of_the_paper(tmp_path):
    page = _draw("U2", tmp_path, {"network": "unet4"}, {"network": "hybrid5"}, {})
    assert "| unet4 | bce | 2.500 (2.500) | 0.600 (0.700) | 0.400 (0.750) |" in page
    assert "| hybrid5 | bce | 2.500 (5.720) |" in page and "| U-Net | bce | 2.500 | 0.600 |" in page


def test_u3_and_m1_pair_losses(tmp_path):
    page = _draw("U3", tmp_path)
    assert "| 7 (epoch 25) | 0.600 (0.679; 0.424) | 0.400 (0.731; 0.375) |" in page
    dice = _draw("U3", tmp_path, {"loss": "dice", "label": "dice"})
    assert "| U-Net | dice | 7 | 0.600 | 0.400 | 0.900 |" in dice
    assert "| U-Net | bce | 0.9000 (0.97) |" in _draw("M1", tmp_path)
    assert "(0.97)" not in _draw("M1", tmp_path, {"network": "hybrid"})


def test_u5_has_a_row_a_class_of_a_fold_and_skips_failed_cells(tmp_path):
    pixels = {f"pixels.{key}": 10.0 for key in ("ground", "large", "small")}
    counts = {"train_images": 6.0, "images": 3.0} | pixels
    page = _draw("U5", tmp_path, {"images": float("nan")}, counts)
    assert "| 0 | large | 6 | 3 | 10 | 15.0000% |" in page and page.count("\n| 0 | ") == 3
