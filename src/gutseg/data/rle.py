"""Run-length codec: row-major, 1-indexed `start length` pairs, as in train.csv."""

import numpy as np


def encode(mask: np.ndarray) -> str:
    """Write a mask as run-length text; an empty mask gives "".

    mask: (H, W), non-zero = inside. Runs are sorted, as long as they can be, and may go on into
    the next row.
    """
    flat = np.concatenate([[False], np.asarray(mask).astype(bool).ravel(), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges[1::2] -= edges[::2]
    return " ".join(map(str, edges.tolist()))


def decode(text: str | None, height: int, width: int, *, row: str = "") -> np.ndarray:
    """Read run-length text into a (H, W) bool mask; None, NaN and "" are empty.

    row: how errors name the row. Runs that touch and numbers with leading zeros or extra
    spaces are accepted. Raises ValueError naming the row, the pair (from 1) and the value.
    """
    flat = np.zeros(height * width, dtype=bool)
    if text is None or text != text:
        return flat.reshape(height, width)
    where = f"{row}: " if row else ""
    words = text.split()
    numbers = []
    for position, word in enumerate(words):
        if not (word.isascii() and word.isdigit()):
            raise ValueError(
                f"{where}pair {position // 2 + 1}: {word!r} is not a whole number of digits"
            )
        numbers.append(int(word))
    if len(numbers) % 2:
        raise ValueError(
            f"{where}pair {len(numbers) // 2 + 1}: start {numbers[-1]} has no length; "
            f"expected `start length` pairs, found {len(numbers)} numbers"
        )
    previous_end = 1
    for pair, (start, length) in enumerate(zip(numbers[::2], numbers[1::2], strict=True), 1):
        here = f"{where}pair {pair}: start {start} length {length}"
        if start < 1 or length < 1:
            raise ValueError(f"{here} is not positive; starts count from 1, lengths too")
        if start < previous_end:
            raise ValueError(f"{here} begins before the previous run ends at {previous_end - 1}")
        if start + length - 1 > flat.size:
            raise ValueError(
                f"{here} runs past the end of a {height}x{width} slice ({flat.size} pixels)"
            )
        flat[start - 1 : start - 1 + length] = True
        previous_end = start + length
    return flat.reshape(height, width)
