"""gutseg split CACHE --out folds/NAME.csv: assign patients to folds."""

from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import typer

from gutseg.constants import CLASSES
from gutseg.data.cache import INDEX, Cache
from gutseg.data.folds import by_block, by_case
from gutseg.paths import check_output, need_file, replacing


def split(
    source: Annotated[
        Path, typer.Argument(help="a cache, or a csv of slices with id, case and has_ann")
    ],
    out: Annotated[Path, typer.Option(help="the fold file to write")],
    folds: Annotated[int, typer.Option(help="how many")] = 5,
    seed: Annotated[int, typer.Option(help="of the shuffle")] = 42,
    stratum: Annotated[
        Literal["organs", "has_mask"], typer.Option(help="what is balanced between folds")
    ] = "organs",
    block: Annotated[
        int,
        typer.Option(help="deal blocks of so many slices instead of patients (learning check)"),
    ] = 0,
) -> None:
    """Assign patients to folds: StratifiedGroupKFold, group = case."""
    check_output(out, [source / INDEX if source.is_dir() else source])
    slices = _slices(source, stratum)
    if block:
        table = by_block(slices, folds, block)
    else:
        table = by_case(slices, slices["stratum"], folds, seed)
    text = table.to_csv(index=False).encode()
    if out.is_file() and out.read_bytes() not in (text, b""):
        raise FileExistsError(
            f"{out} holds another assignment; scores made with it would no longer compare. "
            "Give another --out, or delete it first"
        )
    with replacing(out) as temporary:
        temporary.write_bytes(text)
    key = table.columns[0]
    slices["fold"] = slices[key].map(table.set_index(key)["fold"])
    counts = slices.groupby("fold").agg(
        cases=("case", "nunique"), scans=("scan", "nunique"), slices=("id", "size")
    )
    print(counts.join(pd.crosstab(slices["fold"], slices["stratum"])).to_string())
    print(out)


def _slices(source: Path, stratum: str) -> pd.DataFrame:
    """Read the slices of a cache or of a listing, with the column `stratum`."""
    if source.is_dir():
        slices = Cache(source).index
        organs = slices[list(CLASSES)].sum(axis=1)
        return slices.assign(stratum=organs if stratum == "organs" else (organs > 0).astype(int))
    slices = pd.read_csv(need_file(source, "give a cache or a csv of slices"))
    missing = {"id", "case", "has_ann"} - set(slices.columns)
    if missing:
        raise ValueError(f"{source}: no column {', '.join(sorted(missing))}")
    if stratum == "organs":
        raise ValueError(
            f"{source} says only whether a slice has any mask; use --stratum has_mask, "
            "or give a cache for the number of organs"
        )
    scan = slices["id"].str.rsplit("_", n=2).str[0]
    return slices.assign(scan=scan, stratum=slices["has_ann"].astype(int))
