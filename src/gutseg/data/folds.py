"""Fold assignments: who may never be on both sides of a split."""

from pathlib import Path

import numpy as np
import pandas as pd

from gutseg.paths import need_file


def by_case(slices: pd.DataFrame, stratum: pd.Series, folds: int, seed: int) -> pd.DataFrame:
    """Assign every patient to one fold; return case, fold, sorted by case.

    slices: one row a slice with a column case. stratum: what every fold should hold in equal
    shares (the number of organs on the slice, or whether there is any). Days of a patient stay
    together: the test set holds unseen patients, and the anatomy of one is alike on all days.
    """
    # takes a second and 50 MB, which `score` has no use for
    from sklearn.model_selection import StratifiedGroupKFold

    cases = slices["case"].nunique()
    if not 2 <= folds <= cases:
        raise ValueError(f"folds = {folds}; expected 2 to {cases}, the number of cases")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold = np.empty(len(slices), int)
    for number, (_, rows) in enumerate(splitter.split(slices, stratum, slices["case"])):
        fold[rows] = number
    table = pd.DataFrame({"case": slices["case"].to_numpy(), "fold": fold})
    return table.drop_duplicates().sort_values("case", ignore_index=True)


def by_block(slices: pd.DataFrame, folds: int, block: int) -> pd.DataFrame:
    """Deal blocks of neighbouring slices out to the folds in turn; return id, fold.

    A learning check inside single scans, not an estimate for unseen patients: the validation
    slices lie between training slices of the same scan.
    """
    if block < 1:
        raise ValueError(f"block = {block}; expected at least 1 slice")
    if folds < 2:
        raise ValueError(f"folds = {folds}; expected at least 2")
    return pd.DataFrame({"id": slices["id"], "fold": slices["z"] // block % folds})


def read_folds(path: Path) -> pd.DataFrame:
    """Read a fold file: columns case, fold or id, fold. Raises ValueError on any other."""
    table = pd.read_csv(need_file(path, f"run: gutseg split CACHE --out {path}"))
    if list(table.columns) not in (["case", "fold"], ["id", "fold"]):
        raise ValueError(
            f"{path}: header is {','.join(table.columns)}; expected case,fold or id,fold"
        )
    key = table.columns[0]
    if table[key].duplicated().any():
        twice = table[key][table[key].duplicated()].iloc[0]
        raise ValueError(f"{path}: {key} {twice} stands there twice; expected one fold each")
    if not pd.api.types.is_integer_dtype(table["fold"]) or table["fold"].min() < 0:
        raise ValueError(f"{path}: expected whole numbers from 0 in the column fold")
    return table


def assign(index: pd.DataFrame, folds: pd.DataFrame, path: Path) -> pd.Series:
    """Return the fold of every row of the index; path names the fold file in errors."""
    key = folds.columns[0]
    fold = index[key].map(folds.set_index(key)["fold"])
    if fold.isna().any():
        absent = sorted(index[key][fold.isna()].unique())
        raise ValueError(
            f"{path} assigns no fold to {len(absent)} of the cache's {key}s, the first is "
            f"{absent[0]}; make one for this cache: gutseg split CACHE --out FILE"
        )
    return fold.astype(int)
