"""What the compiled kernels are made of: the compile decorator and a few machine instructions.

numba keeps what it compiled in NUMBA_CACHE_DIR, `__pycache__` or the user's cache folder. Its key
is the file of the kernel alone, so a kernel calls only kernels of its own file and these here.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
ZERO = np.uint64(0)
ONE = np.uint64(1)

_I64 = ir.IntType(64)
_BYTE = ir.IntType(8)
_BYTES_64 = ir.VectorType(_BYTE, 64)


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first call, without the interpreter's lock, cached on disk where possible."""
    options = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba: "no locator available", nowhere to write; compiled every time
        return numba.njit(**options)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile into the kernels that call it, without counting references.

    Counting those of five arrays costs four times a test of 64 voxels. It may not make arrays.
    """
    return numba.njit(
        forceinline=True,
        error_model="numpy",
        _nrt=False,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )(function)


def frozen(array: np.ndarray) -> np.ndarray:
    """Return a read-only view; numba compiles a kernel again for read-only inputs, so all are."""
    view = array.view()
    view.flags.writeable = False
    return view


@intrinsic
def trailing_zeros(typingctx, word):
    """Index of the lowest set bit of a uint64; 64 for zero."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


@intrinsic
def leading_zeros(typingctx, word):
    """63 minus the index of the highest set bit of a uint64; 64 for zero."""

    def codegen(context, builder, signature, args):
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


@intrinsic
def popcount(typingctx, word):
    """Number of set bits of a uint64."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen


def _pointer(context, builder, signature, args, kind: ir.Type) -> ir.Value:
    """Point to byte args[1] of the uint8 array args[0], as to one of a kind; any alignment."""
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.bitcast(builder.gep(array.data, [args[1]]), kind.as_pointer())


@intrinsic
def store_word(typingctx, data, offset, word):
    """Write a uint64 over eight bytes of a uint8 array from `offset` on, the lowest first."""

    def codegen(context, builder, signature, args):
        builder.store(args[2], _pointer(context, builder, signature, args, _I64), align=1)
        return context.get_dummy_value()

    return types.void(data, types.intp, types.uint64), codegen


@intrinsic
def load_word(typingctx, data, offset):
    """Eight bytes of a uint8 array from `offset` on as one uint64, the first byte lowest."""

    def codegen(context, builder, signature, args):
        return builder.load(_pointer(context, builder, signature, args, _I64), align=1)

    return types.uint64(data, types.intp), codegen


@intrinsic
def at_least_64(typingctx, data, offset, threshold):
    """Compare 64 bytes of a uint8 array: bit b is data[offset + b] >= threshold."""

    def codegen(context, builder, signature, args):
        loaded = builder.load(_pointer(context, builder, signature, args, _BYTES_64), align=1)
        # the threshold 64 times: as the first element, which all others then copy
        empty = ir.Constant(_BYTES_64, ir.Undefined)
        first = builder.insert_element(empty, args[2], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), 64), None)
        thresholds = builder.shuffle_vector(first, empty, zeros)
        return builder.bitcast(builder.icmp_unsigned(">=", loaded, thresholds), _I64)

    return types.uint64(data, types.intp, types.uint8), codegen
