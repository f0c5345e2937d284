"""What single values of a config may be: numbers within bounds, names of folders, paths."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from gutseg.registry import shown

# beyond any use, and far below where arithmetic on 64 bits overflows
MOST = 10**9
# pixels of a side; the largest slices of the competition have 360
LARGEST_SIDE = 4096
# GB that the images of one batch may take
LARGEST_BATCH = 16
# bytes of a folder's name; file systems end at 255, and temporary names add to it
LONGEST_NAME = 150


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


def check_batch(key: str, images: int, channels: int, size: tuple[int, int]) -> None:
    """Raise ValueError when float32 images (images, channels, *size) alone fill the memory."""
    gigabytes = images * channels * size[0] * size[1] * 4 / 2**30
    if gigabytes > LARGEST_BATCH:
        raise ValueError(
            f"{key}: {images} images of {channels} x {size[0]} x {size[1]} take {gigabytes:,.0f} "
            f"GB; at most {LARGEST_BATCH} are allowed, so take fewer or smaller ones"
        )


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Natural = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Name = Annotated[str, AfterValidator(folder_name)]
Place = Annotated[Path, BeforeValidator(_place)]
