"""The table of data that can be trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gutseg.data.inputs import Inputs
from gutseg.data.sources.competition import Competition
from gutseg.data.sources.conic import conic
from gutseg.data.sources.monusac import monusac
from gutseg.data.sources.png_folder import isbi, png_folder
from gutseg.data.sources.source import Source
from gutseg.losses.reductions import Mode
from gutseg.registry import Spec, check

SOURCES = {
    "competition": Spec(Competition, "[Lee 2024]: UW-Madison GI Tract, a prepared cache"),
    "isbi": Spec(isbi, "[Arganda-Carreras 2015]: ISBI 2012, folders as in zhixuhao/unet"),
    "png_folder": Spec(png_folder, "RGB images and label maps, e.g. PanNuke [Gamper 2019]"),
    "conic": Spec(conic, "[Graham 2021]: CoNIC, the challenge's own arrays"),
    "monusac": Spec(monusac, "[Verma 2021]: MoNuSAC, tiles and Aperio XML"),
}


def mode_of(source: str) -> Mode:
    """Return whether the classes of a row of SOURCES may overlap."""
    return "multilabel" if source in ("competition", "isbi") else "multiclass"


def read(name: str, folder: Path, inputs: Inputs, params: Mapping[str, Any]) -> Source:
    """Open data of the table; raises ValueError naming the choices when it cannot."""
    settings = check(SOURCES, name, params, where="data")
    return SOURCES[name].build(folder, inputs, **settings)
