"""A ten-line run-length codec that shares nothing with the compiled one, and texts for both."""

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from gutseg.masks.bit_rows import BitRows
from gutseg.masks.rle_column import Column


def plain_encode(mask: np.ndarray) -> str:
    runs, inside = [], False
    for pixel, value in enumerate([*mask.ravel().tolist(), False], start=1):
        if value and not inside:
            runs.append([pixel, 0])
        if value:
            runs[-1][1] += 1
        inside = bool(value)
    return " ".join(f"{start} {length}" for start, length in runs)


def plain_decode(text: str, height: int, width: int) -> np.ndarray | None:
    words = [word for word in text.split(" ") if word]
    if len(words) % 2 or not all(word.isascii() and word.isdigit() for word in words):
        return None
    mask, free = np.zeros(height * width, bool), 1
    for start, length in zip(map(int, words[::2]), map(int, words[1::2]), strict=True):
        if start < free or length < 1 or start + length - 1 > mask.size:
            return None
        mask[start - 1 : start + length - 1] = True
        free = start + length
    return mask.reshape(height, width)


def decode_column(texts, scans, classes, slices, shapes, **options) -> Iterator[BitRows]:
    """Decode rows in any order with the compiled codec, scan by scan: where each row belongs."""
    column = Column(texts)
    scans, classes, slices = (np.asarray(index) for index in (scans, classes, slices))
    for scan, shape in enumerate(shapes):
        rows = np.flatnonzero(scans == scan)
        yield column.decode_scan(classes[rows], slices[rows], shape, rows=rows, **options)


def near_texts() -> st.SearchStrategy[str]:
    """Texts that are almost right: a sorted row of numbers with a blemish now and then."""
    digits = st.lists(st.integers(0, 30), max_size=8).map(lambda n: np.cumsum(n).tolist())
    pieces = digits.map(lambda numbers: [f"{number}" for number in numbers])
    blemish = st.sampled_from(
        ["", " ", "x", "-", "0", "\n", "é", "12345678", "123456789012345678901"]
    )
    return st.builds(
        lambda words, extra, place: " ".join(
            [*words[:place], *([extra] if extra else []), *words[place:]]
        ),
        pieces,
        blemish,
        st.integers(0, 8),
    )


def draw(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Masks from empty over blocks and noise to full."""
    rng = np.random.default_rng(seed)
    noise = rng.random(shape) < rng.choice([0.0, 0.01, 0.5, 0.99, 1.0])
    block = np.zeros(shape, bool)
    block[..., rng.integers(shape[-2]) :, rng.integers(shape[-1]) :] = True
    return [noise, block, noise & block, noise ^ block][rng.integers(4)]
