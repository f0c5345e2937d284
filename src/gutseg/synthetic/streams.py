"""Streams of random numbers: one for every purpose, so that none disturbs another.

A scan depends on (seed, case, day) alone: not on how many others there are, nor on the order
in which they are drawn.
"""

import numpy as np

# The stream is the last word of the seed and must not be 0: numpy's SeedSequence takes [1] and
# [1, 0] for the same seed. What stays the same on every day is drawn for day 0, what concerns
# all patients for case 0 as well.
PATIENT, DAY, NOISE, SCANNER = 1, 2, 3, 4
CASE_NUMBERS, VISITS, FIRST_SIZES, DAYS_SEEN, DAYS_UNSEEN = 5, 6, 7, 8, 9
SIGNALS, CONTENTS, RECEIVER = 11, 12, 13


def random(seed: int, case: int, day: int, stream: int) -> np.random.Generator:
    """Return the random numbers of one purpose."""
    return np.random.default_rng([seed, case, day, stream])
