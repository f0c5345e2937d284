"""Slices per second of `gutseg submit` beside a plain loop over slices with the same networks.

python -m benchmarks.inference [--quick] [--out FILE]
"""

import copy
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import pandas as pd
import torch

from benchmarks.measure import _status, machine, main, table
from benchmarks.reading import write_scan
from gutseg import experiment
from gutseg.config import Config, load
from gutseg.constants import CLASSES
from gutseg.data.index import Issues, list_slices
from gutseg.data.inputs import Stack, neighbours
from gutseg.data.volume import read_file
from gutseg.inference import dealing
from gutseg.inference.ensemble import Ensemble
from gutseg.inference.parts import Part
from gutseg.inference.postprocess import Rule
from gutseg.inference.predictor import Predictor
from gutseg.inference.scan_texts import Texts, scan_texts
from gutseg.jobs import num_cores
from gutseg.masks.bit_rows import BitRows

CLEAR = Path("/proc/self/clear_refs")
SIZE = (266, 266)  # two of three slices of the competition
ROUNDS, SCANS, DEPTH, QUICK_DEPTH = 5, 2, 144, 32
MEMORY_SCANS = 20
CORES = num_cores()
# what is measured: a config, the network's input, how many folds
CASES = (("demo", (64, 96), 1), ("demo", (64, 96), 5), ("bce_dice_unet", (128, 128), 1))


def networks(name: str, size: tuple[int, int], folds: int) -> tuple[Config, list[torch.nn.Module]]:
    """Build untrained networks of a config; their last layer makes organs as rare as they are."""
    changes = [f"geometry={{kind: resize, size: [{size[0]}, {size[1]}]}}", "scaling.kind=stack"]
    config = load(Path("configs") / f"{name}.yaml", changes)
    built = []
    for fold in range(folds):
        torch.manual_seed(fold)
        network = experiment.network(config, config.stack.slices, len(CLASSES))
        convolutions = [part for part in network.modules() if isinstance(part, torch.nn.Conv2d)]
        last = [part for part in convolutions if part.out_channels == len(CLASSES)][-1]
        torch.nn.init.constant_(last.bias, -2)
        built.append(network.eval())
    return config, built


def write_test(folder: Path, scans: int, depth: int) -> pd.DataFrame:
    """Write a test folder of scans that share their files; return its slices, all wanted."""
    source = folder / "png"
    source.mkdir(parents=True)
    paths, _ = write_scan(source, depth, SIZE)
    for scan in range(scans):
        target = folder / "test" / f"case{scan}" / f"case{scan}_day0" / "scans"
        target.mkdir(parents=True)
        for z, path in enumerate(paths):
            os.link(path, target / f"slice_{z + 1:04d}_{SIZE[0]}_{SIZE[1]}_1.50_1.50.png")
    return list_slices(folder / "test", Issues()).assign(wanted=True)


def plain_rle(mask: np.ndarray) -> str:
    """The encoder of most notebooks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.ravel(), [0]]))) + 1
    edges[1::2] -= edges[::2]
    return " ".join(map(str, edges))


@torch.no_grad()
def plain(
    root: Path,
    slices: pd.DataFrame,
    built: list[torch.nn.Module],
    size: tuple[int, int],
    threads: int = 1,
) -> Texts:
    """The loop of most notebooks: five files, one input, every network, three masks a slice."""
    torch.set_num_threads(threads)
    device = next(built[0].parameters()).device
    texts = {}
    files = [str(root / file) for file in slices["file"]]
    planes = neighbours(np.arange(len(files)), len(files), Stack())
    for slice_id, stack in zip(slices["id"], planes, strict=True):
        images = [cv2.imread(files[z], cv2.IMREAD_UNCHANGED).astype(np.float32) for z in stack]
        top = max(max(image.max() for image in images), 1)
        images = [
            cv2.resize(image / top, size[::-1], interpolation=cv2.INTER_AREA) for image in images
        ]
        seen = torch.from_numpy(np.stack(images))[None].to(device)
        found = sum(network(seen).sigmoid() for network in built) / len(built)
        for organ, map_ in zip(CLASSES, found[0].cpu().numpy(), strict=True):
            native = cv2.resize(map_, SIZE, interpolation=cv2.INTER_LINEAR)
            texts[slice_id, organ] = plain_rle(native > 0.5)
    return texts


def ours(
    root: Path,
    slices: pd.DataFrame,
    config: Config,
    built: list[torch.nn.Module],
    kind: type[Ensemble] = Ensemble,
) -> Texts:
    """What `gutseg submit` does between reading its arguments and writing its csv."""
    built = [copy.deepcopy(one).to(memory_format=torch.channels_last) for one in built]
    devices = dealing.devices(None)
    with dealing.threads_of(devices) as threads:
        workers = []
        for device in devices:
            predictors = [
                Predictor(network, experiment.inputs(config), config.predict, device=device)
                for network in built
            ]
            workers.append(kind(predictors, [1.0] * len(built), [Rule()] * len(CLASSES)))
        fill = devices[0].type != "cpu"
        read: Callable[[str], bytes] = lambda file: read_file(root / file)  # noqa: E731
        return scan_texts(slices, read, workers * threads, Issues(), fill=fill)


class Watched(Ensemble):
    """Notes the peak of the process's memory between the ends of two scans."""

    def masks(self, parts: Sequence[Part]) -> list[BitRows]:
        """Predict, then note."""
        found = super().masks(parts)
        with LOCK:
            PEAKS.append(_status("VmHWM") / 1024)
            CLEAR.write_text("5")
        return found


PEAKS: list[float] = []
LOCK = threading.Lock()


def speed(quick: bool) -> str:
    """Time both in turn, after a call of each that is not timed."""
    rows, rounds, depth = [], 3 if quick else ROUNDS, QUICK_DEPTH if quick else DEPTH
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        slices = write_test(root, SCANS, depth)
        first = slices[slices["scan"] == slices["scan"].iloc[0]]
        for name, size, folds in CASES:
            config, built = networks(name, size, folds)
            calls = {
                "plain": (partial(plain, root, built=built, size=size), first),
                "shared": (partial(plain, root, built=built, size=size, threads=CORES), first),
                "ours": (partial(ours, root, config=config, built=built), slices),
            }
            for call, _ in calls.values():
                call(slices=first[:2])
            runs: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
            texts = {}
            for _ in range(rounds):
                for who, (call, wanted) in calls.items():
                    start, spent = time.perf_counter(), time.process_time()
                    texts[who] = call(slices=wanted)
                    took = time.perf_counter() - start, time.process_time() - spent
                    runs[who].append((took[0] / len(wanted), took[1] / len(wanted)))
            _check_same(texts["plain"], texts["ours"])
            shown = f"{config.model.name}, {size[0]}x{size[1]}, {folds} of them"
            rows.append([shown, *_columns(runs)])
    head = ["networks", "plain, one core", f"plain, {CORES} cores", "ours", "ratio"]
    return table([*head, "ratio of medians", "plain, CPU ms", "ours, CPU ms"], rows)


def _columns(runs: dict[str, list[tuple[float, float]]]) -> list[float]:
    """Return slices/s of the fastest runs, ratios over the faster plain loop, processor time."""
    wall = {who: [seconds for seconds, _ in found] for who, found in runs.items()}
    best = {who: 1 / min(found) for who, found in wall.items()}
    ratio = best["ours"] / max(best["plain"], best["shared"])
    middle = min(median(wall[who]) for who in ("plain", "shared")) / median(wall["ours"])
    spent = [min(cpu for _, cpu in runs[who]) * 1e3 for who in ("plain", "ours")]
    return [*best.values(), ratio, middle, *spent]


def _check_same(plain: Texts, ours: Texts) -> None:
    """The plain loop predicts one slice at a time, which changes last bits of floats."""
    same = np.mean([ours[key] == text for key, text in plain.items()])
    if same < 0.9:
        raise AssertionError(f"only {same:.0%} of the masks are the same")


def memory(quick: bool) -> str:
    """Measure the peaks of twenty scans in a row."""
    if not CLEAR.exists():
        return "memory: Linux only\n"
    PEAKS.clear()
    with tempfile.TemporaryDirectory() as folder:
        slices = write_test(Path(folder), MEMORY_SCANS, QUICK_DEPTH if quick else DEPTH)
        name, size, _ = CASES[0]
        config, built = networks(name, size, 1)
        ours(Path(folder), slices, config, built, Watched)
    second, last = PEAKS[1], max(PEAKS[2:])
    return (
        f"Peak memory of the process over {MEMORY_SCANS} scans in a row: {second:,.0f} MB at the "
        f"end of the second, at most {last:,.0f} MB later ({last / second - 1:+.1%}).\n"
    )


def run(quick: bool) -> str:
    """Measure speed and memory, on a GPU where there is one."""
    found = [device for device in dealing.devices(None) if device.type == "cuda"]
    where = ", ".join(map(torch.cuda.get_device_name, found))
    where = where or machine().replace(", one thread each", "")
    depth = QUICK_DEPTH if quick else DEPTH
    return (
        "## Inference\n\n"
        f"Slices per second from PNGs to run-length text, {depth} slices of {SIZE[0]}x{SIZE[1]} a "
        f"scan; plain: one slice after the other. {where}.\n\n"
        f"{speed(quick)}\n{memory(quick)}"
    )


if __name__ == "__main__":
    main(run)
