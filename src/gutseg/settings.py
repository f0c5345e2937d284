"""What the sections of a config are made of: checked numbers, names of folders, paths."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gutseg.registry import shown

# beyond any use, far below where arithmetic on 64 bits overflows, and its square fits float32
MOST = 10**9
# pixels of a side; the largest slices of the competition have 360
LARGEST_SIDE = 4096
MOST_FOLDS = 1000
# bytes of a folder's name; file systems end at 255, and temporary names add to it
LONGEST_NAME = 150


class Section(BaseModel):
    """A part of a config: unknown keys and numbers that are not finite are errors.

    Every key is declared once, with a comment above it that `gutseg config` prints.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )


def folder_name(name: str) -> str:
    """Return a name that may become a folder below another; raises ValueError for any other."""
    bad = name.startswith(".") or name != name.strip() or not name.isprintable()
    if not name or bad or {"/", "\\", ":"} & set(name) or len(name.encode()) > LONGEST_NAME:
        raise ValueError(
            f"{shown(name)} cannot be the name of a folder; give letters, digits, - _ or . "
            f"(no path, not a dot first, at most {LONGEST_NAME} bytes)"
        )
    return name


def _place(path: Any) -> Any:
    if isinstance(path, str) and not (path and path.isprintable()):
        raise ValueError(f"{shown(path)} is not a path; expected a name or names with / between")
    return path


def fold_file_or_number(value: Any) -> int | Path:
    """Return a config's folds: the path of a fold file, or how many are to be drawn."""
    if isinstance(value, bool) or not isinstance(value, int | str | Path):
        raise ValueError(f"found {shown(value)}, expected a fold file or a number of folds")
    if isinstance(value, int):
        if not 2 <= value <= MOST_FOLDS:
            raise ValueError(f"{value} folds; expected 2 to {MOST_FOLDS}")
        return value
    return Path(_place(value))


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=MOST)]
NotNegative = Annotated[float, Field(ge=0, le=MOST)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Natural = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Name = Annotated[str, AfterValidator(folder_name)]
GivenPath = Annotated[Path, BeforeValidator(_place)]
# of the network's input
Side = Annotated[int, Field(ge=16, le=LARGEST_SIDE)]
# of the classes: they may overlap, or exclude each other
Mode = Literal["multilabel", "multiclass"]
# test-time augmentation: a key of inference.looks.LOOKS
Tta = Literal["none", "hflip", "flips", "shifts", "scales", "strides"]
# whether networks with channels of an earlier day of the patient see it, or 0 in its place
EarlierDay = Literal["given", "withheld"]
# what becomes of rows and scans that were not predicted
Missing = Literal["refuse", "empty"]
