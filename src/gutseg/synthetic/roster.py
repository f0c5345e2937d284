"""Which patients come on which days, the voxel grid of every scan, and its random numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gutseg.constants import NATIVE_SIZES
from gutseg.registry import shown

# Streams of random numbers: one for every purpose, so that none disturbs another. The stream is
# the last word of the seed and must not be 0: numpy's SeedSequence takes [1] and [1, 0] for the
# same seed. What stays the same on every day is drawn for day 0, what concerns all patients for
# case 0 as well.
PATIENT, DAY, NOISE, SCANNER = 1, 2, 3, 4
CASE_NUMBERS, VISITS, FIRST_SIZES, DAYS_SEEN, DAYS_UNSEEN = 5, 6, 7, 8, 9
SIGNALS, CONTENTS, RECEIVER = 11, 12, 13

# patients in train, more than a hundred times the competition's 85
MOST_CASES = 10_000

# Patients with 1, 2, ... 6 days: the real counts of the 85 training cases. `small` has fewer
# days as well: 12 cases give 24 scans.
DAY_WEIGHTS = {"small": (1, 2, 1), "full": (9, 8, 45, 2, 20, 1)}

LARGE_SIZE, RARE_SIZES = (360, 310), ((276, 276), (234, 234))
# 22 of the 85 real patients are scanned with 360 x 310 pixels.
LARGE_SHARE = 22 / 85
# The real share of the rare sizes among the scans: 15 and 1 of 274.
RARE_SHARE = (15 / 274, 1 / 274)

# One patient in this many is wholly unseen, and one training patient in as many comes back on
# a later, hidden day: together about a quarter as many scans as there are in train.
HIDDEN_EVERY = 6


def random(seed: int, case: int, day: int, stream: int) -> np.random.Generator:
    """Return the random numbers of one purpose; a scan depends on (seed, case, day) alone."""
    return np.random.default_rng([seed, case, day, stream])


@dataclass(frozen=True)
class Voxels:
    """Voxel grid of one scan, and where its centres lie."""

    # in voxels
    width: int
    height: int
    num_slices: int
    # edges of a voxel: in a slice and through slices
    spacing_mm: float
    thickness_mm: float
    # where the first slice begins, below the head end of a 144-slice scan
    top_mm: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, H, W)."""
        return self.num_slices, self.height, self.width

    @cached_property
    def z(self) -> np.ndarray:
        """(Z,), mm below the head end."""
        centres = np.arange(self.num_slices) + 0.5
        return (self.top_mm + self.thickness_mm * centres).astype(np.float32)

    @cached_property
    def y(self) -> np.ndarray:
        """(H,), mm from the middle, positive towards the back."""
        return self._centred(self.height)

    @cached_property
    def x(self) -> np.ndarray:
        """(W,), mm from the middle, positive towards the patient's left."""
        return self._centred(self.width)

    def _centred(self, count: int) -> np.ndarray:
        return ((np.arange(count) - (count - 1) / 2) * self.spacing_mm).astype(np.float32)

    def box(self, low: Iterable[float], high: Iterable[float]) -> tuple[slice, slice, slice]:
        """Return the voxels between two points (z, y, x), cut at the edge of the scan."""
        z, y, x = (
            slice(int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b, side="right")))
            for axis, a, b in zip((self.z, self.y, self.x), low, high, strict=True)
        )
        return z, y, x


@dataclass(frozen=True)
class Visit:
    """One patient on one day."""

    case: int
    day: int
    voxels: Voxels
    # whether the patient needs the large field of view
    is_large: bool

    @property
    def name(self) -> str:
        """As the competition names a scan: case2_day1."""
        return f"case{self.case}_day{self.day}"

    def file_name(self, slice_number: int) -> str:
        """slice_0001_266_266_1.50_1.50.png: the width comes first."""
        g = self.voxels
        spacing = f"{g.spacing_mm:.2f}"
        return f"slice_{slice_number:04d}_{g.width}_{g.height}_{spacing}_{spacing}.png"


def voxels(size: tuple[int, int], preset: str) -> Voxels:
    """Return the voxel grid of a native (width, height) under a preset.

    `small` covers the same millimetres with half the rows and columns and a third of the slices.
    """
    if size not in NATIVE_SIZES:
        raise ValueError(f"size {size} is not one of {sorted(NATIVE_SIZES)} (width, height)")
    is_short = size == (276, 276)
    spacing, num_slices, top = (1.63, 80, 105.0) if is_short else (1.50, 144, 0.0)
    if preset == "full":
        return Voxels(*size, num_slices, spacing, 3.0, top)
    few = round(num_slices / 3)
    return Voxels(size[0] // 2, size[1] // 2, few, 2 * spacing, 3.0 * num_slices / few, top)


def roster(cases: int, seed: int, preset: str) -> tuple[list[Visit], list[Visit]]:
    """Return the scans of train and of the hidden test, each in order of case and day.

    A scan stays what it is when `cases` grows; only the lists get longer.
    """
    if cases < 1:
        raise ValueError(f"cases is {cases}; at least 1 is needed")
    if cases > MOST_CASES:
        raise ValueError(f"cases is {cases}; at most {MOST_CASES} are possible")
    if preset not in DAY_WEIGHTS:
        raise ValueError(f"preset {shown(preset)} is unknown; choices: {', '.join(DAY_WEIGHTS)}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; a whole number from 0 to {2**32 - 1} is needed")
    train, hidden = [], []
    case, place, num_seen, num_unseen = 0, 0, 0, 0
    rng = random(seed, 0, 0, CASE_NUMBERS)
    while num_seen < cases or num_unseen * HIDDEN_EVERY < cases:
        case += int(rng.integers(1, 4))  # with gaps as the competition's: 2, 6, 7, 9, 11, 15, ...
        if place % (HIDDEN_EVERY + 1) == 1:
            num_days = _num_days(seed, num_unseen, preset, DAYS_UNSEEN)
            hidden += _visits(seed, case, preset, num_days)
            num_unseen += 1
        elif num_seen < cases:
            num_days = _num_days(seed, num_seen, preset, DAYS_SEEN)
            comes_back = num_seen % HIDDEN_EVERY == 0
            visits = _visits(seed, case, preset, num_days + comes_back, num_seen)
            train += visits[:num_days]
            hidden += visits[num_days:]
            num_seen += 1
        place += 1
    return train, hidden


def _num_days(seed: int, index: int, preset: str, stream: int) -> int:
    """Deal the number of days of a patient from a shuffled deck, so that shares come out even."""
    deck = np.repeat(np.arange(1, len(DAY_WEIGHTS[preset]) + 1), DAY_WEIGHTS[preset])
    turn, card = divmod(index, len(deck))
    return int(random(seed, turn, 0, stream).permutation(deck)[card])


def _visits(
    seed: int, case: int, preset: str, num_days: int, index: int = MOST_CASES
) -> list[Visit]:
    """Return the scans of one patient. index: place among the training patients, if it is one.

    The first scans of the first four training patients take the four native sizes, so that
    even a tiny folder has them all.
    """
    rng = random(seed, case, 0, VISITS)
    gaps = rng.integers(1, 9, 16)[:num_days]
    # A third of the real patients has no scan before the treatment (day 0).
    days = np.cumsum(gaps) - (gaps[0] if rng.random() < 0.67 else 0)
    is_large, first = bool(rng.random() < LARGE_SHARE), []
    if index < len(NATIVE_SIZES):
        order = random(seed, 0, 0, FIRST_SIZES).permutation(len(NATIVE_SIZES))
        first = [sorted(NATIVE_SIZES)[order[index]]]
        is_large = first == [LARGE_SIZE]
    sizes = [_size(rng, is_large) for _ in days]
    sizes[: len(first)] = first
    return [
        Visit(case, int(day), voxels(size, preset), is_large)
        for day, size in zip(days, sizes, strict=True)
    ]


def _size(rng: np.random.Generator, is_large: bool) -> tuple[int, int]:
    """Draw (width, height) of one day; days of a patient may differ, as they do in 15 of 85."""
    draw = rng.random()
    if is_large:
        return LARGE_SIZE
    if draw < RARE_SHARE[0]:
        return RARE_SIZES[0]
    return RARE_SIZES[1] if draw < sum(RARE_SHARE) else (266, 266)
