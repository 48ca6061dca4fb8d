"""Vectors as pgvector reads and writes them: `[0.5,-1,2]`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def as_text(vector: npt.NDArray[np.float32]) -> str:
    """Return (D,) float32 as text that gives the same numbers back."""
    return f"[{','.join(map(repr, vector.tolist()))}]"


def from_text(text: str) -> npt.NDArray[np.float64]:
    """Return the numbers of such a text."""
    return np.array(text.strip("[]").split(","), np.float64)
