"""Curves as pictures: ROC and DET, precision and recall, TPIR and FPIR, errors of points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from facereg.disk.replacing import whole_file, writing
from facereg.errors import MissingExtraError
from facereg.types import FloatArray

try:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot
    from matplotlib.axes import Axes
    from scipy.stats import norm
except ImportError as error:
    raise MissingExtraError("pictures of curves need matplotlib; pip install 'facereg-core[app]'") from error

TICKS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8)  # of DET axes


def plot_verification(path: Path, curves: Mapping[str, FloatArray], title: str) -> None:
    """Draw ROC (log FAR) and DET (normal deviates; Martin et al. 1997) of rows FAR, TPR, threshold, by model."""
    _, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.5))
    for name, curve in curves.items():
        left.semilogx(np.maximum(curve[:, 0], 1e-6), curve[:, 1], label=plain_label(name))
    least = min((float(curve[curve[:, 0] > 0, 0].min(initial=1.0)) for curve in curves.values()), default=1.0)
    left.set_xlim(max(1e-6, min(least / 2, 0.5)), 1)
    _axes(left, "false accept rate", "true positive rate", title)
    _det(right, curves, "false accept rate", "false reject rate")
    if len(curves) > 1:
        left.legend(loc="lower right", fontsize="small")
    save_figure(path)


def plot_detection(path: Path, curves: Mapping[str, FloatArray], title: str) -> None:
    """Draw precision against recall of rows recall, precision, score."""
    _, axis = pyplot.subplots(figsize=(5.5, 4.5))
    for name, curve in curves.items():
        axis.plot(curve[:, 0], curve[:, 1], label=plain_label(name))
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.legend(loc="lower left")
    _axes(axis, "recall", "precision", title)
    save_figure(path)


def plot_grouping(path: Path, curves: Mapping[str, FloatArray], title: str) -> None:
    """Draw BCubed F against the threshold of rows threshold, F, by method."""
    _, axis = pyplot.subplots(figsize=(5.5, 4.5))
    for name, curve in curves.items():
        axis.plot(curve[:, 0], curve[:, 1], ".-", label=plain_label(name))
    axis.set(ylim=(0, 1.02))
    axis.legend()
    _axes(axis, "cosine similarity", "BCubed F", title)
    save_figure(path)


def plot_points(
    path: Path,
    curves: Mapping[str, FloatArray],
    shape: FloatArray,
    means: FloatArray,
    lines: Iterable[Sequence[int]],
    title: str,
) -> None:
    """Draw the share of faces with at most an error, and on a face (P, 2) the mean error of each point, in percent.

    Args:
        lines: of the face, each through these points.
    """
    _, (left, right) = pyplot.subplots(1, 2, figsize=(10.5, 4.5))
    for name, curve in curves.items():
        left.plot(curve[:, 0], curve[:, 1], label=plain_label(name))
    left.set(ylim=(0, 1.02))
    left.legend(loc="lower right")
    _axes(left, "error, in distances between the eyes", "share of faces", title)
    for line in lines:
        right.plot(*shape[list(line)].T, color="lightgrey", zorder=0)
    known = np.where(np.isfinite(means), means, np.nan)
    drawn = right.scatter(*shape.T, c=known, s=2000 / len(shape) + 10, cmap="viridis_r", plotnonfinite=True)
    right.margins(0.15)
    right.set(aspect="equal", xticks=[], yticks=[], title="mean error of each point, %")
    right.invert_yaxis()  # y runs down
    pyplot.colorbar(drawn, ax=right)
    save_figure(path)


def plot_identification(path: Path, curves: Mapping[str, FloatArray], title: str) -> None:
    """Draw TPIR against FPIR, and DET, of rows FPIR, TPIR, threshold, by size of the gallery."""
    _, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.5))
    for name, curve in curves.items():
        left.semilogx(np.maximum(curve[:, 0], 1e-4), curve[:, 1], label=plain_label(name))
    left.set(xlim=(1e-3, 1), ylim=(0, 1.02))
    left.legend(loc="lower right", fontsize="small")
    _axes(left, "false positive identification rate", "true positive identification rate", title)
    _det(right, curves, "false positive identification rate", "false negative identification rate")
    save_figure(path)


def _det(axis: Axes, curves: Mapping[str, FloatArray], x: str, y: str) -> None:
    """Draw the errors of rows false rate, true rate, ... against each other, as normal deviates."""
    for name, curve in curves.items():
        false, true = curve[:, 0], curve[:, 1]
        inside = (false > 0) & (false < 1) & (true < 1) & (true > 0)
        axis.plot(norm.ppf(false[inside]), norm.ppf(1 - true[inside]), label=plain_label(name))
    axis.set_xticks(norm.ppf(TICKS), [f"{tick:g}" for tick in TICKS])
    axis.set_yticks(norm.ppf(TICKS), [f"{tick:g}" for tick in TICKS])
    _axes(axis, x, y, "DET")


def _axes(axis: Axes, x: str, y: str, title: str) -> None:
    axis.set(xlabel=x, ylabel=y, title=plain_label(title))
    axis.grid(alpha=0.3)


def plain_label(name: str) -> str:
    """Return a name as matplotlib draws it: a dollar is no formula, and one that begins with _ is in the legend."""
    plain = name.replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def save_figure(path: Path) -> None:
    """Write the figure that is open, of the kind that the file's ending names, and close it.

    Raises:
        FaceregError: if the file cannot be written.
    """
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            pyplot.tight_layout()
            with whole_file(path) as stream:
                pyplot.savefig(stream, dpi=110, format=path.suffix[1:] or "png")
    finally:
        pyplot.close("all")
