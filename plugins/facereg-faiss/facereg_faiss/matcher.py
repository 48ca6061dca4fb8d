"""faiss's indexes over the library's rows: what faiss finds is compared again in float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import faiss
import numpy as np
import numpy.typing as npt

from facereg import ContractError, FloatArray, IndexedMatcher, IntArray, RowIndex

Kind = Literal["flat", "ivf", "hnsw", "pq"]
RECALL = {"flat": 1.0, "ivf": 0.95, "hnsw": 0.99, "pq": 0.95}  # measured, see the README
CANDIDATES, LISTS = 64, 32  # looked at by HNSW, and of lists at least, where no effort is given
ENOUGH_TO = 100_000  # rows among which HNSW finds 0.99 by CANDIDATES; of more it needs more, by the root of the rows
SHARE = 12  # one list in so many is looked through: of a fixed number recall falls as people come, see the README
MAX_EFFORT = 1 << 16
LINKS = 32  # of a row in HNSW's graph: M of Malkov and Yashunin 2018, arXiv:1603.09320, section 4.1, who take 5 to 48
BUILT = 40  # rows kept in view while the graph is built, their efConstruction: faiss's own
PER_LIST = 39  # rows that faiss asks for to place the centre of a list, fewer of which it warns of
PAIRS = 2  # numbers of a row that product quantisation makes half a byte of, which faiss adds up in registers
FACTOR = 16  # times as many rows as are asked for are compared again after product quantisation's rough order
SAMPLE = 100_000  # rows to learn lists, codes and ranges from


class FaissMatcher(IndexedMatcher):
    """Searches people through an index of faiss.

    Args:
        threshold, templates: as of `IndexedMatcher`.
        kind: `flat` compares with everybody; `ivf` with the lists nearest to the probe, of 4 sqrt(rows) (Sivic and
            Zisserman 2003); `hnsw` goes from neighbour to neighbour (Malkov and Yashunin 2018); `pq` is `ivf` with
            half a byte for each 2 numbers (Jegou et al. 2011; in registers, Andre et al. 2015), the best of which
            are compared in full.
        effort: how much is looked at: lists, or the length of HNSW's list of candidates; 0 takes the kind's own: one
            list in 12, 32 at least; 64 candidates, from 100,000 rows on more by the root of the rows: 202 of a million.
        recall: the share of the closest people that it finds, as you measured it with that effort; 0 takes the kind's.

    Threads are those of faiss: OMP_NUM_THREADS in the environment.

    Raises:
        ContractError: if a setting is out of its range.
    """

    kept_from = 4096  # an index takes longer to build than its rows to read

    def __init__(
        self,
        *,
        threshold: float,
        templates: bool = True,
        kind: Kind = "hnsw",
        effort: int = 0,
        recall: float = 0.0,
    ) -> None:
        super().__init__(threshold=threshold, templates=templates)
        if kind not in get_args(Kind):
            raise ContractError(f"kind: expected one of {', '.join(get_args(Kind))}, got {kind!r}")
        if not 0 <= effort <= MAX_EFFORT:
            raise ContractError(f"effort: expected 1 to {MAX_EFFORT}, or 0 for the kind's own, got {effort}")
        if not 0 <= recall <= 1:
            raise ContractError(f"recall: expected a share of at most 1, or 0 for the kind's own, got {recall}")
        self.kind, self.effort = kind, effort
        self.recall = recall or RECALL[kind]

    def _shape(self) -> tuple[object, ...]:
        return (self.kind,)

    def _index(self, rows: FloatArray, kept: Mapping[str, npt.NDArray[Any]] | None = None) -> RowIndex:
        index = _build(self.kind, rows) if kept is None else faiss.deserialize_index(kept["faiss"])
        return FaissIndex(index, len(rows), self.effort, FACTOR if self.kind == "pq" else 1)


class FaissIndex(RowIndex):
    """An index of faiss, which several threads may search."""

    def __init__(self, index: faiss.Index, rows: int, effort: int, factor: int) -> None:
        self._index, self._rows, self._effort, self._factor = index, rows, effort, factor

    def search(self, probes: FloatArray, k: int) -> IntArray:
        k = min(self._rows, k * self._factor)
        # pytorch-metric-learning imports faiss.contrib.torch_utils, which puts a search that takes no `params` in place
        search = getattr(self._index, "search_numpy", self._index.search)
        _, rows = search(np.ascontiguousarray(probes), k, params=self._parameters(k))
        return np.asarray(rows, np.int64)

    def _parameters(self, k: int) -> faiss.SearchParameters | None:
        if isinstance(self._index, faiss.IndexHNSW):
            own = CANDIDATES * max(1.0, self._rows / ENOUGH_TO) ** 0.5
            return faiss.SearchParametersHNSW(efSearch=max(self._effort or int(own), k))
        if isinstance(self._index, faiss.IndexIVF):
            return faiss.SearchParametersIVF(nprobe=self._effort or max(LISTS, self._index.nlist // SHARE))
        return None

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"faiss": faiss.serialize_index(self._index)}


def _build(kind: Kind, rows: FloatArray) -> faiss.Index:
    """Return an index of rows (R, D), several thousand at least, by their inner product."""
    count, dim = rows.shape
    lists = max(1, min(int(4 * count**0.5), count // PER_LIST))
    cosine = faiss.METRIC_INNER_PRODUCT  # of rows of unit length
    if kind == "hnsw":
        index = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, LINKS, cosine)
        index.hnsw.efConstruction = BUILT
    else:
        parts = dim // PAIRS if dim % PAIRS == 0 else dim
        codes = {"flat": "Flat", "ivf": f"IVF{lists},SQ8", "pq": f"IVF{lists},PQ{parts}x4fs"}
        index = faiss.index_factory(dim, codes[kind], cosine)
        if kind == "pq":
            index.pq.cp.min_points_per_centroid = 1  # else a warning for each part, where there are few rows
    if not index.is_trained:
        index.train(_sample(rows, max(SAMPLE, PER_LIST * lists)))
    index.add(rows)
    return index


def _sample(rows: FloatArray, size: int) -> FloatArray:
    """Return so many rows, where there are, or some more: from everywhere, as they lie in the order of names."""
    return np.ascontiguousarray(rows[:: max(1, len(rows) // size)])
