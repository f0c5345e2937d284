"""gutseg export RUN --to onnx|torch.export: networks; --to rtstruct|seg|nifti: masks of a scan."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from gutseg import config as configuration
from gutseg import experiment, runs
from gutseg.clinic import output, scans
from gutseg.config import Config
from gutseg.data.folds import FULL
from gutseg.data.inputs import Scaling, ends, gather, neighbours
from gutseg.data.sources.source import Source
from gutseg.data.volume import Scan
from gutseg.engine import checkpoint
from gutseg.files import check_output, need_file, replacing, write_json
from gutseg.inference.deployed import Deployed, Values
from gutseg.inference.formats import FORMATS, Arrays
from gutseg.inference.made_with import hash_file
from gutseg.inference.predictor import Predictor, probabilities
from gutseg.models import MODELS
from gutseg.registry import listed, require, shown

log = logging.getLogger(__name__)

# slices that the file is compared on with the network, and the difference it may have
CHECKED, CLOSE = 10, 1e-4
CPU = torch.device("cpu")


def export(
    run: Annotated[Path, typer.Argument(help="a run folder; of a scan also a blend.yaml, a cache")],
    to: Annotated[
        str, typer.Option(help="onnx or torch.export; of a scan rtstruct, seg or nifti")
    ] = "onnx",
    scan: Annotated[str, typer.Option(help="whose masks are written, for example case7_day0")] = "",
    truth: Annotated[bool, typer.Option(help="the scan's labels, not a prediction")] = False,
    fold: Annotated[str, typer.Option(help="a number, several (0,2), all or full")] = "all",
    size: Annotated[
        str, typer.Option(help="HEIGHTxWIDTH of slices; default: the first scan's")
    ] = "",
    batch: Annotated[int, typer.Option(help="slices of one call", min=1, max=256)] = 1,
    out: Annotated[
        Path | None, typer.Option(help="folder; default: exports/RUN, of a scan .../SCAN/FORMAT")
    ] = None,
) -> None:
    """Write networks that take raw slices and give probabilities, each with a .json that says how.

    Scaling, window and resampling are inside the file, but for geometries `body` and `organs`. It
    is kept only where ten slices of the run's data come out as the network's own do, to 1e-4. As
    rtstruct, seg or nifti: the out-of-fold masks of one scan and its images, kept only where they
    read back as the same masks. Not for clinical use.
    """
    require(to, [*FORMATS, *output.FORMATS], "--to")
    if to in output.FORMATS:
        if size or batch != 1:
            raise ValueError(f"--size and --batch are for networks; leave them out with --to {to}")
        scans.export_scan(run, scan, to, wanted=fold, truth=truth, out=out)
        return
    if scan or truth:
        raise ValueError(f"--scan and --truth are for masks; give --to {listed(output.FORMATS, 3)}")
    kind = FORMATS[to]
    folders = [run / FULL] if fold == FULL else runs.fold_folders(run, fold)
    target = out or Path("exports") / run.resolve().name
    for folder in folders:
        path = target / f"{folder.name}{kind.suffix}"
        check_output(path, [run], begins=kind.begins)
        check_output(path.with_suffix(".json"), [run], begins=b"{")
        opened = _open(folder, to, batch, size)
        with replacing(path) as temporary:
            answer = kind.write(opened.module, _arguments(opened.cases[0], batch), temporary)
            difference = _difference(opened, answer, batch)
            if not difference <= CLOSE:
                raise ValueError(
                    f"{path} was not kept: its probabilities differ by {difference:.2g} from those "
                    f"of {folder}, {CLOSE:g} is allowed; try the other --to"
                )
        note = opened.note | {"format": to, "batch": batch, "largest_difference": difference}
        write_json(path.with_suffix(".json"), note)
        print(f"{path}: {len(opened.cases)} slices differ by {difference:.1g} at most")


@dataclass(frozen=True)
class Case:
    """One slice: what the file takes, (S, H, W) and perhaps () and (), and what it must give."""

    arrays: Arrays
    # (C, H, W)
    expected: np.ndarray


@dataclass(frozen=True)
class Opened:
    """A fold to export."""

    module: Deployed
    cases: list[Case]
    # for the .json
    note: dict[str, Any]


def _open(folder: Path, to: str, batch: int, size: str) -> Opened:
    config = configuration.load(need_file(folder / "config.yaml", "train this fold first"))
    _check_network(config, to, folder)
    data = experiment.source(config)
    predictor = experiment.load_predictor(folder, config, data.inputs, data.classes, "none", CPU)
    rows, native = _slices(data, size)
    scan = data.scan(rows[0][0])
    window, inside = predictor.inputs.window(scan), not config.geometry.by_scan
    if max(window.size) > predictor.tile:
        raise ValueError(
            f"--size: slices of {native[0]}x{native[1]} are predicted in tiles of {predictor.tile} "
            "pixels, which are cut outside of a network; give a smaller --size"
        )
    is_raw = inside and isinstance(scan, Scan)
    scaling: Values | None = None
    if is_raw:
        scaling = "stack" if config.scaling.kind == "stack" else "range"
    module = Deployed(
        predictor.model,
        predictor.mode,
        scaling=scaling,
        channels=data.inputs.selected if is_raw else None,
        window=window if inside else None,
    ).eval()
    cases = [_case(predictor, data, name, z, scaling, inside) for name, z in rows]
    return Opened(module, cases, _note(folder, config, data, cases[0], scaling, inside))


def _check_network(config: Config, to: str, folder: Path) -> None:
    if config.model.dims != 2:
        raise ValueError(f"{folder} is a network of volumes; export writes networks of slices")
    if config.view != "axial":
        raise ValueError(
            f"{folder} sees {config.view} planes; export writes networks of axial ones"
        )
    if config.prior_day:
        raise ValueError(
            f"{folder} also sees an earlier day of the patient; export writes networks of slices "
            "alone: train one without prior_day"
        )
    if config.geometry.kind == "found":
        raise ValueError(
            f"{folder} looks at windows that another network finds; export writes networks of "
            "slices alone: train one with geometry.kind=body"
        )
    if to == "onnx" and not MODELS[config.model.name].onnx:
        raise ValueError(
            f"{folder}: torch.onnx cannot write {config.model.name!r}; give --to torch.export"
        )


def _slices(data: Source, size: str) -> tuple[list[tuple[str, int]], tuple[int, int]]:
    """Return (scan, z) of slices of one size, spread over the data, and the size (H, W)."""
    index = data.index
    sizes = {name: tuple(data.scan(name).shape[1:]) for name in index["scan"].unique()}
    known = {f"{height}x{width}": (height, width) for height, width in sizes.values()}
    wanted = size or next(iter(known))
    if wanted not in known:
        choices = listed(sorted(known), len(known))
        raise ValueError(
            f"--size {shown(size)}: no scan of the run's data has it; it has {choices}"
        )
    native = known[wanted]
    rows = index[index["scan"].map(sizes) == native]
    chosen = np.unique(np.linspace(0, len(rows) - 1, CHECKED).round().astype(int))
    return list(rows.iloc[chosen][["scan", "z"]].itertuples(index=False, name=None)), native


@torch.inference_mode()
def _case(
    predictor: Predictor, data: Source, name: str, z: int, scaling: str | None, inside: bool
) -> Case:
    scan, plane = data.scan(name), np.array([z])
    images = predictor.inputs.images(scan, plane)  # (1, S, h, w)
    found = probabilities(predictor.logits, torch.from_numpy(images), mode=predictor.mode)
    if not inside:
        return Case((images[0],), found[0].numpy())
    expected = predictor.native(scan, found)[:, 0]  # (C, H, W)
    if scaling is None:
        return Case((predictor.inputs.stacks(scan, plane)[0],), expected)
    stack = gather(scan.image, neighbours(plane, scan.shape[0], predictor.inputs.stack))
    raw = stack[0].astype(np.float32)  # (S, H, W)
    if scaling == "stack":
        return Case((raw,), expected)
    both = (np.float32(one) for one in ends(scan, predictor.inputs.scaling))
    return Case((raw, *map(np.asarray, both)), expected)


def _ends_in_words(scaling: Scaling) -> str:
    """Say which grey values of a scan `low` and `high` are."""
    if scaling.kind.startswith("zscore"):
        body = " of the voxels above air (8 % of the 99.5th percentile)"
        where = body if scaling.kind == "zscore_body" else ""
        times = f"{scaling.deviations:g} standard deviations"
        return f"the scan's mean minus (at least 0) and plus {times}, of its grey values{where}"
    if scaling.kind == "scan":
        return "0 and the highest grey value of the scan"
    return (
        f"the grey values that {scaling.low:g} % and {scaling.high:g} % of the scan's voxels do "
        "not exceed"
    )


def _arguments(case: Case, batch: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.stack([array] * batch)) for array in case.arrays)


def _difference(opened: Opened, answer: Callable[[Arrays], np.ndarray], batch: int) -> float:
    """Return the largest difference between what a file and what the network says."""
    worst, cases = 0.0, opened.cases
    for first in range(0, len(cases), batch):
        some = cases[first : first + batch]
        filled = [*some, *[some[-1]] * (batch - len(some))]
        arrays = tuple(np.stack(part) for part in zip(*(c.arrays for c in filled), strict=True))
        for found, case in zip(answer(arrays), some, strict=False):
            difference = np.abs(found - case.expected).max()
            worst = max(worst, float(difference)) if np.isfinite(difference) else np.inf
    return worst


def _note(
    folder: Path, config: Config, data: Source, case: Case, scaling: str | None, inside: bool
) -> dict[str, Any]:
    """Say what goes into a file, what comes out, and what is left to whoever calls it."""
    channels, height, width = case.arrays[0].shape
    inputs: dict[str, Any] = {"slices": f"(batch, {channels}, {height}, {width}) float32"}
    outside = []
    if isinstance(data.scan(data.index["scan"].iloc[0]), Scan):
        stack = config.stack
        outside.append(
            f"slices: a slice in the middle of its neighbours, {stack.slices} in all, every "
            f"{stack.stride}., beyond the ends of the scan: {stack.edge}"
        )
    if scaling == "range":
        inputs |= {"low": "(batch,) float32", "high": "(batch,) float32"}
        outside.append(f"low, high: {_ends_in_words(config.scaling)}")
    if not inside:
        outside += [
            f"scaling: {config.scaling.model_dump()}",
            f"geometry: {config.geometry.model_dump()}: cut and resample with cv2 as "
            "gutseg.data.inputs.Window does, and bring the probabilities back",
        ]
    elif scaling is None:
        outside.append("slices: channels in [0, 1]")
        if any(offset := config.data.params.get("offset") or ()):
            outside.append(
                f"offset: {list(offset)}: sample images at (row, column) plus so many pixels"
            )
    return {
        "fold": str(folder),
        "weights_sha256": hash_file(checkpoint.weights_file(folder)),
        "network": config.model.name,
        "classes": list(data.classes),
        "inputs": inputs,
        "output": f"probabilities (batch, {len(data.classes)}, {height}, {width}) float32",
        "inside": [*(["scaling"] if scaling else []), *(["geometry"] if inside else [])],
        "outside": outside,
        "slices_checked": CHECKED,
    }
