"""Exact Hausdorff distance of whole scans beside the public routes.

python -m benchmarks.hausdorff [--quick] [--out FILE]
"""

import math
import os
from collections.abc import Callable
from functools import cache, partial

# before the libraries that read them: every candidate gets one thread
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.cases import HOSTILE, SHAPES, SHARES, Pair, organ_pair
from benchmarks.hausdorff_peers import EXACT, PEERS, UNBOUNDED
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
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics import hausdorff_distance

ARRAYS, BITS, SURFACE = "gutseg, bool arrays", "gutseg, bit rows", "gutseg, surface, bool arrays"
COLD_PEERS = ("MONAI compute_hausdorff_distance", "scipy directed_hausdorff, X\\Y to surface")
# hits the limit of 20 s in half of the hostile cases
SLOWEST = "scipy directed_hausdorff, all voxels"
QUICK_HOSTILE = ("identical organs", "one inner voxel missing", "1 % salt / 1 % salt")


def run(quick: bool) -> str:
    """Measure everything and return the report in Markdown."""
    peers = {name: call for name, make in PEERS.items() if (call := make()) is not None}
    if quick:
        del peers[SLOWEST]
    probe = Probe()
    pairs = {f"{shape}/{size}": None for shape in SHAPES for size in SHARES}
    if quick:
        pairs = {name: None for name in pairs if name.startswith("M144")}
    organs = {name: _measure(name, peers, probe, 3 if quick else 7) for name in pairs}
    hostile = {
        name: _measure(name, peers, probe, 3) for name in (QUICK_HOSTILE if quick else HOSTILE)
    }
    probe.close()
    missing = sorted(set(PEERS) - set(peers) - {SLOWEST})
    floor = _floor_table("M144/bowel", peers, rounds=5 if quick else 15)
    parts = [
        "# Hausdorff distance\n",
        f"{machine()}. Milliseconds, medians of calls in turn, hot (each has just run on the same "
        "pair for 50 ms); peers take bool arrays.\n",
        f"Not installed, not measured: {', '.join(missing)}.\n" if missing else "",
        "## Organ pairs\n",
        _organ_table(organs, peers),
        "## Hostile pairs\n",
        _hostile_table(hostile),
        "## Hot, cold and reading both masks once\n",
        floor,
    ]
    return "\n".join(parts)


@cache
def _pair(name: str) -> Pair:
    return HOSTILE[name]() if name in HOSTILE else organ_pair(*name.split("/"))


def _peer_call(name: str, case: str) -> Callable[[], float]:
    """What the probe's process is to run."""
    return partial(PEERS[name](), *_pair(case))


def _measure(
    case: str, peers: dict[str, Callable[..., float]], probe: Probe, rounds: int
) -> dict[str, Timing]:
    x, y = _pair(case)
    bits = [BitRows.from_arrays(mask[None]).words[0] for mask in (x, y)]
    calls = {
        ARRAYS: partial(hausdorff_distance.symmetric, x, y),
        BITS: partial(hausdorff_distance.symmetric, *bits),
        SURFACE: partial(hausdorff_distance.symmetric, x, y, surface=True),
    }
    slow = {}
    for name, call in peers.items():
        if not (x.any() and y.any()):
            continue
        if name in UNBOUNDED and math.isinf(probe(_peer_call, name, case)):
            slow[name] = Timing()
            continue
        calls[name] = partial(call, x, y)
    timings = in_turn(calls, rounds=rounds) | slow
    _pair.cache_clear()
    return timings


def _organ_table(
    organs: dict[str, dict[str, Timing]], peers: dict[str, Callable[..., float]]
) -> str:
    memory_case = list(organs)[-1]
    x, y = _pair(memory_case)
    calls = {
        ARRAYS: hausdorff_distance.symmetric,
        SURFACE: partial(hausdorff_distance.symmetric, surface=True),
    }
    memory = {name: peak_megabytes(partial(call, x, y)) for name, call in (calls | peers).items()}
    bits = [BitRows.from_arrays(mask[None]).words[0] for mask in (x, y)]
    memory[BITS] = peak_megabytes(partial(hausdorff_distance.symmetric, *bits))
    names = sorted((ARRAYS, BITS, SURFACE, *peers), key=lambda name: _mean(organs, name))
    own = _mean(organs, ARRAYS)
    rows = [
        [
            name,
            "surface" if name not in EXACT else "voxels",
            *(1e3 * timings[name].seconds for timings in organs.values()),
            1e3 * _mean(organs, name),
            _mean(organs, name) / own,
            memory[name],
        ]
        for name in names
    ]
    header = ["method", "computes", *organs, "mean", "time / gutseg's", f"peak MB, {memory_case}"]
    best = geometric_mean(
        min(timings[name].seconds for name in peers if name in EXACT) / timings[ARRAYS].seconds
        for timings in organs.values()
    )
    wrong = [
        f"{name} in {case}: {timings[name].value} for {timings[ARRAYS].value}"
        for case, timings in organs.items()
        for name in (BITS, *peers)
        if name in EXACT
        and not math.isclose(timings[name].value, timings[ARRAYS].value, rel_tol=1e-5)
    ]
    monai = _mean(organs, "MONAI compute_hausdorff_distance") / own
    return (
        table(header, rows)
        + f"\nFrom bool arrays: {monai:.0f} times faster than MONAI, {best:.0f} times faster than "
        "the best exact peer of each pair (geometric means).\n"
        + (f"\nDifferent values: {'; '.join(wrong)}.\n" if wrong else "\nExact peers agree.\n")
    )


def _mean(organs: dict[str, dict[str, Timing]], name: str) -> float:
    return geometric_mean(timings[name].seconds for timings in organs.values())


def _hostile_table(hostile: dict[str, dict[str, Timing]]) -> str:
    names = list(dict.fromkeys(name for timings in hostile.values() for name in timings))
    rows, behind = [], []
    for case, timings in hostile.items():
        times = {name: 1e3 * timing.seconds for name, timing in timings.items()}
        rows.append(
            [case, f"{timings[BITS].value:.4g}", *(times.get(name, math.nan) for name in names)]
        )
        for name, other in times.items():
            own = times[ARRAYS if name in EXACT else SURFACE]
            if "gutseg" not in name and other <= own:
                behind.append(f"{case}: {name} {other:.1f} <= {own:.1f} ms")
    verdict = f"Behind: {'; '.join(behind)}." if behind else "Ahead of every peer in every case."
    return table(["pair, 144x266x266", "voxel distance", *names], rows) + f"\n{verdict}\n"


def _floor_table(case: str, peers: dict[str, Callable[..., float]], *, rounds: int) -> str:
    x, y = _pair(case)
    bits = [BitRows.from_arrays(mask[None]).words[0] for mask in (x, y)]
    flat = [mask.reshape(-1)[: mask.size // 8 * 8].view(np.uint64) for mask in (x, y)]
    calls = {
        "numpy reads both byte masks once": lambda: [np.bitwise_or.reduce(m) for m in flat],
        "numpy reads both bit masks once": lambda: [
            np.bitwise_or.reduce(m.reshape(-1)) for m in bits
        ],
        ARRAYS: partial(hausdorff_distance.symmetric, x, y),
        BITS: partial(hausdorff_distance.symmetric, *bits),
        **{name: partial(peers[name], x, y) for name in peers if name in COLD_PEERS},
    }
    waste = np.zeros(64 * 2**20, np.uint64)
    hot = in_turn(calls, rounds=rounds)
    cold = in_turn(calls, rounds=rounds, before=lambda: waste.__iadd__(np.uint64(1)))
    rows = [[name, 1e3 * hot[name].seconds, 1e3 * cold[name].seconds] for name in calls]
    return table([f"{case}, ms", "hot", "after 512 MB of other memory"], rows)


if __name__ == "__main__":
    main(run)
