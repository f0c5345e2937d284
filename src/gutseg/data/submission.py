"""submission.csv: which rows Kaggle asks for, and writing them in its order."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from gutseg.constants import CLASSES
from gutseg.data.index import Issues, list_slices
from gutseg.data.mask_csv import check_rows, read_labels, read_rows
from gutseg.files import need_file, replacing

log = logging.getLogger(__name__)

COLUMNS = ["id", "class", "predicted"]


def write_submission(path: Path, rows: pd.DataFrame, masks: Mapping[tuple[str, str], str]) -> None:
    """Write id, class, predicted in the order of rows, as Kaggle insists; "" without a mask."""
    predicted = [masks.get(pair, "") for pair in zip(rows["id"], rows["class"], strict=True)]
    with replacing(path) as temporary:
        rows.assign(predicted=predicted)[COLUMNS].to_csv(temporary, index=False)


def wanted_rows(
    root: Path, debug_scans: int, issues: Issues, prefer: Callable[[str], bool] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to write (id, class) and the slices to read for them.

    slices: all of the scans that the rows name, `wanted` where the rows ask for them. A sample of
    only a header asks for the first debug_scans scans with PNGs and rows in train.csv, those first
    that `prefer` says of. Slices that are absent and an unreadable sample, which then asks for all
    of test/, are issues.
    """
    path, part = root / "sample_submission.csv", "test"
    sample = _sample(path, issues)
    if sample.empty:
        why = f"{path} is only a header, so labelled train scans would be predicted"
        path, part = need_file(root / "train.csv", why), "train"
        sample = read_labels(path, issues)
    else:
        check_rows(sample, path, issues)
    slices = list_slices(root / part, issues)
    present = slices["id"].isin(sample["id"])
    if part == "train":
        names = slices["scan"][present].unique().tolist()
        chosen = sorted(names, key=lambda name: not (prefer and prefer(name)))[:debug_scans]
        why = "sample_submission.csv is only a header (Kaggle's public view)"
        log.warning("%s; predicting labelled train scans instead: %s", why, ", ".join(chosen))
        present &= slices["scan"].isin(chosen)
        sample = sample[sample["scan"].isin(chosen)]
    if not present.any():
        issues.add(str(root / part), f"holds no PNG of a slice that {path.name} asks for")
    missing = "the sample asks for this slice, but there is no PNG of it"
    for slice_id in sample["id"][~sample["id"].isin(slices["id"])].unique():
        issues.add(f"{path.name}, {slice_id[:60]}", missing)
    # neighbours that the sample does not ask for still belong to the stacks
    return sample, slices[slices["scan"].isin(slices["scan"][present])].assign(wanted=present)


def _sample(path: Path, issues: Issues) -> pd.DataFrame:
    """Read the sample, or ask for all of test/ if it cannot be read and issues are collected."""
    try:
        return read_rows(need_file(path, "give --images"), COLUMNS[2:], issues).to_pandas()
    except (ValueError, OSError) as error:
        if not issues.collect:
            raise
        issues.add(path.name, f"does not read ({error}); all slices of test/ are predicted")
    slices = list_slices(path.parent / "test", Issues(collect=True))
    rows = [(slice_id, organ, "") for slice_id in slices["id"] for organ in CLASSES]
    return pd.DataFrame(rows, columns=COLUMNS).assign(row=0, broken=False)
