from gutseg.study.report.classes import recomputed


def _cells(page: str) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in page.splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_the_printed_weights_follow_from_the_printed_shares():
    cells = _cells(recomputed("weights"))
    for row in [value for key, value in cells.items() if key not in ("class", "---")]:
        for pair in row[2:]:
            printed, found = pair.split(" / ")
            assert printed == found
    # table 3.2: within the rounding of the shares, but for the misprint
    off = {
        key: abs(float(row[1].split(" / ")[0]) - float(row[1].removesuffix(" *").split(" / ")[1]))
        for key, row in cells.items()
        if "/" in row[1]
    }
    assert off.pop("eosinophil") > 0.0009 and max(off.values()) < 2.5e-5 and len(off) == 6


def test_both_misprints_are_marked_and_nothing_else():
    page = recomputed("weights")
    assert page.count("*") == 2
    cells = _cells(page)
    assert cells["neutrophil"][0] == "0.126 % *"
    assert cells["eosinophil"][1] == "0.47268 / 0.47368 *"


def test_weights_of_two_classes_are_the_shares_swapped():
    assert _cells(recomputed("binary_weights"))["foreground"] == ["0.83977 / 0.83975"]
