"""Run-length text to masks and back beside the usual numpy functions.

python -m benchmarks.rle [--quick] [--out FILE]
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa

from benchmarks.cases import SHAPES, SHARES, SLICES, organ
from benchmarks.measure import Timing, in_turn, machine, main, peak_megabytes, table
from gutseg.masks import rle_column, rle_reading, rle_writing
from gutseg.masks.bit_rows import BitRows

Calls = dict[str, Callable[[], object]]

USUAL_DECODE, USUAL_ENCODE = "split, two asarray, run loop", "concatenate, where, join(str)"


def decode_asarray(text: str, height: int, width: int) -> np.ndarray:
    """The decoder of most Kaggle notebooks."""
    words = text.split()
    starts, lengths = (np.asarray(part, dtype=int) for part in (words[::2], words[1::2]))
    mask = np.zeros(height * width, np.uint8)
    for start, length in zip(starts - 1, lengths, strict=True):
        mask[start : start + length] = 1
    return mask.reshape(height, width)


def decode_map(text: str, height: int, width: int) -> np.ndarray:
    """Python integers instead of arrays."""
    numbers = list(map(int, text.split()))
    mask = np.zeros(height * width, np.uint8)
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        mask[start - 1 : start - 1 + length] = 1
    return mask.reshape(height, width)


def decode_repeat(text: str, height: int, width: int) -> np.ndarray:
    """The fastest in numpy alone: all runs at once."""
    numbers = np.fromstring(text, dtype=np.int64, sep=" ")
    starts, ends = numbers[::2] - 1, numbers[::2] - 1 + numbers[1::2]
    bounds = np.empty(2 * len(starts) + 2, np.int64)
    bounds[0], bounds[-1], bounds[1:-1:2], bounds[2:-1:2] = 0, height * width, starts, ends
    values = np.arange(len(bounds) - 1, dtype=np.uint8) & 1
    return np.repeat(values, np.diff(bounds)).reshape(height, width)


def encode_where(mask: np.ndarray) -> str:
    """The encoder of most Kaggle notebooks."""
    pixels = np.concatenate([[0], mask.ravel(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(number) for number in runs)


def encode_compare(mask: np.ndarray) -> str:
    """Without promotion to 64 bits, and skipping empty masks."""
    if not mask.any():
        return ""
    pixels = np.zeros(mask.size + 2, np.uint8)
    pixels[1:-1] = mask.ravel()
    runs = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs[1::2] -= runs[::2]
    return " ".join(map(str, runs.tolist()))


DECODERS = {
    "gutseg": rle_reading.decode,
    USUAL_DECODE: decode_asarray,
    "split, map(int), run loop": decode_map,
    "np.fromstring, np.repeat": decode_repeat,
}
ENCODERS = {
    "gutseg": rle_writing.encode,
    USUAL_ENCODE: encode_where,
    "uint8 compare, join(map(str))": encode_compare,
}


def run(quick: bool) -> str:
    """Measure everything and return the report in Markdown."""
    rounds = 5 if quick else 15
    shapes = ("M144",) if quick else ("M144", "L144")
    parts = [
        "# Run-length codec\n",
        f"{machine()}. Milliseconds, medians of calls in turn, hot (run for 50 ms just before).\n",
        "## One mask a call\n",
        *(_one_mask(name, rounds) for name in SLICES),
        "## A whole scan: 3 classes, 432 texts\n",
        *(part for shape in shapes for part in _whole_scan(shape, rounds)),
        "## A whole csv column\n",
        _whole_column(scans=10 if quick else 40),
        "## Peak extra memory of a whole scan\n",
        _memory(shapes[0]),
    ]
    return "\n".join(parts)


def _compare(timings: dict[str, Timing], usual: str, title: str) -> str:
    rows = [
        [name, 1e3 * timing.seconds, timings[usual].seconds / timing.seconds]
        for name, timing in timings.items()
    ]
    return table([title, "ms", "times faster than usual"], rows)


def _one_mask(name: str, rounds: int) -> str:
    height, width = SLICES[name]
    mask = organ((8, height, width), 0.05)[4].view(np.uint8)
    text = rle_writing.encode(mask)
    size = f"{name}, {len(text.split()) // 2} runs, {len(text)} characters"

    def often(call: Callable, *arguments) -> None:
        for _ in range(100):
            found = call(*arguments)
        return found

    decoders = {n: partial(often, f, text, height, width) for n, f in DECODERS.items()}
    encoders = {n: partial(often, f, mask) for n, f in ENCODERS.items()}
    decoded, encoded = in_turn(decoders, rounds=rounds), in_turn(encoders, rounds=rounds)
    assert all(np.array_equal(timing.value, mask) for timing in decoded.values())
    assert all(timing.value == text for timing in encoded.values())
    return (
        _compare(decoded, USUAL_DECODE, f"decode 100 times: {size}")
        + "\n"
        + _compare(encoded, USUAL_ENCODE, "encode 100 times")
    )


def _scan(shape: str) -> tuple[np.ndarray, list[str]]:
    """(C, Z, H, W) uint8 masks of one scan and their texts in the order of the csv."""
    masks = np.stack([organ(SHAPES[shape], share) for share in SHARES.values()]).view(np.uint8)
    return masks, rle_writing.encode_scan(BitRows.from_arrays(masks))


def _scan_calls(masks: np.ndarray, texts: list[str]) -> tuple[Calls, Calls]:
    """Every way to decode and to encode one scan."""
    classes, _, height, width = masks.shape
    z_index, class_index = np.divmod(np.arange(len(texts)), classes)
    arrow, bits = pa.array(texts), BitRows.from_arrays(masks)

    def into_bits(source: list[str] | pa.Array) -> BitRows:
        return rle_column.Column(source).decode_scan(class_index, z_index, masks.shape)

    def into_bytes(decode: Callable[..., np.ndarray]) -> np.ndarray:
        volume = np.zeros(masks.shape, np.uint8)
        for text, c, z in zip(texts, class_index, z_index, strict=True):
            volume[c, z] = decode(text, height, width)
        return volume

    def slice_by_slice(encode: Callable[[np.ndarray], str]) -> list[str]:
        return [encode(masks[c, z]) for c, z in zip(class_index, z_index, strict=True)]

    decoders = {
        "gutseg, list of str to bit rows": partial(into_bits, texts),
        "gutseg, Arrow to bit rows": partial(into_bits, arrow),
        **{f"{name}, bytes": partial(into_bytes, call) for name, call in DECODERS.items()},
    }
    encoders = {
        "gutseg, bit rows": partial(rle_writing.encode_scan, bits),
        "gutseg, bytes to bit rows": lambda: rle_writing.encode_scan(BitRows.from_arrays(masks)),
        **{name: partial(slice_by_slice, call) for name, call in ENCODERS.items()},
    }
    return decoders, encoders


def _whole_scan(shape: str, rounds: int) -> list[str]:
    masks, texts = _scan(shape)
    decoded, encoded = (in_turn(calls, rounds=rounds) for calls in _scan_calls(masks, texts))
    for timing in decoded.values():
        found = timing.value
        found = found.to_arrays() if isinstance(found, BitRows) else found
        assert np.array_equal(found, masks)
    assert all(timing.value == texts for timing in encoded.values())
    size = f"{shape}, {sum(map(len, texts)) // 1024} KiB of text"
    return [
        _compare(decoded, f"{USUAL_DECODE}, bytes", f"decode {size}"),
        _compare(encoded, USUAL_ENCODE, f"encode {size}"),
    ]


def _memory(shape: str) -> str:
    decoders, encoders = _scan_calls(*_scan(shape))
    rows = [[f"decode: {name}", peak_megabytes(call)] for name, call in decoders.items()]
    rows += [[f"encode: {name}", peak_megabytes(call)] for name, call in encoders.items()]
    return table([shape, "MB"], rows)


def _whole_column(scans: int) -> str:
    masks, texts = _scan("M144")
    column = pa.array(texts * scans)
    z_index, class_index = (np.tile(i, scans) for i in np.divmod(np.arange(len(texts)), 3))
    scan_index = np.repeat(np.arange(scans), len(texts))

    def ours() -> None:
        texts, order = rle_column.Column(column), np.argsort(scan_index, kind="stable")
        for rows in np.split(order, np.searchsorted(scan_index[order], np.arange(1, scans))):
            texts.decode_scan(class_index[rows], z_index[rows], masks.shape, rows=rows)

    def usual() -> None:
        for text in column.to_pylist():
            decode_asarray(text, *masks.shape[2:])

    calls = {
        "gutseg, bit rows of scan after scan": ours,
        USUAL_DECODE: usual,
    }
    timings = in_turn(calls, rounds=3, budget=5)
    return _compare(timings, USUAL_DECODE, f"decode {len(column):,} rows, {scans} scans of M144")


if __name__ == "__main__":
    main(run)
