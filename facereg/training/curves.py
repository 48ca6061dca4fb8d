"""Training curves as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from facereg.disk.replacing import whole_file, write_file, writing


def draw_curves(log: Path, picture: Path, columns: Sequence[str]) -> None:
    """Draw columns of a Lightning CSV log over the steps, raw and smoothed."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    series = read_log(log)
    figure, axes = pyplot.subplots(1, len(columns), figsize=(5 * len(columns), 3.5), squeeze=False)
    for axis, column in zip(axes[0], columns, strict=True):
        points = np.array(series.get(column, [(0, np.nan)]))
        axis.plot(points[:, 0], points[:, 1], alpha=0.3)
        width = max(1, len(points) // 50)
        smooth = np.convolve(points[:, 1], np.ones(width) / width, "valid")
        axis.plot(points[width - 1 :, 0], smooth)
        axis.set(xlabel="step", title=column)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    with writing(picture), whole_file(picture) as stream:
        figure.savefig(stream, dpi=100, format="png")
    pyplot.close(figure)


def read_log(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) pairs of every column of a Lightning CSV log."""
    columns: dict[str, list[tuple[int, float]]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            for key, value in row.items():
                if key not in ("step", "epoch") and value:
                    columns.setdefault(key, []).append((int(row["step"]), float(value)))
    return columns


def join_logs(earlier: Path, later: Path, out: Path) -> None:
    """Write the log of a run in two parts as one; what `earlier` has from the first step of `later` on is dropped.

    A part may be missing. `out` may be one of them.
    """
    parts = []
    for path in (earlier, later):
        rows = []
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
        parts.append(rows)
    first, second = parts
    if second:
        first = [row for row in first if int(row["step"]) < int(second[0]["step"])]
    columns = list(dict.fromkeys(key for row in (*first, *second) for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows([*first, *second])
    write_file(out, text.getvalue().encode())
