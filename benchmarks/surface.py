"""Surface measures in millimetres beside MONAI and DeepMind, on the Hausdorff benchmark's pairs.

python -m benchmarks.surface [--quick] [--out FILE]
"""

import math
import os
import warnings
from collections.abc import Callable
from functools import cache, partial

# before the libraries that read them: every candidate gets one thread
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import surface_distance as deepmind
import torch
from monai import metrics as monai

from benchmarks.cases import HOSTILE, SHAPES, SHARES, Pair, organ_pair
from benchmarks.measure import (
    Probe,
    Timing,
    geometric_mean,
    in_turn,
    machine,
    main,
    peak_megabytes,
    table,
)
from gutseg import metrics
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.surface import distances_of_words

Measure = Callable[[np.ndarray, np.ndarray], float]
SPACING, TOLERANCE = (3.0, 1.5, 1.5), 3.0
OURS, MONAI, DEEPMIND = "gutseg", "MONAI", "DeepMind"
ALL = "all four at once"
# where HD95 is compared; without the pairs with an empty mask, on which DeepMind's stops
HARD = [name for name in HOSTILE if "empty" not in name]
QUICK_HARD = ["identical organs", "organ / deformed + corner voxel", "1 % salt / 1 % salt"]


def _ours(call: Callable[..., float], *arguments: float) -> Measure:
    return lambda x, y: call(x, y, *arguments, spacing=SPACING)


def _monai(call: Callable[..., torch.Tensor], *arguments: list[float], **options: float) -> Measure:
    def measure(x: np.ndarray, y: np.ndarray) -> float:
        masks = [torch.from_numpy(mask[None, None]) for mask in (x, y)]
        return float(call(*masks, *arguments, include_background=True, spacing=SPACING, **options))

    return measure


def _deepmind(read: Callable[[dict], float]) -> Measure:
    return lambda x, y: read(deepmind.compute_surface_distances(x, y, SPACING))


MEASURES: dict[str, dict[str, Measure]] = {
    "HD": {
        OURS: _ours(metrics.hausdorff),
        MONAI: _monai(monai.compute_hausdorff_distance),
        DEEPMIND: _deepmind(lambda found: deepmind.compute_robust_hausdorff(found, 100)),
    },
    "HD95": {
        OURS: _ours(metrics.hausdorff_percentile, 95),
        MONAI: _monai(monai.compute_hausdorff_distance, percentile=95),
        DEEPMIND: _deepmind(lambda found: deepmind.compute_robust_hausdorff(found, 95)),
    },
    "surface Dice": {
        OURS: _ours(metrics.surface_dice, TOLERANCE),
        MONAI: _monai(monai.compute_surface_dice, [TOLERANCE]),
        DEEPMIND: _deepmind(
            lambda found: deepmind.compute_surface_dice_at_tolerance(found, TOLERANCE)
        ),
    },
    "mean distance": {
        OURS: _ours(metrics.average_surface_distance),
        MONAI: _monai(monai.compute_average_surface_distance, symmetric=True),
        DEEPMIND: _deepmind(
            lambda found: float(np.mean(deepmind.compute_average_surface_distance(found)))
        ),
    },
}


def run(quick: bool) -> str:
    """Measure everything and return the report in Markdown."""
    torch.set_num_threads(1)
    # MONAI and DeepMind call what newer torch and scipy deprecate
    warnings.simplefilter("ignore")
    pairs = [f"{shape}/{size}" for shape in SHAPES for size in SHARES]
    pairs = [name for name in pairs if name.startswith("M144")] if quick else pairs
    timings = {pair: _measured(pair, rounds=3 if quick else 5) for pair in pairs}
    hard = _hard_table(QUICK_HARD if quick else HARD)
    return "\n".join(
        [
            "# Surface measures in millimetres\n",
            f"{machine()}. Voxels of 3 x 1.5 x 1.5 mm, tolerance {TOLERANCE:g} mm; milliseconds "
            "from two bool arrays to the number, the fastest of calls in turn; geometric means "
            f"over {len(pairs)} pairs of an organ and its prediction.\n",
            _time_table(timings),
            _value_text(timings),
            f"\nPeak extra memory on {pairs[-1]}, MB: {_memory(pairs[-1])}.\n",
            "## Hostile pairs, HD95\n",
            hard,
        ]
    )


@cache
def _pair(name: str) -> Pair:
    return HOSTILE[name]() if name in HOSTILE else organ_pair(*name.split("/"))


def _measured(pair: str, rounds: int) -> dict[tuple[str, str], Timing]:
    x, y = _pair(pair)
    calls = {
        (name, tool): partial(measure, x, y)
        for name, tools in MEASURES.items()
        for tool, measure in tools.items()
    }
    words = [BitRows.from_arrays(mask[None]).words[0] for mask in (x, y)]
    calls[ALL, OURS] = partial(_all_at_once, *words)
    timings = in_turn(calls, rounds=rounds, budget=1.0)
    for timing in timings.values():
        # a median of few runs says more about other programs than about a call of milliseconds
        timing.seconds = min(timing.runs)
    _pair.cache_clear()
    return timings


def _all_at_once(x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    found = distances_of_words(x, y, spacing=SPACING)
    return (found.percentile(100), found.percentile(95), found.within(TOLERANCE), found.mean())


def _time_table(timings: dict[str, dict[tuple[str, str], Timing]]) -> str:
    def mean(name: str, tool: str) -> float:
        return geometric_mean(found[name, tool].seconds for found in timings.values())

    rows, least = [], math.inf
    for name, tools in MEASURES.items():
        own = mean(name, OURS)
        ratios = [mean(name, tool) / own for tool in tools if tool != OURS]
        rows.append([name, *(1e3 * mean(name, tool) for tool in tools), *ratios])
        for found in timings.values():
            parts = [found[name, tool].seconds / found[name, OURS].seconds for tool in tools]
            least = min(least, *parts[1:])
    rows.append([f"{ALL}, from bit rows", 1e3 * mean(ALL, OURS), *["-"] * 4])
    header = ["", OURS, MONAI, DEEPMIND, f"{MONAI} / {OURS}", f"{DEEPMIND} / {OURS}"]
    return table(header, rows) + f"\nThe smallest ratio of any pair and measure is {least:.0f}.\n"


def _value_text(timings: dict[str, dict[tuple[str, str], Timing]]) -> str:
    """Say how far the values of both tools are from ours."""
    lines = []
    for name in MEASURES:
        ours = np.array([found[name, OURS].value for found in timings.values()])
        for tool in (MONAI, DEEPMIND):
            theirs = np.array([found[name, tool].value for found in timings.values()])
            low, high = (theirs - ours).min(), (theirs - ours).max()
            same = np.allclose(ours, theirs, rtol=1e-5, atol=0)
            lines.append(f"{name}: {tool} {'the same' if same else f'{low:+.3f} to {high:+.3f}'}")
    return f"Values beside ours. {'; '.join(lines)}.\n"


def _memory(pair: str) -> str:
    x, y = _pair(pair)
    tools = MEASURES["HD95"].items()
    found = {tool: peak_megabytes(partial(measure, x, y)) for tool, measure in tools}
    return ", ".join(f"{tool} {megabytes:.0f}" for tool, megabytes in found.items())


def _peer_call(tool: str, case: str) -> Callable[[], float]:
    """What the probe's process is to run."""
    warnings.simplefilter("ignore")
    return partial(MEASURES["HD95"][tool], *_pair(case))


def _hard_table(cases: list[str]) -> str:
    probe, rows, behind = Probe(), [], []
    for case in cases:
        x, y = _pair(case)
        own = in_turn({OURS: partial(MEASURES["HD95"][OURS], x, y)}, rounds=3)[OURS]
        # once each, in a process that can be stopped
        others = {tool: probe(_peer_call, tool, case) for tool in (MONAI, DEEPMIND)}
        rows.append([case, f"{own.value:.4g}", *(1e3 * s for s in (own.seconds, *others.values()))])
        behind += [f"{case}: {tool}" for tool, seconds in others.items() if seconds <= own.seconds]
        _pair.cache_clear()
    probe.close()
    verdict = f"Behind: {'; '.join(behind)}." if behind else "Ahead of both in every case."
    return table(["pair, 144x266x266", "mm", OURS, MONAI, DEEPMIND], rows) + f"\n{verdict}\n"


if __name__ == "__main__":
    main(run)
