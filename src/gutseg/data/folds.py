"""Fold assignments: who may never be on both sides of a split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from gutseg.data.index import check_ids
from gutseg.data.tables import read_csv, refuse_repeated, whole_numbers
from gutseg.registry import as_is, listed
from gutseg.settings import MOST_FOLDS

# what is trained on all rows and holds none out
Full = Literal["full"]
FULL: Full = get_args(Full)[0]
# the number of the fold that is held out, or FULL
Held = int | Full
# the names of scans have at most nine digits
MOST_CASES = 10**9 - 1


def fold_name(held: Held) -> str:
    """Return what the folder of a fold is called: fold0, ... or full."""
    return FULL if held == FULL else f"fold{held}"


def held_by(folder: str) -> Held:
    """Return what the folder of a fold is called after, the inverse of `fold_name`."""
    return FULL if folder == FULL else int(folder.removeprefix("fold"))


def draw(groups: pd.Series, stratum: pd.Series | np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of every row (N,): groups stay whole, strata are shared out evenly."""
    # takes a second and 50 MB, which `score` has no use for
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold = np.empty(len(groups), int)
    for number, (_, rows) in enumerate(splitter.split(fold, stratum, groups)):
        fold[rows] = number
    return fold


def by_case(slices: pd.DataFrame, stratum: pd.Series, folds: int, seed: int) -> pd.DataFrame:
    """Assign every patient to one fold; return case, fold, sorted by case.

    slices: one row per slice with a column case. stratum: what every fold should hold in equal
    shares. Days of a patient stay together: the test set holds unseen patients.
    """
    cases = slices["case"].nunique()
    if cases < 2:
        raise ValueError(f"{cases} case cannot be divided into folds; --block divides its slices")
    if not 2 <= folds <= cases:
        raise ValueError(f"folds = {folds}; expected 2 to {cases}, the number of cases")
    fold = draw(slices["case"], stratum, folds, seed)
    table = pd.DataFrame({"case": slices["case"].to_numpy(), "fold": fold})
    table = table.drop_duplicates().sort_values("case", ignore_index=True)
    _check_filled(table, folds, "cases")
    return table


def by_block(slices: pd.DataFrame, folds: int, block: int) -> pd.DataFrame:
    """Deal blocks of neighbouring slices out to the folds in turn; return id, fold.

    A learning check alone: validation slices lie between training slices of the same scan.
    """
    table = pd.DataFrame({"id": slices["id"], "fold": slices["z"] // block % folds})
    _check_filled(table, folds, f"blocks of {block} slices")
    return table


def _check_filled(table: pd.DataFrame, folds: int, what: str) -> None:
    filled = table["fold"].nunique()
    if filled < folds:
        raise ValueError(f"folds = {folds}, but the {what} fill only {filled}; ask for fewer folds")


def read_folds(path: Path) -> pd.DataFrame:
    """Read a fold file: columns case, fold or id, fold. Raises ValueError on any other."""
    file = path / "organs_5fold.csv" if path.is_dir() else path
    remedy = f"run: gutseg split CACHE --out {file}"
    table = read_csv(path, remedy)
    names = table.column_names
    if names not in (["case", "fold"], ["id", "fold"]):
        header = as_is(",".join(names))
        raise ValueError(f"{path}: header is {header}; expected case,fold or id,fold")
    if not len(table):
        raise ValueError(f"{path} has a header but no rows; {remedy}")
    key, table = names[0], table.to_pandas()
    if key == "case":
        table = table.assign(case=whole_numbers(table, "case", path, 0, MOST_CASES))
    else:
        check_ids(path, table)
    refuse_repeated(path, table, key)
    return table.assign(fold=whole_numbers(table, "fold", path, 0, MOST_FOLDS - 1))


def chosen(wanted: str, known: Sequence[int], where: str) -> list[int]:
    """Return the folds that `--fold` names: a number, several (0,2) or all of the known ones.

    Raises ValueError for an unknown fold or one named twice; where: what the known ones are.
    """
    numbers = {str(fold): fold for fold in known}
    parts = list(numbers) if wanted == "all" else wanted.split(",")
    for part in parts:
        if part not in numbers:
            choices = ", ".join(numbers)
            raise ValueError(f"--fold {as_is(wanted)}: expected all or some of {choices} ({where})")
        if parts.count(part) > 1:
            raise ValueError(f"--fold {as_is(wanted)}: fold {part} is listed twice")
    return [numbers[part] for part in parts]


def assign(index: pd.DataFrame, folds: pd.DataFrame, path: Path) -> pd.Series:
    """Return the fold of every row; ValueError when a row has none, or all have the same one."""
    key = folds.columns[0]
    fold = index[key].map(folds.set_index(key)["fold"])
    remedy = "make one for this cache: gutseg split CACHE --out FILE"
    if fold.isna().any():
        absent = sorted(index[key][fold.isna()].unique())
        raise ValueError(
            f"{path} assigns no fold to {len(absent)} of the cache's {key}s: "
            f"{listed(map(str, absent), len(absent))}; {remedy}"
        )
    if fold.nunique() < 2:
        raise ValueError(f"{path} puts all of the cache's {key}s into one fold; {remedy}")
    return fold.astype(int)


def cases_held_out(table: pd.DataFrame, fold: Held) -> list[int]:
    """Return the cases of which a training with this fold held out sees no slice.

    table: case and fold of every slice.
    """
    is_held = table["fold"] == fold
    return sorted({*table["case"][is_held].tolist()} - {*table["case"][~is_held].tolist()})


def check_whole(table: pd.DataFrame, column: str, path: Path, asker: str) -> None:
    """Raise ValueError where a fold file divides a scan or a patient (column: scan, case).

    asker: the setting that forbids it.
    """
    folds = table.groupby(column)["fold"].nunique()
    if not (folds > 1).any():
        return
    parts, name = "slices of a scan", folds.index[folds > 1][0]
    if column == "case":
        parts, name = "days of a patient", f"case{name}"
    raise ValueError(
        f"{asker} needs all {parts}, and {path} divides those of {name} between folds; give whole "
        "patients: gutseg split CACHE --out FILE"
    )
