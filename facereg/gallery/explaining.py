"""Why a face was given a name, or none: what it is like, the threshold, where that comes from, and who comes next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facereg.gallery.thresholds import Threshold


def explain(line: Mapping[str, Any], used: Threshold) -> dict[str, object]:
    """Return what decided over a face: `threshold far interval origin margin second`, and `text` that says it.

    Args:
        line: of the face, with `similarity` and `candidates`, best first, as `identify` prints it.
        used: the threshold in force.
    """
    best, second = (*line["candidates"][:2], None, None)[:2]
    margin = None if best is None else round(best["similarity"] - used.value, 6)
    rate = "" if used.far is None else f" of false accept rate {used.far:.2g}"
    threshold = f"the threshold {used.value:.3f}{rate} ({used.origin})"
    if best is None or margin is None:
        text = f"nobody is known; {threshold}"
    else:
        side = "above" if margin >= 0 else "below"
        text = f"nearest to {best['label']}, {abs(margin):.3f} {side} {threshold}"
    if second is not None:
        text += f"; second best {second['label']}, {second['similarity']:.3f}"
    return {
        "threshold": used.value,
        "far": used.far,
        "interval": used.interval,
        "origin": used.origin,
        "margin": margin,
        "second": second,
        "text": text,
    }
