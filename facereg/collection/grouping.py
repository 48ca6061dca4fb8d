"""Faces of unknown people put into groups, each of one person: the algorithms, all of scikit-learn or SciPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from facereg.errors import ContractError, MissingExtraError
from facereg.types import FloatArray, IntArray

try:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering
except ImportError as error:
    raise MissingExtraError("grouping needs scikit-learn; pip install 'facereg-core[app]'") from error

Method = Literal["agglomerative", "dbscan", "hdbscan"]
METHODS: tuple[Method, ...] = get_args(Method)
MOST = 30_000  # faces that hang together: their distances take 8 * MOST^2 bytes, 7.2 GB
ROWS = 1024  # of the similarities that are looked at together


@dataclass(frozen=True, slots=True)
class Grouping:
    """How faces are put into groups.

    Args:
        method: `agglomerative` joins the two groups whose faces are the most alike in the mean, as long as that is
            `threshold` (average linkage); `dbscan` (Ester et al. 1996) joins whatever is as alike as `threshold` to a
            face that has `neighbours` such, itself among them; `hdbscan` (Campello et al. 2013) takes the groups that
            last longest as the threshold is raised, and so has none.
        threshold: cosine similarity.
        neighbours: of a face in the middle of a group, for `dbscan` and `hdbscan`.
    """

    method: Method = "agglomerative"
    threshold: float = 0.3
    neighbours: int = 2

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ContractError(f"method: expected {', '.join(METHODS)}, got {self.method!r}")
        if not -1 < self.threshold < 1 or self.neighbours < 1:
            raise ContractError(
                f"threshold, neighbours: expected a cosine between -1 and 1, and 1 or more, got {self.threshold} and "
                f"{self.neighbours}"
            )

    def groups_of(self, vectors: FloatArray) -> IntArray:
        """Return the number of each face's group, (N,), the largest group first; -1 for a face alone.

        Args:
            vectors: (N, D) of unit length.
        Raises:
            ContractError: if more than MOST faces hang together at this threshold.
        """
        groups, count = np.full(len(vectors), -1, np.int64), 0
        for rows in [np.arange(len(vectors))] if self.method == "hdbscan" else _linked(vectors, self.threshold):
            if len(rows) < 2:
                continue
            own = self._divide(vectors[rows])
            groups[rows] = np.where(own < 0, -1, own + count)
            count += own.max() + 1
        return _numbered(groups)

    def _divide(self, vectors: FloatArray) -> IntArray:
        """Return the groups of faces that hang together; -1 for a face alone."""
        if len(vectors) > MOST:
            raise ContractError(
                f"expected at most {MOST:,} faces that hang together, got {len(vectors):,} at a similarity of "
                f"{self.threshold:.2f}; raise the threshold, or group the collection in parts"
            )
        distances = np.clip(1 - vectors.astype(np.float64) @ vectors.T.astype(np.float64), 0, 2)
        np.fill_diagonal(distances, 0)
        apart = 1 - self.threshold
        if self.method == "agglomerative":
            model = AgglomerativeClustering(
                n_clusters=None, metric="precomputed", linkage="average", distance_threshold=apart
            )
        elif self.method == "dbscan":
            model = DBSCAN(eps=apart, min_samples=self.neighbours, metric="precomputed")
        else:
            neighbours = min(self.neighbours, len(vectors))
            model = HDBSCAN(min_cluster_size=2, min_samples=neighbours, metric="precomputed", copy=False)
        return np.asarray(model.fit_predict(distances), np.int64)


def _linked(vectors: FloatArray, threshold: float) -> list[IntArray]:
    """Return the rows of the faces that hang together, set by set.

    Two faces hang together where steps from face to face, each as alike as the threshold, lead from one to the other.
    No method joins across sets: the mean of similarities that are all lower is lower, too. So distances are held of
    one set at a time.
    """
    labels = np.arange(len(vectors))
    for start in range(0, len(vectors), ROWS):
        first, second = np.nonzero(vectors[start : start + ROWS] @ vectors.T >= threshold)
        joined = labels[first + start], labels[second]
        edges = coo_matrix((np.ones(len(first), np.bool_), joined), shape=(len(vectors), len(vectors)))
        labels = connected_components(edges, directed=False)[1][labels]
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _numbered(groups: IntArray) -> IntArray:
    """Return the groups numbered by size, equal ones by their first face; a group of one face is none."""
    held, first, sizes = np.unique(groups[groups >= 0], return_index=True, return_counts=True)
    kept = [row for row in np.lexsort((first, -sizes)) if sizes[row] > 1]
    number = dict(zip(held[kept].tolist(), range(len(kept)), strict=True))
    return np.array([number.get(group, -1) for group in groups.tolist()], np.int64)
