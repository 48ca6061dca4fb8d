"""Faces of unknown people put into groups, each of one person: the algorithms, all of scikit-learn or SciPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from facereg.errors import ContractError, MissingExtraError
from facereg.gallery.thresholds import Calibration
from facereg.types import FloatArray, IntArray

try:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.stats import norm
    from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering
except ImportError as error:
    raise MissingExtraError("grouping needs scikit-learn; pip install 'facereg-core[app]'") from error

Method = Literal["agglomerative", "dbscan", "hdbscan"]
METHODS: tuple[Method, ...] = get_args(Method)
MOST = 30_000  # faces that hang together: their distances take 8 * MOST^2 bytes, 7.2 GB
SHARE = 0.5  # of 0.1, 0.15 ... 0.9 the best BCubed F on 400 people of LFW's View 1; see docs/explanation/results.md
DBSCAN_FAR = 1e-4  # on the same people DBSCAN is best at 0.575, where the calibration has 0.586
SAMPLE = 4096  # faces by which a threshold is made
LEAST = 0.1  # the lowest threshold that is made
ROWS = 1024  # of the similarities that are looked at together


@dataclass(frozen=True, slots=True)
class Grouping:
    """How faces are put into groups.

    Args:
        method: `agglomerative` joins the two groups whose faces are the most alike in the mean, as long as that is
            the threshold (average linkage); `dbscan` (Ester et al. 1996) joins whatever is as alike as the threshold to
            a face that has `neighbours` such, itself among them; `hdbscan` (Campello et al. 2013) takes the groups that
            last longest as the threshold is raised, and so has none.
        threshold: cosine similarity; None makes one of the calibration.
        neighbours: of a face in the middle of a group, for `dbscan` and `hdbscan`.
        calibration: of the embedder, where no threshold is given.
        share: for `agglomerative`, see `balanced_threshold`.
    Raises:
        ContractError: if a value makes no sense, or neither a threshold nor a calibration is given to a method that
            needs one.
    """

    method: Method = "agglomerative"
    threshold: float | None = None
    neighbours: int = 2
    calibration: Calibration | None = None
    share: float = SHARE

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ContractError(f"method: expected {', '.join(METHODS)}, got {self.method!r}")
        if not -1 < (self.threshold or 0) < 1 or self.neighbours < 1 or not 0 < self.share < 1:
            raise ContractError(
                "threshold, neighbours, share: expected a cosine between -1 and 1, 1 or more and a share between 0 and "
                f"1, got {self.threshold}, {self.neighbours} and {self.share}"
            )
        if self.method != "hdbscan" and self.threshold is None and self.calibration is None:
            raise ContractError(f"threshold: expected one, or a calibration, for {self.method}, got neither")

    def threshold_for(self, vectors: FloatArray) -> float:
        """Return the threshold for faces (N, D): the one given, else one that the calibration has for as many."""
        if self.threshold is not None or self.calibration is None:
            return -1.0 if self.threshold is None else self.threshold
        if self.method == "agglomerative":
            return balanced_threshold(vectors, self.calibration, share=self.share)
        return self.calibration.at(DBSCAN_FAR).value

    def groups_of(self, vectors: FloatArray) -> IntArray:
        """Return the number of each face's group, (N,), the largest group first; -1 for a face alone.

        Args:
            vectors: (N, D) of unit length.
        Raises:
            ContractError: if more than MOST faces hang together.
        """
        groups, count = np.full(len(vectors), -1, np.int64), 0
        threshold = self.threshold_for(vectors)
        for rows in [np.arange(len(vectors))] if self.method == "hdbscan" else _linked(vectors, threshold):
            if len(rows) < 2:
                continue
            own = self._divide(vectors[rows], threshold)
            groups[rows] = np.where(own < 0, -1, own + count)
            count += own.max() + 1
        return _numbered(groups)

    def _divide(self, vectors: FloatArray, threshold: float) -> IntArray:
        """Return the groups of faces that hang together; -1 for a face alone."""
        if len(vectors) > MOST:
            raise ContractError(
                f"expected at most {MOST:,} faces that hang together, got {len(vectors):,} at a similarity of "
                f"{threshold:.2f}; raise the threshold, or group the collection in parts"
            )
        distances = np.clip(1 - vectors.astype(np.float64) @ vectors.T.astype(np.float64), 0, 2)
        np.fill_diagonal(distances, 0)
        apart = 1 - threshold
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


def balanced_threshold(vectors: FloatArray, calibration: Calibration, *, share: float = SHARE) -> float:
    """Return the similarity from which, of the pairs of these faces that are as alike, that share is of one person.

    So many pairs of strangers are as alike by chance as the calibration says; what is more is of one person. With few
    pictures of each of many people the threshold is higher than with many of few. Beyond the rates that were measured
    the threshold goes on straight in the normal deviate of the rate, as similarities of strangers are about normal.

    Args:
        vectors: (N, D) of unit length; of many, some are taken by a seed.
        share: of pairs, between 0 and 1.
    """
    some = vectors
    if len(vectors) > SAMPLE:
        some = vectors[np.random.default_rng(0).choice(len(vectors), SAMPLE, replace=False)]
    alike = np.sort((some @ some.T)[np.triu_indices(len(some), 1)])
    rates = sorted(calibration.thresholds, reverse=True)
    known = np.array([calibration.thresholds[rate] for rate in rates])  # rising
    if len(rates) < 2 or known[1] == known[0] or not len(alike):
        return float(known[0])
    deviates = norm.isf(rates)
    tried = np.arange(LEAST, known[-1], 0.005)
    slope = (deviates[1] - deviates[0]) / (known[1] - known[0])
    deviate = np.where(tried < known[0], deviates[0] + slope * (tried - known[0]), np.interp(tried, known, deviates))
    by_chance = norm.sf(deviate) * len(alike)
    genuine = 1 - by_chance / np.maximum(len(alike) - np.searchsorted(alike, tried), 1)
    reached = np.flatnonzero(genuine >= share)
    return float(tried[reached[0]] if len(reached) else known[-1])


def divided(vectors: FloatArray, parts: int) -> IntArray:
    """Return the part of each face, (N,), of so many parts of faces that are alike (average linkage)."""
    model = AgglomerativeClustering(n_clusters=parts, metric="cosine", linkage="average")
    return np.asarray(model.fit_predict(vectors), np.int64)


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
