"""Templates compared two by two, as IJB-B and IJB-C do: several pictures of a person are one vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.data.lines import absent
from facereg.data.templates import TemplateList
from facereg.errors import ContractError, DatasetError, ImageError
from facereg.evaluation.flipping import Flip, FlippedEmbedder
from facereg.evaluation.known_faces import KnownFaces, embed_known_faces, find_main_faces
from facereg.evaluation.verification import REFUSED, require_roc, roc, tpr_at
from facereg.pipeline.composer import Pipeline
from facereg.types import BoolArray, FloatArray, IntArray

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of IJB's tables
BLOCK = 1 << 16  # pairs compared at a time: bounds memory


def pool_vectors(
    vectors: FloatArray, templates: IntArray, media: IntArray | None = None, *, weights: FloatArray | None = None
) -> tuple[IntArray, FloatArray]:
    """Return each template's number, ascending, and its vector of unit length: the sum of its media's means.

    The frames of a video say the same thing many times: they are one mean before they are added to the photographs.

    Args:
        vectors: (N, D) of unit length.
        templates: (N,) of each vector.
        media: (N,) the photograph or video each comes from; None: each its own.
        weights: (N,) that vectors are multiplied by first, as a detector's scores.
    Raises:
        ContractError: if lengths differ, or a template's vectors cancel out.
    Source: facts of InsightFace's `eval_ijbc.py`, without its use of the vectors' lengths: ours are of unit length.
    """
    lengths = {len(vectors), len(templates), *(len(one) for one in (media, weights) if one is not None)}
    if len(lengths) != 1:
        raise ContractError(f"vectors: expected equal lengths, got {sorted(lengths)}")
    if not len(vectors):
        return np.empty(0, np.int64), vectors
    weighted = vectors if weights is None else vectors * weights[:, None]
    own = np.arange(len(vectors)) if media is None else media
    order = np.lexsort((own, templates))
    sorted_templates, sorted_media = templates[order], own[order]
    begins = np.append(True, (np.diff(sorted_templates) != 0) | (np.diff(sorted_media) != 0))
    starts = np.flatnonzero(begins)
    means = np.add.reduceat(weighted[order].astype(np.float64), starts)
    means /= np.diff(np.append(starts, len(order)))[:, None]
    owner = sorted_templates[starts]
    firsts = np.flatnonzero(np.append(True, np.diff(owner) != 0))
    sums = np.add.reduceat(means, firsts)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    if (norms < 1e-12).any():
        raise ContractError(f"template {owner[firsts][(norms < 1e-12)[:, 0]][0]}: expected vectors that do not cancel")
    return owner[firsts].astype(np.int64), (sums / norms).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class TemplateResult:
    """An embedder's figures over pairs of templates.

    Args:
        tpr_at_far: over all pairs; None where there are too few impostor pairs.
        curve: (N, 3) float32 FAR, TPR, threshold.
        pairs, templates, images: how many.
        missing: templates without a face; their pairs are refused.
        without_face: pictures without one.
        errors: what is wrong with each file that could not be read or worked on.
    """

    tpr_at_far: dict[float, float | None]
    curve: FloatArray
    pairs: int
    templates: int
    images: int
    missing: int
    without_face: int
    errors: tuple[ImageError, ...]

    def figures(self) -> dict[str, object]:
        """Return the figures by the names that the command writes."""
        return {
            "pairs": self.pairs,
            "templates": self.templates,
            "images": self.images,
            "missing": self.missing,
            "without_face": self.without_face,
            "tpr_at_far": {f"{far:g}": value for far, value in self.tpr_at_far.items()},
        }

    def plot(self, path: Path, title: str) -> None:
        """Draw ROC and DET."""
        from facereg.evaluation.plots import plot_verification

        plot_verification(path, {title: self.curve}, f"{title}, {self.pairs} pairs of templates")


def measure_templates(
    pipeline: Pipeline,
    listed: TemplateList,
    *,
    flip: Flip | None = None,
    weighted: bool = False,
    progress: Callable[[int], object] = lambda done: None,
    notice: Callable[[str], object] = lambda text: None,
) -> TemplateResult:
    """Return the figures over pairs of templates; no pair is left out.

    Where the list has points, they are used; else the face that each picture is about is detected.

    Args:
        flip: what mirrored crops add, see `FlippedEmbedder`; None is as the embedder is set, which is `sum`.
        weighted: vectors count by the score of their face.
        progress: called with the number of pictures done since the last call.
        notice: called with a line about a file that was read in part.
    Raises:
        ContractError: if a kind of pair is missing.
        DatasetError: if pictures are not there.
        FaceregError: if a network is not to be had.
    """
    require_roc()
    if listed.same.all() or not listed.same.any():
        raise ContractError("pairs: expected genuine and impostor pairs, got one kind only")
    paths = list(dict.fromkeys(listed.paths))
    if missing := absent(paths):
        raise DatasetError(f"{len(missing)} of {len(paths)} pictures are missing, such as {missing[0]}; check --images")
    embedder = pipeline.embedder if flip is None else FlippedEmbedder(pipeline.embedder, flip)
    if listed.faces is None:
        known = find_main_faces(pipeline.detector, paths, notice=notice)
    else:
        known = KnownFaces({path: listed.faces[path] for path in paths})
    held = embed_known_faces(pipeline.aligner, embedder, known, progress=progress)
    for error in held.unseen:
        notice(str(error))
    row_of = {path: row for row, path in enumerate(paths)}
    rows = np.array([row_of[path] for path in listed.paths])
    seen = held.found[rows]
    scores = np.array([float(known.faces[path].scores.max(initial=0)) for path in paths], np.float32)
    if weighted:
        seen &= scores[rows] > 0  # what weighs nothing is no face
    numbers, vectors = pool_vectors(
        held.vectors[rows[seen]],
        listed.templates[seen],
        listed.media[seen],
        weights=scores[rows[seen]] if weighted else None,
    )
    cosines = _cosines(numbers, vectors, listed.first, listed.second)
    curve = roc(cosines, listed.same)
    impostors = int((~listed.same).sum())
    templates = len(np.unique(listed.templates))
    return TemplateResult(
        tpr_at_far={far: tpr_at(curve, far, impostors) for far in FARS},
        curve=curve,
        pairs=len(listed.same),
        templates=templates,
        images=len(paths),
        missing=templates - len(numbers),
        without_face=int((~held.found).sum()),
        errors=held.errors,
    )


def _cosines(numbers: IntArray, vectors: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    """Return (P,) cosines of templates, REFUSED where one has no vector."""
    cosines = np.full(len(first), REFUSED, np.float32)
    for start in range(0, len(first) if len(numbers) else 0, BLOCK):
        part = slice(start, start + BLOCK)
        rows = [np.minimum(np.searchsorted(numbers, one[part]), len(numbers) - 1) for one in (first, second)]
        known: BoolArray = (numbers[rows[0]] == first[part]) & (numbers[rows[1]] == second[part])
        products = (vectors[rows[0]] * vectors[rows[1]]).sum(1)
        cosines[part] = np.where(known, products, REFUSED)
    return cosines
