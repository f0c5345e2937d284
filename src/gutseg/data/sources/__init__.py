"""The table of data sets that `gutseg bench` can read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gutseg.data.sources.competition import competition, slices
from gutseg.data.sources.isbi import isbi
from gutseg.data.sources.labelled import Labelled
from gutseg.data.sources.nuclei import conic, monusac, png_folder
from gutseg.losses.reductions import Mode
from gutseg.registry import Spec, check

DATASETS: dict[str, Spec] = {
    "png_folder": Spec(png_folder, "RGB images and label maps, e.g. PanNuke (Gamper 2019)"),
    "conic": Spec(conic, "CoNIC, Graham 2021, the challenge's own arrays"),
    "monusac": Spec(monusac, "MoNuSAC, Verma 2021, tiles and Aperio XML"),
    "isbi": Spec(isbi, "ISBI 2012, Arganda-Carreras 2015, folders as in zhixuhao/unet"),
    "slices": Spec(slices, "UW-Madison GI Tract, Lee 2024, a cache of `gutseg prepare`"),
}

# What `data.source` of a config can be.
SOURCES = {
    "competition": Spec(competition, "UW-Madison GI Tract, Lee 2024, a cache of `gutseg prepare`"),
    **{name: spec for name, spec in DATASETS.items() if name != "slices"},
}


def mode_of(source: str) -> Mode:
    """Return whether the classes of a row of SOURCES may overlap."""
    return "multilabel" if source in ("competition", "isbi") else "multiclass"


def read(name: str, folder: Path, params: Mapping[str, Any]) -> Labelled:
    """Read a data set of the table; raises ValueError naming the choices when it cannot."""
    settings = check(DATASETS, name, params, where="dataset")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; give the one that holds the {name} data")
    return DATASETS[name].build(folder, **settings)
