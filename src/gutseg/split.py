"""gutseg split CACHE --out folds/NAME.csv: assign patients to folds."""

from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import typer

from gutseg.constants import CLASSES
from gutseg.data.cache import Cache
from gutseg.data.folds import MOST_CASES, by_block, by_case
from gutseg.data.index import INDEX, SLICE_ID, check_ids
from gutseg.data.tables import read_table, refuse_repeated, refuse_rows, whole_numbers
from gutseg.files import check_output, replacing
from gutseg.settings import MOST_FOLDS

Stratum = Literal["organs", "has_mask"]


def split(
    source: Annotated[
        Path, typer.Argument(help="a cache, or a csv of slices with id, case and has_ann")
    ],
    out: Annotated[Path, typer.Option(help="the fold file to write")],
    folds: Annotated[int, typer.Option(help="how many", min=2, max=MOST_FOLDS)] = 5,
    seed: Annotated[int, typer.Option(help="of the shuffle", min=0, max=2**32 - 1)] = 42,
    stratum: Annotated[Stratum, typer.Option(help="what is balanced between folds")] = "organs",
    block: Annotated[int, typer.Option(help="deal blocks of so many slices out", min=0)] = 0,
) -> None:
    """Assign patients to folds: StratifiedGroupKFold, group = case.

    Blocks of slices are for a learning check alone: patients are then on both sides.
    """
    check_output(out, [source / INDEX if source.is_dir() else source])
    slices = _slices(source, stratum)
    if block:
        table = by_block(slices, folds, block)
    else:
        table = by_case(slices, slices["stratum"], folds, seed)
    text = table.to_csv(index=False).encode()
    if out.is_file() and out.read_bytes() not in (text, b""):
        problem = f"{out} holds another assignment; scores made with it would no longer compare"
        raise FileExistsError(f"{problem}. Give another --out, or delete it first")
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
    slices = read_table(source, ["id", "case", "has_ann"], "give a cache or a csv of slices")
    if stratum == "organs":
        remedy = "use --stratum has_mask, or give a cache for the number of organs"
        raise ValueError(f"{source} says only whether a slice has any mask; {remedy}")
    if slices.empty:
        raise ValueError(f"{source} lists no slices")
    check_ids(source, slices)
    refuse_repeated(source, slices, "id")
    cases = whole_numbers(slices, "case", source, 0, MOST_CASES)
    other = cases != slices["id"].str.extract(SLICE_ID)[0].astype(int)
    refuse_rows(source, slices, "case", other, "is not that of the row's id")
    masks = slices["has_ann"].str.lower().map({"true": 1, "1": 1, "false": 0, "0": 0})
    refuse_rows(source, slices, "has_ann", masks.isna(), "is not True or False")
    number = slices["id"].str[-4:].astype(int)
    scan = slices["id"].str.rsplit("_", n=2).str[0]
    z = number - number.groupby(scan).transform("min")
    return slices.assign(case=cases, scan=scan, z=z, stratum=masks.astype(int))
