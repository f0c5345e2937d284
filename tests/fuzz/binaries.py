"""Mutators of PNGs, arrays, weights and tables: valid containers with the wrong content."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tests.fuzz.mutators import Mutator, chunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IHDR_END = 8 + 25  # signature, then length, kind, 13 bytes and checksum of the first chunk


def _picture(change: Callable[[np.ndarray, Random], np.ndarray], suffix: str = ".png") -> Mutator:
    def mutate(data: bytes, rng: Random) -> bytes:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return cv2.imencode(suffix, change(image, rng))[1].tobytes()

    return mutate


def _header(change: Callable[[list[int], Random], None]) -> Mutator:
    """Make a mutator of width, height, bits, colour, compression, filter, interlacing."""

    def mutate(data: bytes, rng: Random) -> bytes:
        fields = list(struct.unpack(">IIBBBBB", data[16:29]))
        change(fields, rng)
        return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", *fields)) + data[IHDR_END:]

    return mutate


def _sides(*choices: tuple[int, int]) -> Callable[[list[int], Random], None]:
    def change(fields: list[int], rng: Random) -> None:
        fields[:2] = rng.choice(choices)

    return change


def _other_depth(fields: list[int], rng: Random) -> None:
    fields[2:4] = rng.choice([(3, 0), (1, 0), (16, 9), (255, 0), (4, 3)])


def _bomb(data: bytes, rng: Random) -> bytes:
    """Pixels that unpack to 200 times what the header claims."""
    pixels = zlib.compress(bytes(5_000_000), 9)
    return data[:IHDR_END] + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


PNG: dict[str, Mutator] = {
    "no_header_chunk": lambda data, rng: SIGNATURE + data[IHDR_END:],
    "no_pixels": lambda data, rng: data[:IHDR_END] + chunk(b"IEND", b""),
    "no_end": lambda data, rng: data[:-12],
    "half_the_pixels": lambda data, rng: data[: len(data) // 2] + chunk(b"IEND", b""),
    "claims_much": _header(_sides((65536, 65536), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1))),
    "claims_nothing": _header(_sides((0, 0), (0, 32), (40, 0))),
    "unknown_depth": _header(_other_depth),
    "other_size": _picture(lambda image, rng: image[:-1] if rng.random() < 0.5 else image[:, 1:]),
    "one_pixel": _picture(lambda image, rng: image[:1, :1]),
    "jpeg": _picture(lambda image, rng: (image / (image.max() + 1) * 255).astype("u1"), ".jpg"),
}
SLICE: dict[str, Mutator] = PNG | {
    "eight_bits": _picture(lambda image, rng: image.astype(np.uint8)),
    "colour": _picture(lambda image, rng: np.repeat(image[..., None], 3, 2)),
    "alpha": _picture(lambda image, rng: np.repeat(image[..., None], 4, 2).astype(np.uint8)),
    "bomb": _bomb,
}
PHOTO: dict[str, Mutator] = PNG
LABEL: dict[str, Mutator] = PNG | {
    "colour": _picture(lambda image, rng: np.repeat(image[..., None], 3, 2)),
    "grey_values": _picture(lambda image, rng: image * 250),
}


def _array(change: Callable[[np.ndarray, Random], np.ndarray]) -> Mutator:
    def mutate(data: bytes, rng: Random) -> bytes:
        stream = io.BytesIO()
        np.save(stream, change(np.load(io.BytesIO(data)), rng), allow_pickle=True)
        return stream.getvalue()

    return mutate


def _claim(data: bytes, rng: Random) -> bytes:
    """A header that claims another shape than the file holds."""
    size = struct.unpack("<H", data[8:10])[0]
    shape = rng.choice(["(9,)", "(1000000, 1000, 1000)", "(-1, 4, 4)", "()", "(4"])
    kind = "<u2" if b"<u2" in data[:80] else "<u4"
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    return data[:10] + text.ljust(size - 1).encode() + b"\n" + data[10 + size :]


NPY: dict[str, Mutator] = {
    "shape": _array(lambda array, rng: array[: len(array) // 2]),
    "one_axis_more": _array(lambda array, rng: array[None]),
    "no_axis": _array(lambda array, rng: np.array(3, array.dtype)),
    "dtype": _array(lambda array, rng: array.astype(rng.choice(["f4", "i8", "U9", "?", "c8"]))),
    "objects": _array(lambda array, rng: np.array([{"a": 1}, None], object)),
    "claim": _claim,
}


def _archive(change: Callable[[dict[str, np.ndarray], Random], Any]) -> Mutator:
    def mutate(data: bytes, rng: Random) -> bytes:
        with np.load(io.BytesIO(data)) as file:
            content = dict(file)
        change(content, rng)
        stream = io.BytesIO()
        np.savez_compressed(stream, **content)
        return stream.getvalue()

    return mutate


def _change(key: str, *choices: Callable[[np.ndarray], np.ndarray]) -> Mutator:
    def change(content: dict[str, np.ndarray], rng: Random) -> None:
        content[key] = rng.choice(choices)(content[key])

    return _archive(change)


NPZ: dict[str, Mutator] = {
    "drop_key": _archive(lambda content, rng: content.pop(rng.choice(sorted(content)))),
    "planes": _change("z", lambda z: z + 90, lambda z: z - 2, lambda z: z * 0, lambda z: z[:-1]),
    "plane_type": _change("z", lambda z: z * 1.5, lambda z: z.astype("U3"), lambda z: z[0]),
    "classes": _change("probabilities", lambda p: p[:2], lambda p: np.repeat(p, 2, 0)),
    "size": _change("probabilities", lambda p: p[..., 1:], lambda p: p[0], lambda p: p[:, :-1]),
    "floats": _change("probabilities", lambda p: p / 255.0, lambda p: p * np.nan),
    "objects": _change("probabilities", lambda p: np.array([{"a": 1}], object)),
}


class Foreign:
    """Something that only this class's own program could load."""


def _weights(change: Callable[[Any, Random], Any]) -> Mutator:
    """Make a mutator of what torch.load gives; what it returns replaces the content."""

    def mutate(data: bytes, rng: Random) -> bytes:
        content = torch.load(io.BytesIO(data), weights_only=True)
        changed = change(content, rng)
        stream = io.BytesIO()
        torch.save(content if changed is None else changed, stream)
        return stream.getvalue()

    return mutate


def _state(content: dict) -> dict[str, torch.Tensor]:
    """Return the first dict of tensors inside a checkpoint, or the checkpoint itself."""
    for value in content.values():
        if isinstance(value, dict) and (found := _state(value)):
            return found
    return content if any(isinstance(v, torch.Tensor) for v in content.values()) else {}


def _tensor(change: Callable[[torch.Tensor], Any], floating: bool = True) -> Mutator:
    def replace(content: dict, rng: Random) -> None:
        state = _state(content)
        keys = [key for key, value in state.items() if value.is_floating_point() or not floating]
        key = rng.choice(sorted(keys))
        state[key] = change(state[key])

    return _weights(replace)


def _other_keys(content: dict, rng: Random) -> None:
    state = _state(content)
    for key in list(state):
        state[f"other.{key}"] = state.pop(key)


def _drop_tensor(content: dict, rng: Random) -> None:
    state = _state(content)
    del state[rng.choice([key for key in sorted(state) if "num_batches" not in key])]


PT: dict[str, Mutator] = {
    "other_content": _weights(
        lambda content, rng: rng.choice([{}, [1], 7, {"model": 3}, {"model": {}}, {"state": {}}])
    ),
    "drop_key": _weights(lambda content, rng: content.pop(rng.choice(sorted(content))) and None),
    "foreign": _weights(lambda content, rng: content | {"extra": Foreign()}),
    "drop_tensor": _weights(_drop_tensor),
    "other_keys": _weights(_other_keys),
    "shape": _tensor(lambda tensor: torch.cat([tensor.reshape(-1), torch.zeros(1)])),
    "nan": _tensor(lambda tensor: tensor * float("nan")),
    "infinity": _tensor(lambda tensor: tensor + float("inf")),
    "no_tensor": _tensor(lambda tensor: "text"),
    "old_format": lambda data, rng: _pickled(torch.load(io.BytesIO(data), weights_only=True)),
}


def _pickled(content: Any) -> bytes:
    import pickle

    return pickle.dumps({"model": content, "made": Foreign()})


def _tensors(change: Callable[[dict, Random], Any]) -> Mutator:
    def mutate(data: bytes, rng: Random) -> bytes:
        content = load_tensors(data)
        change(content, rng)
        return save_tensors(content)

    return mutate


def _nan_tensor(content: dict[str, torch.Tensor], rng: Random) -> None:
    key = rng.choice([key for key in sorted(content) if content[key].is_floating_point()])
    content[key] = content[key] * rng.choice([float("nan"), float("inf")])


def _reshape(content: dict[str, torch.Tensor], rng: Random) -> None:
    key = rng.choice([key for key in sorted(content) if content[key].ndim > 1])
    content[key] = content[key].reshape(-1)


def _tensor_header(data: bytes, rng: Random) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    entry = header[rng.choice([key for key in sorted(header) if key != "__metadata__"])]
    key, value = rng.choice(
        [("data_offsets", [0, 2**60]), ("dtype", "F99"), ("shape", [2**40, 2**40]), ("shape", [-1])]
    )
    entry[key] = value
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


SAFETENSORS: dict[str, Mutator] = {
    "header_length": lambda data, rng: (
        struct.pack("<Q", rng.choice([0, 5, len(data), 2**63, 2**64 - 1])) + data[8:]
    ),
    "header": _tensor_header,
    "drop_tensor": _tensors(_drop_tensor),
    "other_keys": _tensors(_other_keys),
    "no_tensors": _tensors(lambda content, rng: content.clear()),
    "nan": _tensors(_nan_tensor),
    "shape": _tensors(_reshape),
}


def _frame(change: Callable[[pd.DataFrame, Random], pd.DataFrame]) -> Mutator:
    def mutate(data: bytes, rng: Random) -> bytes:
        return change(pd.read_parquet(io.BytesIO(data)), rng).to_parquet()

    return mutate


def _scan_name(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
    frame.loc[rng.randrange(len(frame)), "scan"] = rng.choice(["../x", "", None, "/etc", "case9"])
    return frame


def _planes(frame: pd.DataFrame, rng: Random) -> pd.DataFrame:
    frame.loc[rng.randrange(len(frame)), "z"] = rng.choice([99, -1, 10**12])
    return frame


TABLE: dict[str, Mutator] = {
    "drop_column": _frame(lambda frame, rng: frame.drop(columns=rng.choice(list(frame)))),
    "no_rows": _frame(lambda frame, rng: frame.iloc[:0]),
    "double_row": _frame(lambda frame, rng: pd.concat([frame, frame.iloc[:1]])),
}
PARQUET: dict[str, Mutator] = TABLE | {
    "text": _frame(lambda frame, rng: frame.astype({rng.choice(["z", "case", "height"]): str})),
    "nan": _frame(lambda frame, rng: frame.assign(z=np.nan)),
    "scan_name": _frame(_scan_name),
    "planes": _frame(_planes),
}
