"""gutseg phantom OUT [--cases 12] [--seed 0] [--preset small|full] [--workers 0]"""

from pathlib import Path
from typing import Annotated

import typer

from gutseg.synthetic import write_folder


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write; a rerun completes it.")],
    cases: Annotated[int, typer.Option(help="Patients in train.")] = 12,
    seed: Annotated[int, typer.Option(help="Another seed draws other patients.")] = 0,
    preset: Annotated[str, typer.Option(help="small (a third of the slices) or full.")] = "small",
    workers: Annotated[int, typer.Option(help="Processes; 0 means one per core.")] = 0,
) -> None:
    """Write a synthetic competition folder, with a hidden test as Kaggle scores it.

    OUT/train, OUT/train.csv and OUT/sample_submission.csv are what one downloads.
    OUT/hidden is what a notebook sees while it is scored; OUT/hidden_truth.csv is the truth.
    """
    train, hidden = write_folder(Path(out), cases=cases, seed=seed, preset=preset, workers=workers)
    slices = sum(scan.voxels.num_slices for scan in train + hidden)
    print(f"{out}: {len(train)} scans to train on, {len(hidden)} hidden, {slices} slices")
