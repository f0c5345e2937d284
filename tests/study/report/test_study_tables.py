import json

import pandas as pd
import pytest

from gutseg.study.report.factors import attention_of
from gutseg.study.report.tables import TABLES, check_tables
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
    return TABLES[name].drawn(View(frame, "iou", tmp_path))


def test_patches_by_hand(tmp_path):
    """Objects fill .15 + .05; the background is 16 times the smallest class."""
    assert "| U-Net | 8x8 | 4 | 0.200 | 16.0 |" in _draw("patches", tmp_path)
    overlapping = _draw("patches", tmp_path, {"background": ""})
    assert "| 8x8 | 4 | 1.000 | 16.0 |" in overlapping
    never = _draw("patches", tmp_path, {"share.small": 0.0})
    assert "| 8x8 | 4 | 0.150 | – |" in never


def test_quartiles_by_hand(tmp_path):
    cells = [{"dice_fg": value, "lr": 0.1} for value in (0.1, 0.2, 0.3, 0.4, 0.8)]
    other = {"lr": 0.01, "dice_fg": float("nan"), "patch": "16x16"}
    page = _draw("spread", tmp_path, *cells, other)
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
def test_which_attention_a_network_has(architecture, params, kind):
    row = {"architecture": architecture, "network_params": json.dumps(params)}
    assert attention_of(row) == kind


def test_augmentation_pairs_the_inputs_of_a_cell(tmp_path):
    """Seeds gain .1 and .2 in Dice, .15 ± .05 t(.975, 1) = .635; IoU stays."""
    first, second = {"input": "", "seed": 0}, {"input": "elastic", "network": "U-Net, elastic"}
    changes = [first, second | {"seed": 0, "dice_fg": 0.7}]
    changes += [first | {"seed": 1}, second | {"seed": 1, "dice_fg": 0.8}]
    page = _draw("augmentation", tmp_path, *changes)
    assert "| U-Net | bce | 0.600 | 0.400 | – | – |" in page
    gain = "0.150 ± 0.635 | 0.000 ± 0.000 |"
    assert f"| U-Net, elastic | bce | 0.750 | 0.400 | {gain}" in page
    alone = _draw("augmentation", tmp_path, first)
    assert "Not measured: the study has only one input" in alone


def test_depth_pairs_the_networks_of_the_paper(tmp_path):
    page = _draw("depth", tmp_path, {"network": "unet4"}, {"network": "hybrid5"}, {})
    assert "| unet4 | bce | 2.500 (2.500) | 0.600 (0.700) | 0.400 (0.750) |" in page
    assert "| hybrid5 | bce | 2.500 (5.720) |" in page and "| U-Net | bce | 2.500 | 0.600 |" in page


def test_bce_and_dice_and_pixel_accuracy_pair_losses(tmp_path):
    page = _draw("bce_and_dice", tmp_path)
    assert "| U-Net | bce | 7 | 0.600 (0.679; 0.424) | 0.400 (0.731; 0.375) |" in page
    assert "| lowest loss | bce | 0.4241 | 0.3747 | 0.4241 | 25 |" in page
    dice = _draw("bce_and_dice", tmp_path, {"loss": "dice", "label": "dice"})
    assert "| U-Net | dice | 7 | 0.600 | 0.400 | 0.900 |" in dice
    assert "| U-Net | bce | 0.9000 (0.970) |" in _draw("pixel_accuracy", tmp_path)
    assert "(0.970)" not in _draw("pixel_accuracy", tmp_path, {"network": "hybrid"})


def test_data_has_a_row_a_class_of_a_fold_and_skips_failed_cells(tmp_path):
    pixels = {f"pixels.{key}": 10.0 for key in ("ground", "large", "small")}
    counts = {"train_images": 6.0, "images": 3.0} | pixels
    page = _draw("data", tmp_path, {"images": float("nan")}, counts)
    assert "| 0 | large | 6 | 3 | 10 | 15.0000 |" in page and page.count("\n| 0 | ") == 3
    assert "| UW-Madison | 266×266 | 25920 |" in page


FOUR = {"dice": 0.1, "iou": 0.2, "precision": 0.3, "recall": 0.4}
MEASURED = {"network": "DeepLabV3+", "label": "x", "loss": "dice", "class_weights": "", "terms": ""}
MEASURED |= {"params": "{}", "background": "ground", **FOUR}


def _draw_four(name, tmp_path, *changes):
    frame = pd.DataFrame([MEASURED | change for change in changes or [{}]])
    return TABLES[name].drawn(View(frame, "iou", tmp_path))


def test_precision_stands_beside_precision(tmp_path):
    """CoNIC prints .4043 third and .3032 fourth, MoNuSAC .2838 and .3120: swapped back here."""
    page = _draw_four("losses", tmp_path)
    assert (
        "| x | 0.100 (0.617; 0.551) | 0.200 (0.264; 0.233) "
        "| 0.300 (0.303; 0.312) | 0.400 (0.404; 0.284) |" in page
    )


def test_per_class_numbers_stand_beside_those_of_the_class(tmp_path):
    page = _draw_four(
        "losses_by_class", tmp_path, {"iou.plasma": 0.5, "iou.background": 0.5, "iou.tumour": 0.5}
    )
    assert "| 0.500 (0.000) | 0.500 (0.852) | 0.500 |" in page


def test_weight_functions_pair_the_focal_loss_alone(tmp_path):
    changes = [
        {"loss": loss, "class_weights": kind}
        for loss in ("ce", "focal_softmax")
        for kind in ("", "inverse")
    ]
    page = _draw_four("weighted_losses", tmp_path, *changes)
    assert "| ce | inverse | 0.200 | 0.300 | 0.400 |" in page
    focal = "| focal_softmax | inverse | 0.200 (0.176; 0.131) | 0.300 (0.309; 0.235) |"
    assert focal in page
    assert "| focal_softmax | none | 0.200 (0.210; 0.190) |" in page


def test_numbers_of_hard_pixels_are_paired(tmp_path):
    change = {"loss": "online_bootstrapping", "params": '{"n": 1024}'}
    assert "| 1024 | 0.200 (0.136; 0.185) |" in _draw_four("hard_pixel_numbers", tmp_path, change)


def test_combinations_keep_only_their_parts(tmp_path):
    page = _draw_four("combinations", tmp_path, {}, {"label": "other", "loss": "tversky"})
    assert "| DeepLabV3+ | x | 0.100 (0.623; –) |" in page and "| other |" not in page
    nothing = _draw_four("combinations", tmp_path, {"loss": "tversky"})
    assert nothing.startswith("No cell has one of these") and "| CoNIC | attunet |" in nothing


def test_a_binary_model_is_measured_class_by_class(tmp_path):
    change = {"iou.ground": 0.9, "iou.cell": 0.6, "dice.cell": 0.7}
    change |= {"precision.ground": 0.95, "recall.ground": 0.85}
    page = _draw_four("binary", tmp_path, change)
    assert "| x | 0.700 | 0.600 | 0.300 | 0.400 | 0.950 | 0.850 |" in page
    assert "| CoNIC | 0.6681 | 0.5206 | 0.8543 | 0.7756 | 0.8319 | 0.9849 |" in page
    overlapping = _draw_four(
        "binary", tmp_path, {"background": "", "iou.cell": 0.6, "dice.cell": 0.7}
    )
    assert "| x | 0.700 | 0.600 | 0.300 | 0.400 | – | – |" in overlapping
    several = _draw_four("binary", tmp_path, change | {"iou.other": 0.1})
    assert several.startswith("Not measured: these cells have several foreground")


def test_a_second_binary_network_is_measured_where_there_is_one(tmp_path):
    binary = {"dice.object": 0.7, "iou.object": 0.6, "precision": 0.8, "recall": 0.9}
    binary |= {"precision.background": 0.95, "recall.background": 0.85, "dice": 0.75}
    change = {"iou.ground": 0.9, "iou.cell": 0.6, "iou.other": 0.1}
    page = _draw_four("binary", tmp_path, change | {f"binary.{key}": binary[key] for key in binary})
    assert "| x | 0.700 | 0.600 | 0.800 | 0.900 | 0.950 | 0.850 |" in page


def test_background_reuse_by_hand(tmp_path):
    """Dice .1 to .3 and .1 to .5: .3 ± .1 t(.975, 1); recall falls and has no arrow."""
    reuse = {"reuse.dice": 0.3, "reuse.iou": 0.2, "reuse.precision": 0.3, "reuse.recall": 0.3}
    page = _draw_four("background_reuse", tmp_path, reuse, reuse | {"reuse.dice": 0.5})
    assert "| x | plain | 0.100 | 0.200 | 0.300 | 0.400 |" in page
    assert "| x | reuse | 0.400 ↑ | 0.200 | 0.300 | 0.300 |" in page
    assert "| difference ± 95 % | 0.300 ± 1.271 | 0.000 ± 0.000 |" in page
    missing = _draw_four("background_reuse", tmp_path)
    assert missing.startswith("Not measured: ") and "| CoNIC | reuse | 0.6509 |" in missing


def test_an_unknown_table_is_refused_with_the_choices():
    check_tables(["main", "hard_pixel_classes"])
    with pytest.raises(ValueError, match="unknown name 'T8'; choices: main, networks, losses"):
        check_tables(["main", "T8"])
    with pytest.raises(ValueError, match="unknown name 'losse'; did you mean 'losses'"):
        check_tables(["losse"])
