"""Draw the layouts of points: `python docs/assets/layouts.py docs/assets/layouts.png`.

Where their points lie is in layouts.json: the mean face of WFLW's as the public PFLD finds them in CelebA photographs,
of 300-W's as labelled in YouTube Faces, both made symmetric; COFW's from WFLW's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

from facereg import LAYOUTS

matplotlib.use("agg")
from matplotlib import pyplot  # noqa: E402

shapes = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
figure, axes = pyplot.subplots(1, len(shapes), figsize=(21, 8))
for axis, (name, shape) in zip(axes, shapes.items(), strict=True):
    known, points = LAYOUTS[name], np.array(shape)
    for edge in known.edges:
        order = [*edge.points, *edge.points[: edge.closed]]
        axis.plot(*points[order].T, linewidth=1, color="tab:blue")
    axis.plot(*points.T, ".", markersize=4, color="black")
    for number, (x, y) in enumerate(points):
        axis.annotate(str(number), (x, y), fontsize=7, xytext=(2, 2), textcoords="offset points")
    axis.plot(*points[list(known.eyes)].T, "o", markersize=9, fillstyle="none", color="tab:red")
    axis.plot(*known.five_of(points).T, "x", markersize=8, color="tab:green")
    axis.set(title=f"{name}: {len(known.edges)} edges, {known.points} points", aspect="equal")
    axis.invert_yaxis()
    axis.axis("off")
figure.tight_layout()
figure.savefig(sys.argv[1], dpi=70)
