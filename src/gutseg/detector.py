"""The network that finds the windows of a training: whom it saw, its boxes, its copy."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from pydantic import TypeAdapter

from gutseg import experiment, warm_start
from gutseg.config import Config, load
from gutseg.data.folds import Held
from gutseg.data.inputs import Box
from gutseg.data.sources.located import Located
from gutseg.data.sources.source import Source
from gutseg.engine import checkpoint
from gutseg.engine.budget import check_finished
from gutseg.engine.distributed import World
from gutseg.engine.provenance import DETECTOR, check_weights
from gutseg.files import need_file, read_json, write_json
from gutseg.progress import progress
from gutseg.registry import counted

# in the folder of a fold: the boxes of its scans, by fingerprint
BOXES = "boxes.json"
_BOXES = TypeAdapter(dict[str, Box])


@dataclass(frozen=True)
class Found:
    """The boxes of all scans of a training, by their fingerprints, and what found them."""

    boxes: Mapping[str, Box]
    # the folder of the network
    home: Path

    def located(self, data: Source) -> Located:
        """Return data whose scans know their boxes."""
        prints = {name: data.fingerprint(name) for name in data.index["scan"].unique()}
        if unknown := [name for name, one in prints.items() if one not in self.boxes]:
            problem = f"no window was found for {counted(unknown, 'scan')} of its data"
            raise ValueError(f"{self.home}: {problem}; run gutseg train again")
        return Located(data, {name: self.boxes[one] for name, one in prints.items()})

    def keep(self, folder: Path) -> None:
        """Write the boxes and the network into the folder of a fold, which needs no other then."""
        if self.home != folder / experiment.DETECTOR:
            checkpoint.copy_network(self.home, folder / experiment.DETECTOR)
        write_json(folder / BOXES, self.boxes)


def find(
    config: Config,
    fold: Held,
    data: Source,
    table: pd.DataFrame,
    *,
    more: Source,
    kept: Path | None,
    world: World,
) -> Found:
    """Find the boxes of all scans that a training of a fold sees, or measures itself on.

    table: `experiment.rows` of the data. more: the data and what is trained on besides. kept: the
    folder of a fold that was begun, whose own copy goes on. Raises ValueError for a network that
    has seen who is held out, that is not finished or that cannot find windows.
    """
    begun = opened(kept) if kept else Found({}, _checked(config, fold, data, table))
    home, known = begun.home, dict(begun.boxes)
    names = {more.fingerprint(name): name for name in more.index["scan"].unique()}
    missing = [one for one in names if one not in known]
    if not missing:
        return begun
    locator = experiment.locator(home, world.device)
    boxes = torch.zeros(len(missing), 4, dtype=torch.double)
    own = range(world.rank, len(missing), world.size)
    for number in progress(own, desc="find windows", unit="scan", disable=not world.is_main):
        scan = more.scan(names[missing[number]])
        boxes[number] = torch.tensor(locator.box(scan))
        scan.release()
    found = world.all_reduce(boxes).int().tolist()
    return Found(known | dict(zip(missing, map(tuple, found), strict=True)), home)


def opened(folder: Path) -> Found:
    """Return what the folder of a fold has kept."""
    known = _read(folder / BOXES) if (folder / BOXES).is_file() else {}
    return Found(known, folder / experiment.DETECTOR)


def weights_in(folder: Path) -> Path:
    """Return the copy of the network that finds the windows of a fold."""
    return folder / experiment.DETECTOR / checkpoint.BUNDLED


def check_kept(folder: Path) -> None:
    """Raise unless a fold that was begun still has the network that found its windows."""
    need_file(weights_in(folder), experiment.NO_DETECTOR)
    check_weights(folder, DETECTOR, weights_in(folder), "geometry.from_run")


def _checked(config: Config, fold: Held, data: Source, table: pd.DataFrame) -> Path:
    """Return the folder of a network that may find the windows of a fold."""
    weights = warm_start.detector_of(config, fold)
    if weights is None:
        raise ValueError("geometry.from_run: null names no run")
    home = weights.parent
    theirs = load(need_file(home / "config.yaml", "give geometry.from_run a run of gutseg train"))
    reasons = (
        (theirs.data.source != "competition", f"was trained on {theirs.data.source}"),
        (theirs.geometry.kind == "found", "has its own windows found by another network"),
        (theirs.prior_day is not None, "sees an earlier day of the patient"),
    )
    for applies, reason in reasons:
        if applies:
            problem = f"geometry.from_run: {home} {reason}"
            raise ValueError(f"{problem}; give a run of slices of the competition alone")
    check_finished(home, theirs.train)
    warm_start.check_unseen(config, fold, data, table, weights, warm_start.FINDER)
    return home


def _read(path: Path) -> dict[str, Box]:
    try:
        return _BOXES.validate_python(read_json(path))
    except ValueError:
        problem = "does not hold boxes (top, bottom, left, right) of scans"
        remedy = "delete it, and gutseg train finds them again"
        raise ValueError(f"{path} {problem}; {remedy}") from None
