"""The numbers of [Xu 2022], section IV, beside those of the data."""

from collections.abc import Mapping

import pandas as pd

from gutseg.chapters.dataset import counts
from gutseg.reporting.parts import Section, Table

# slices of the training set; a folder of another size is not what the paper counted
SLICES = 38_496

# quantity: as printed in tables 3 to 6 and sections IV.A to IV.C
PRINTED = {
    "slices": SLICES,
    "cases": 85,
    "slices without masks": 21_906,
    "slices with masks": 16_590,
    **{f"cases with {n} scans": c for n, c in enumerate((9, 8, 45, 2, 20, 1), 1)},
    **{"slices 266 x 266": 25_920, "slices 360 x 310": 11_232},
    **{"slices 276 x 276": 1_200, "slices 234 x 234": 144},
    **{"scans of 144 slices": 259, "scans of 80 slices": 15},
    **{"stomach": 8_627, "large bowel": 14_085, "small bowel": 11_201},
    **{"large bowel and stomach": 6_181, "large and small bowel": 10_982},
    **{"small bowel and stomach": 3_361},
    **{"one organ": 2_468, "two organs": 10_921, "three organs": 3_201},
    **{"only stomach": 2_286, "only large bowel": 123, "only small bowel": 59},
    **{"only large bowel + small bowel": 7_781, "only large bowel + stomach": 2_980},
    **{"only small bowel + stomach": 160},
    **{"peak of stomach": 196, "peak of large bowel": 240, "peak of small bowel": 235},
    **{"peak of stomach, slice": 67, "peak of large bowel, slice": 100},
    **{"peak of small bowel, slice": 102},
}
PAIRS = {
    "large bowel and stomach": ("large bowel", "stomach"),
    "large and small bowel": ("large bowel", "small bowel"),
    "small bowel and stomach": ("small bowel", "stomach"),
}
MISPRINTS = (
    "In the paper itself: 7,781 of 10,921 slices are 71.2 %, printed as 71.3 %; table 3 heads the "
    "38,496 slices as annotations, of which there are 33,913; the text calls tables 3 to 6 tables "
    "1 to 4; figure 6, the positions of slices, has the caption of figure 12; 360 x 310 (width x "
    "height) is given as (310, 360)."
)


def found(slices: pd.DataFrame, planes: pd.DataFrame | None) -> dict[str, int]:
    """Count what PRINTED names, as far as the data says it."""
    numbers = {"slices": len(slices), "cases": slices["case"].nunique()}
    if slices["has_mask"].notna().all():
        table = counts.with_and_without(slices)["slices"]
        numbers |= {f"slices {kind} masks": table[kind] for kind in ("without", "with")}
    for number, cases in counts.scans_per_case(slices)["cases"].items():
        numbers[f"cases with {number} scans"] = cases
    for size, some in slices.groupby(["width", "height"]):
        numbers[f"slices {size[0]} x {size[1]}"] = len(some)
    for number, scans in counts.slices_per_scan(slices)["scans"].items():
        numbers[f"scans of {number} slices"] = scans
    return numbers if planes is None else numbers | _of_masks(planes)


def _of_masks(planes: pd.DataFrame) -> dict[str, int]:
    together = counts.cooccurrence(planes)
    numbers = {organ: together.loc[organ, organ] for organ in together}
    for name in PAIRS:
        first, second = PAIRS[name]
        numbers[name] = together.loc[first, second]
    number = counts.masks_per_slice(planes)["slices"]
    numbers |= {"one organ": number[1], "two organs": number[2], "three organs": number[3]}
    for _, row in counts.organ_combinations(planes).iterrows():
        numbers[f"only {row['which']}"] = row["slices"]
    for organ, row in counts.peaks(counts.positions(planes)).iterrows():
        numbers[f"peak of {organ}"] = row["scans there"]
        numbers[f"peak of {organ}, slice"] = row["peak at slice"]
    return numbers


def compare(printed: Mapping[str, int], here: Mapping[str, int]) -> pd.DataFrame:
    """Return the quantities that both have, a row each, with the difference."""
    rows = {
        name: (number, int(here[name]), int(here[name]) - number)
        for name, number in printed.items()
        if name in here
    }
    columns = ["printed", "in this data", "difference"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("quantity")


def published_section(slices: pd.DataFrame, planes: pd.DataFrame | None) -> Section:
    """The paper's numbers beside this data's."""
    table = compare(PRINTED, found(slices, planes))
    differ = table.index[table["difference"] != 0].tolist()
    verdict = f"differ in {', '.join(differ)}" if differ else "are all equal"
    return Section(
        "data-published",
        "Data: beside the course paper",
        f"The {len(table)} numbers of section IV of [Xu 2022] that this data can tell {verdict}.",
        [Table("published_numbers", "[Xu 2022] and this data", table, note=MISPRINTS)],
    )
