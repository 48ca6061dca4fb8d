"""Every vector compared: in float32, or first on 8-bit codes, with the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from facereg.builtin.indexed import BLOCK, FlatIndex, IndexedMatcher, take
from facereg.types import FloatArray, IntArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ZERO = 128  # the code of 0.0
LEVELS = 127  # codes above it, and below
PROBE_LEVELS = 63  # of a probe: two products of a code (255) and these stay within the 16 bits that they are summed in
UINT8, INT8, INT32 = 2, 3, 6  # ONNX's numbers of these types
SLACK = 1e-4  # of float32 sums, and of rows whose length is not quite 1


class ExactMatcher(IndexedMatcher):
    """Compares each probe with everybody; exact, and enough for some million vectors.

    Args:
        threshold, templates: see `IndexedMatcher`.
        int8: compare on 8-bit codes first, a quarter of the memory to read, then in float32 whoever may be among the
            closest by the largest error that a code can make: the answer is that of float32.
        threads: of the comparison of codes; 0 takes every core. In float32 the setting of NumPy's BLAS counts.
    """

    def __init__(self, *, threshold: float, templates: bool = True, int8: bool = True, threads: int = 0) -> None:
        super().__init__(threshold=threshold, templates=templates)
        self.int8, self.threads = int8, threads

    def _shape(self) -> tuple[object, ...]:
        return ("int8" if self.int8 else "float32",)

    def _index(self, rows: FloatArray, kept: Mapping[str, npt.NDArray[Any]] | None = None) -> FlatIndex:
        if not self.int8:
            return FlatIndex(rows)
        return CodedIndex(rows, self.threads) if kept is None else CodedIndex(rows, self.threads, **kept)


class CodedIndex(FlatIndex):
    """Compares 8-bit codes of probes and rows, then in float32 the rows that may be among the closest.

    A code is round(value / scale) + 128. The similarity of two vectors and that of their codes differ by at most
    |q - q'| |v| + |q'| |v - v'| (Cauchy and Schwarz), so a row is left out only where that cannot put it among the k
    closest.

    Args:
        rows: (R, D) float32 of unit length.
        codes, scale_error: what `arrays` gave for them: (R, D) uint8, and (2,) the scale and the largest |v - v'|.
    """

    def __init__(
        self,
        rows: FloatArray,
        threads: int,
        codes: npt.NDArray[np.uint8] | None = None,
        scale_error: FloatArray | None = None,
    ) -> None:
        super().__init__(rows)
        self.threads = threads
        if codes is None or scale_error is None:
            codes, scale_error = _encode(rows)
        self.codes = codes
        self.scale, self.error = map(float, scale_error)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"codes": self.codes, "scale_error": np.array([self.scale, self.error], np.float32)}

    def _search(self, probes: FloatArray, best: FloatArray, rows: IntArray) -> None:
        if best.shape[1] > BLOCK:  # codes could leave nobody of a block out
            return super()._search(probes, best, rows)
        self._compare(0, probes, best, rows)  # similarities that others must exceed
        steps = np.maximum(np.abs(probes).max(1), 1e-6) / PROBE_LEVELS  # (N,)
        coded = np.rint(probes / steps[:, None])
        lengths = np.linalg.norm(coded, axis=1) * steps
        off = np.linalg.norm(probes - coded * steps[:, None], axis=1) + lengths * self.error + SLACK  # (N,)
        units, zero = steps * self.scale, ZERO * coded.sum(1)
        by_probe = np.ascontiguousarray(coded.T.astype(np.int8))  # (D, N)
        product = _product(self.threads)
        for start in range(BLOCK, len(self.rows), BLOCK):
            [found] = product.run(None, {"a": self.codes[start : start + BLOCK], "b": by_probe})  # (rows, N) int32
            enough = np.floor((best[:, -1] - off) / units + zero).astype(np.int32)
            near, asked = np.divmod(np.flatnonzero(found > enough), len(probes))
            near += start
            similarities = np.einsum("nd,nd->n", self.rows[near], probes[asked])
            for probe in np.unique(asked):
                mine = asked == probe
                take(best[probe], rows[probe], similarities[mine], near[mine])
        return None


def _encode(rows: FloatArray) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Return the codes of rows, and the scale and the largest error |v - v'|."""
    blocks = range(0, len(rows), BLOCK)
    scale = np.float32(max(float(np.abs(rows[start : start + BLOCK]).max()) for start in blocks) / LEVELS)
    codes, error = np.empty(rows.shape, np.uint8), 0.0
    for start in blocks:
        block = rows[start : start + BLOCK]
        levels = np.rint(block / scale)
        codes[start : start + BLOCK] = levels + ZERO
        error = max(error, float(np.linalg.norm(block - levels * scale, axis=1).max()))
    return codes, np.array([scale, error], np.float32)


@cache
def _product(threads: int) -> InferenceSession:
    """Return what multiplies a uint8 and an int8 matrix to int32, which NumPy has no quick way for.

    It is ONNX's MatMulInteger, as a network of that one node (onnx.proto3 has the fields' numbers).
    """
    import onnxruntime  # here: listing models must not wait for it

    node = _field(1, b"a") + _field(1, b"b") + _field(2, b"y") + _field(4, b"MatMulInteger")
    inputs = _field(11, _tensor(b"a", UINT8)) + _field(11, _tensor(b"b", INT8))
    graph = _field(1, node) + _field(2, b"product") + inputs + _field(12, _tensor(b"y", INT32))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = _field(1, 8) + _field(7, graph) + _field(8, _field(2, 10))  # of IR version 8 and operators' version 10
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _tensor(name: bytes, kind: int) -> bytes:
    return _field(1, name) + _field(2, _field(1, _field(1, kind)))


def _field(number: int, value: int | bytes) -> bytes:
    """Return a field of a protocol buffer: a number under 128, or fewer bytes than that."""
    return bytes([number << 3, value]) if isinstance(value, int) else bytes([number << 3 | 2, len(value)]) + value
