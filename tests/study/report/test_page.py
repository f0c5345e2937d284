import pandas as pd

from gutseg.study.report import page
from gutseg.study.report.tables import TABLES
from gutseg.study.report.view import View

CELL = {"network": "U-Net", "lr": 0.1, "patch": "8x8", "status": "ok", "reason": "", "id": "x"}
CELL |= {"seconds_per_step": 0.01, "peak_mb": 3.0, "device": "cpu"}
SCANS = {"score": 0.8, "competition_dice": 0.7, "hausdorff": 0.1}


def _frame(**measures):
    """Two losses on two blocks; ce is ahead by .1."""
    cells = [("ce", 0.6), ("dice", 0.5)]
    return pd.DataFrame(
        CELL | {"label": label, "seed": seed, "fold": 0, "iou": iou, "iou.stomach": iou} | measures
        for seed in (0, 1)
        for label, iou in cells
    )


class _Study:
    name, score, tables = "small", "iou", ("main",)

    def describe(self):
        return "Data: made up."


def test_the_main_table_has_the_competition_measures_where_there_are_scans(tmp_path):
    plain = TABLES["main"].drawn(View(_frame(), "iou", tmp_path))
    assert "| loss | iou ± 95 % | p (Holm) | IoU stomach |" in plain
    scans = TABLES["main"].drawn(View(_frame(**SCANS), "iou", tmp_path))
    assert "| p (Holm) | score | competition Dice | Hausdorff | IoU stomach |" in scans
    assert "| ce | 0.600 ± 0.000 | – | 0.800 | 0.700 | 0.100 | 0.600 | 10.0 | 3 | 2/2 |" in scans
    ranked = TABLES["main"].drawn(View(_frame(**SCANS), "score", tmp_path))
    assert "| loss | score ± 95 % | p (Holm) | competition Dice |" in ranked


def test_the_page_says_which_dice_is_meant(tmp_path):
    plain = page.write(_frame(), _Study(), tmp_path).read_text()
    assert plain.startswith(
        "# small\n\nData: made up.\n\nDice, IoU, precision and recall are pooled"
    )
    assert "Device: cpu." in plain and "competition" not in plain
    scans = page.write(_frame(**SCANS), _Study(), tmp_path).read_text()
    assert "`score` is 0.4 `competition_dice` + 0.6 (1 - `hausdorff`)" in scans
    assert "## main: losses ranked by score, with tests and cost\n" in scans
    assert scans.endswith("## Cells without a result\n\nNone.\n")


def test_a_cell_without_a_result_is_listed_with_its_reason(tmp_path):
    lost = _frame(**SCANS).assign(status="failed", reason="no memory")
    text = page.write(lost, _Study(), tmp_path).read_text()
    assert "No cell has what this table shows." in text
    assert text.count("- `x` failed: no memory") == 4
