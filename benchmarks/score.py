"""The whole scorer at the size of the competition: csv against csv, and a search's candidate.

274 phantoms of native size (259 of 144 slices, 15 of 80), 115,488 rows, drawn once into
build/speed/score: about ten minutes on two cores.

python -m benchmarks.score [--quick] [--out FILE]
"""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from scipy import ndimage

from benchmarks.cases import SHAPES, SHARES, organ, prediction
from benchmarks.hausdorff_peers import PEERS
from benchmarks.measure import in_turn, machine, main, table
from benchmarks.rle import decode_asarray
from gutseg.constants import CLASSES
from gutseg.inference.postprocess import Rule, to_byte
from gutseg.inference.search import Search, Volume
from gutseg.masks import rle_column, rle_writing
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import METRICS, combine, compare, summarise
from gutseg.progress import progress
from gutseg.synthetic import Visit, draw_labels, roster

FOLDER = Path("build/speed/score")
SEED = 0
LONG, SHORT = 259, 15
DECIDED = to_byte(0.5)


def scans(quick: bool) -> list[Visit]:
    """Phantom scans in the numbers of the competition, 259 long and 15 short ones."""
    known = [scan for part in roster(110, SEED, "full") for scan in part]
    long = [scan for scan in known if scan.voxels.num_slices == 144]
    short = [scan for scan in known if scan.voxels.num_slices == 80]
    return long[: 20 if quick else LONG] + short[: 2 if quick else SHORT]


def probabilities(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(Z, H, W) bool -> uint8: the organ smoothed, its edge moved by a few pixels, false specks.

    One volume in three has a speck of 25 voxels somewhere, one in three of those two.
    """
    found = np.zeros(truth.shape, np.uint8)
    if truth.any():
        spans = [np.flatnonzero(truth.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        box = tuple(slice(max(span[0] - 6, 0), span[-1] + 7) for span in spans)
        soft = ndimage.gaussian_filter(truth[box].astype(np.float32), (0.6, 1.5, 1.5))
        coarse = rng.standard_normal([side // 8 + 2 for side in soft.shape]).astype(np.float32)
        zoom = [side / grid for side, grid in zip(soft.shape, coarse.shape, strict=True)]
        noise = ndimage.zoom(coarse, zoom, order=1)
        found[box] = (255 * (soft + 0.12 * noise)).clip(0, 255)
    for _ in range(rng.choice(3, p=[0.67, 0.22, 0.11])):
        z, y, x = (rng.integers(side - 5) for side in truth.shape)
        found[z, y : y + 5, x : x + 5] = 200
    return found


def _rows(scan: Visit, masks: np.ndarray) -> str:
    texts = rle_writing.encode_scan(BitRows.from_arrays(masks))
    names = (
        f"{scan.name}_slice_{z + 1:04d},{organ}" for z in range(masks.shape[1]) for organ in CLASSES
    )
    return "".join(f"{name},{text}\n" for name, text in zip(names, texts, strict=True))


def _draw(scan: Visit, folder: Path) -> None:
    """Write one scan's share of the three csv files and its probabilities."""
    labels = draw_labels(SEED, scan)
    truth = np.stack([labels >> bit & 1 for bit in range(len(CLASSES))]).astype(bool)
    rng = np.random.default_rng([SEED, scan.case, scan.day])
    found = np.stack([probabilities(organ, rng) for organ in truth])
    part = folder / "parts" / scan.name
    part.mkdir(parents=True, exist_ok=True)
    (part / "truth").write_text(_rows(scan, truth))
    (part / "submission").write_text(_rows(scan, found >= DECIDED))
    np.savez_compressed(part / "masks.npz", truth=labels, probabilities=found)
    g = scan.voxels
    ids = [f"{scan.name}_slice_{z + 1:04d},{g.width},{g.height}\n" for z in range(g.num_slices)]
    (part / "slices").write_text("".join(ids))


def draw(folder: Path, wanted: list[Visit]) -> None:
    """Draw all scans that are not there and put the csv files together."""
    missing = [scan for scan in wanted if not (folder / "parts" / scan.name / "slices").is_file()]
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(
        cores, get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        jobs = [pool.submit(_draw, scan, folder) for scan in missing]
        for job in progress(as_completed(jobs), total=len(jobs), desc="draw", unit="scan"):
            job.result()
    heads = {"truth": "id,class,segmentation", "submission": "id,class,predicted"}
    for name, head in (heads | {"slices": "id,width,height"}).items():
        parts = [(folder / "parts" / scan.name / name).read_text() for scan in wanted]
        (folder / f"{name}.csv").write_text(head + "\n" + "".join(parts))


def _watch(pid: int) -> list[float]:
    """Follow the peak resident memory of a process, in MB; its rusage would begin with ours."""
    peak, status = [float("nan")], Path(f"/proc/{pid}/status")

    def follow() -> None:
        with suppress(OSError, StopIteration):
            while True:
                lines = status.read_text().splitlines()
                peak[0] = next(int(x.split()[1]) for x in lines if x.startswith("VmHWM")) / 1024
                time.sleep(0.005)

    threading.Thread(target=follow, daemon=True).start()
    return peak


def command_line(folder: Path, rounds: int) -> str:
    """Time `gutseg score` as a user runs it: a new process, imports and parsing included."""
    files = [str(folder / f"{name}.csv") for name in ("submission", "truth", "slices")]
    verb = [str(Path(sys.executable).parent / "gutseg"), "score", files[0]]
    verb += ["--truth", files[1], "--slices", files[2]]
    seconds, peaks = [], []
    for _ in range(rounds + 1):  # the first one may compile
        start = time.perf_counter()
        process = subprocess.Popen(verb, stdout=subprocess.PIPE, text=True)
        peak = _watch(process.pid)
        printed = process.communicate()[0]
        assert process.returncode == 0
        seconds.append(time.perf_counter() - start)
        peaks.append(peak[0])
    rows = Path(files[1]).read_text().count("\n") - 1
    header = [f"gutseg score, {rows:,} rows against {rows:,}", "seconds", "peak MB"]
    return table(header, [[printed.splitlines()[-1], median(seconds[1:]), max(peaks)]])


def candidates(folder: Path, wanted: list[Visit]) -> str:
    """Time one choice of a blend search over all volumes, from the least to the most cached."""
    found: list[list[Volume]] = [[] for _ in CLASSES]
    for scan in progress(wanted, desc="volumes", unit="scan"):
        with np.load(folder / "parts" / scan.name / "masks.npz") as stored:
            for bit, volumes in enumerate(found):
                truth = (stored["truth"] >> bit & 1).astype(bool)
                volumes.append(Volume.crop(stored["probabilities"][None, bit], truth, to_byte(0.2)))
    search = Search(found, METRICS["default"], os.cpu_count())

    def timed(*rules: Rule) -> float:
        start = time.perf_counter()
        search.score((1.0,), rules)
        return time.perf_counter() - start

    timed(*[Rule(0.2)] * 3)  # compiles
    new = [timed(*[Rule(cut)] * 3) for cut in (0.3, 0.4, 0.5, 0.6)]
    first = [timed(*[Rule(cut, 50)] * 3) for cut in (0.35, 0.45, 0.55, 0.65)]
    rest = [timed(*[Rule(0.55, smallest, gate)] * 3) for smallest, gate in ((70, 0.6), (90, 0.7))]
    one = [timed(Rule(0.5), Rule(0.55, 250), Rule(0.5)), timed(Rule(0.5), Rule(0.5), Rule(0.6, 9))]
    rows = [
        ["three new thresholds", median(new)],
        ["three new thresholds and a smallest component: all is labelled", median(first)],
        ["known thresholds, new component sizes and gates", median(rest)],
        ["one class changed", median(one)],
    ]
    return table([f"one candidate over {sum(map(len, found))} volumes", "seconds"], rows)


def whole_path(rounds: int) -> str:
    """Time text → score of one M144 scan beside the usual decoder, numpy and MONAI."""
    shape = SHAPES["M144"]
    shares = list(SHARES.values())[:2] + [0.01]
    masks = [np.stack([make(shape, share) for share in shares]) for make in (prediction, organ)]
    texts = [rle_writing.encode_scan(BitRows.from_arrays(mask)) for mask in masks]
    z, classes = np.divmod(np.arange(len(texts[0])), len(CLASSES))
    size = (len(CLASSES), *shape)
    metric = METRICS["default"]
    columns = [rle_column.Column(text) for text in texts]
    monai = PEERS["MONAI compute_hausdorff_distance"]()

    def ours() -> float:
        rows = [column.decode_scan(classes, z, size) for column in columns]
        return summarise([compare("scan", *rows, metric)], metric).score

    def usual() -> float:
        pair = []
        for text in texts:
            volume = np.zeros(size, bool)
            for row, words in enumerate(text):
                volume[classes[row], z[row]] = decode_asarray(words, *shape[1:])
            pair.append(volume)
        common = (pair[0] & pair[1]).sum((2, 3))
        total = pair[0].sum((2, 3)) + pair[1].sum((2, 3))
        dice = (2 * common[total > 0] / total[total > 0]).mean()
        # voxels, not shares of the volume: MONAI's spacing would do the same work
        far = np.mean([monai(p, g) for p, g in zip(*pair, strict=True)])
        return combine(dice, far)

    timings = in_turn({"gutseg": ours, "usual decode, numpy, MONAI": usual}, rounds=rounds)
    slow = timings["usual decode, numpy, MONAI"].seconds
    rows = [[name, 1e3 * t.seconds, slow / t.seconds] for name, t in timings.items()]
    return table(["text to score, one M144 scan, one thread", "ms", "times faster"], rows)


def run(quick: bool) -> str:
    """Measure everything and return the report in Markdown."""
    wanted = scans(quick)
    folder = FOLDER / ("quick" if quick else "full")
    draw(folder, wanted)
    parts = [
        "# Scorer\n",
        f"{machine()} (the first and the second table: all cores).\n",
        command_line(folder, 2 if quick else 5),
        candidates(folder, wanted),
        whole_path(3),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    main(run)
