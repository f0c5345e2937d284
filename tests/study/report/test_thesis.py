import pandas as pd

from gutseg.study.report.tables import TABLES
from gutseg.study.report.view import View

FOUR = {"dice": 0.1, "iou": 0.2, "precision": 0.3, "recall": 0.4}
ROW = {"network": "DeepLabV3+", "label": "x", "loss": "dice", "class_weights": "", "terms": ""}
ROW |= {"params": "{}", "background": "ground", **FOUR}


def _draw(name, tmp_path, *changes):
    frame = pd.DataFrame([ROW | change for change in changes or [{}]])
    return TABLES[name].build(View(frame, "iou", tmp_path))


def test_precision_stands_beside_precision(tmp_path):
    """CoNIC prints .4043 third and .3032 fourth, MoNuSAC .2838 and .3120: swapped back here."""
    page = _draw("T1", tmp_path)
    assert (
        "| x | 0.100 (0.617; 0.551) | 0.200 (0.264; 0.233) "
        "| 0.300 (0.303; 0.312) | 0.400 (0.404; 0.284) |" in page
    )


def test_per_class_numbers_stand_beside_those_of_the_class(tmp_path):
    page = _draw("T3", tmp_path, {"iou.plasma": 0.5, "iou.background": 0.5, "iou.tumour": 0.5})
    assert "| 0.500 (0.000) | 0.500 (0.852) | 0.500 |" in page


def test_weight_functions_pair_the_focal_loss_alone(tmp_path):
    changes = [
        {"loss": loss, "class_weights": kind}
        for loss in ("ce", "focal_softmax")
        for kind in ("", "inverse")
    ]
    page = _draw("T6", tmp_path, *changes)
    assert "| ce | inverse | 0.200 | 0.300 | 0.400 |" in page
    focal = "| focal_softmax | inverse | 0.200 (0.176; 0.131) | 0.300 (0.309; 0.235) |"
    assert focal in page
    assert "| focal_softmax | none | 0.200 (0.210; 0.190) |" in page


def test_numbers_of_hard_pixels_are_paired(tmp_path):
    change = {"loss": "online_bootstrapping", "params": '{"n": 1024}'}
    assert "| 1024 | 0.200 (0.136; 0.185) |" in _draw("T7", tmp_path, change)


def test_combinations_keep_only_their_parts(tmp_path):
    page = _draw("T9", tmp_path, {}, {"label": "other", "loss": "tversky"})
    assert "| DeepLabV3+ | x | 0.100 (0.623; –) |" in page and "| other |" not in page
    nothing = _draw("T9", tmp_path, {"loss": "tversky"})
    assert nothing.startswith("No cell has one of these") and "| CoNIC | attunet |" in nothing


def test_a_binary_model_is_measured_class_by_class(tmp_path):
    change = {"iou.ground": 0.9, "iou.cell": 0.6, "dice.cell": 0.7}
    change |= {"precision.ground": 0.95, "recall.ground": 0.85}
    page = _draw("T10", tmp_path, change)
    assert "| x | 0.700 | 0.600 | 0.300 | 0.400 | 0.950 | 0.850 |" in page
    assert "| CoNIC | 0.6681 | 0.5206 | 0.7756 | 0.8543 | 0.9849 | 0.8319 |" in page
    overlapping = _draw("T10", tmp_path, {"background": "", "iou.cell": 0.6, "dice.cell": 0.7})
    assert "| x | 0.700 | 0.600 | 0.300 | 0.400 | – | – |" in overlapping
    several = _draw("T10", tmp_path, change | {"iou.other": 0.1})
    assert several.startswith("These cells have several foreground classes")


def test_a_second_binary_network_is_measured_where_there_is_one(tmp_path):
    binary = {"dice.object": 0.7, "iou.object": 0.6, "precision": 0.8, "recall": 0.9}
    binary |= {"precision.background": 0.95, "recall.background": 0.85, "dice": 0.75}
    change = {"iou.ground": 0.9, "iou.cell": 0.6, "iou.other": 0.1}
    page = _draw("T10", tmp_path, change | {f"binary.{key}": binary[key] for key in binary})
    assert "| x | 0.700 | 0.600 | 0.800 | 0.900 | 0.950 | 0.850 |" in page


def test_background_reuse_by_hand(tmp_path):
    """Dice .1 to .3 and .1 to .5: .3 ± .1 t(.975, 1); recall falls and has no arrow."""
    reuse = {"reuse.dice": 0.3, "reuse.iou": 0.2, "reuse.precision": 0.3, "reuse.recall": 0.3}
    page = _draw("T11", tmp_path, reuse, reuse | {"reuse.dice": 0.5})
    assert "| x | plain | 0.100 | 0.200 | 0.300 | 0.400 |" in page
    assert "| x | reuse | 0.400 ↑ | 0.200 | 0.300 | 0.300 |" in page
    assert "| difference ± 95 % | 0.300 ± 1.271 | 0.000 ± 0.000 |" in page
    missing = _draw("T11", tmp_path)
    assert missing.startswith("Not measured: ") and "| CoNIC | reuse | 0.6509 |" in missing
