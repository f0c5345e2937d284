import json
from itertools import product

import pandas as pd

from gutseg.study.report.tables import TABLES
from gutseg.study.report.view import View

CELL = {"lr": 0.1, "patch": "8x8", "status": "ok", "label": "bce", "seconds_per_step": 0.01}
CELL |= {"peak_mb": 3.0, "architecture": "hybrid_unet", "competition_dice": 0.5}


def _drawn(name, cells, tmp_path, score="score"):
    frame = pd.DataFrame([CELL | cell for cell in cells])
    return TABLES[name].drawn(View(frame, score, tmp_path))


def test_networks_are_ranked_within_a_loss(tmp_path):
    """By hand: small is .1 ahead on both blocks; a lost cell is left out of the mean."""
    networks = {"large": (0.5, 2e6), "small": (0.6, 1e5)}
    cells = [
        {"network": name, "score": score, "parameters": size, "seed": seed, "fold": 0}
        for seed, (name, (score, size)) in product((0, 1), networks.items())
    ]
    page = _drawn("networks_ranked", cells, tmp_path)
    first, second = page.splitlines()[4:6]
    assert first == "| small | 0.600 ± 0.000 | – | 0.500 | 0.100 | 10.0 | 3 | 2/2 |"
    assert second == "| large | 0.500 ± 0.000 | 0.500 | 0.500 | 2.000 | 10.0 | 3 | 2/2 |"
    assert page.startswith("### bce\n")
    lost = [cell | {"status": "failed", "score": float("nan")} for cell in cells[:1]]
    page = _drawn("networks_ranked", [*lost, *cells[1:]], tmp_path)
    assert "| large | 0.500 | " in page and "| 1/2 |" in page


def test_parts_are_compared_with_all_others_equal(tmp_path):
    """Score = .5 + .1 local - .02 elastic + .01 local and elastic, a third of that by fold 1."""
    cells = []
    for local, elastic, fold in product((False, True), (False, True), (0, 1)):
        gain = 0.1 * local - 0.02 * elastic + 0.01 * (local and elastic)
        params = json.dumps({"local_levels": [2] if local else [], "external_levels": [3]})
        cells.append(
            {"network": "x", "network_params": params, "seed": 0, "fold": fold}
            | {"input": "5 slices, " + ("elastic" if elastic else "none")}
            | {"score": 0.5 + gain / (1 + 2 * fold)}
        )
    page = _drawn("worth", cells, tmp_path)
    local, elastic = page.splitlines()[2:]
    # pairs .1, .11, .1 / 3, .11 / 3: mean .07, t(3) x standard error = 3.182 x .0408 / 2
    assert local.startswith("| local attention | 0.493 | 0.563 | 0.070 ± 0.065 |")
    assert local.endswith("| 0.000 ± 0.000 | 4 |")
    # pairs -.02, -.01, and a third of both
    assert elastic.startswith("| none → elastic | 0.533 | 0.523 | -0.010 ± 0.011 |")
    assert "external" not in page and "5 slices" not in page


def test_a_grid_without_parts_has_no_table(tmp_path):
    cell = {"network": "x", "network_params": "{}", "input": "", "score": 0.5, "seed": 0, "fold": 0}
    assert _drawn("worth", [cell], tmp_path) == ""


def test_a_ladder_compares_every_technique_with_the_first_row(tmp_path):
    """Gains .02 and .04, by hand: mean .03, t(1) x standard error = 12.706 x .01; a lost pair."""
    scores = {"as it is": (0.50, 0.60, 0.70), "more": (0.52, 0.64, float("nan"))}
    cells = [
        {"network": "x", "input": name, "seed": seed, "fold": 0, "hausdorff": 1 - score}
        | {"score": score, "seconds_per_step": (0.03 if name == "more" else 0.02) + seed / 100}
        for name, values in scores.items()
        for seed, score in enumerate(values)
    ]
    first, more = _drawn("ladder", cells, tmp_path).splitlines()[2:]
    assert first == "| as it is | 0.600 | – | – | – | 1.00 | 3/3 |"
    assert more.startswith("| more | 0.580 | 0.030 ± 0.127 | 0.000 ± 0.000 | -0.030 ± 0.127 |")
    assert more.endswith("| 1.50 | 2/3 |")
    assert "only one input" in _drawn("ladder", cells[:3], tmp_path)
