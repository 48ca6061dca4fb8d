"""The pairs judged most wrongly are drawn first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facereg.data.pairs import Pair
from facereg.evaluation.verification import REFUSED
from facereg.evaluation.worst_pairs import HEIGHT, STRIP, draw_worst_pairs
from facereg.images import read_image, write_image
from facereg.testing.pictures import noise


def test_the_farthest_on_the_wrong_side_comes_first_and_a_pair_without_a_face_not_at_all(tmp_path: Path) -> None:
    for number in range(5):
        write_image(tmp_path / "in" / f"{number}.png", noise(100 + 20 * number, 80, seed=number))
    names = [(0, 1, True), (1, 2, False), (2, 3, True), (3, 4, False)]
    pairs = [Pair(tmp_path / "in" / f"{a}.png", tmp_path / "in" / f"{b}.png", same) for a, b, same in names]
    similarities = np.array([0.3, 0.9, REFUSED, 0.1], np.float32)
    right = np.array([False, False, False, True])
    drawn = draw_worst_pairs(tmp_path / "out", pairs, similarities, right, 0.4)
    assert [path.name for path in drawn] == ["01-1.jpg", "02-0.jpg"]
    widths = [round(80 * HEIGHT / height) for height in (120, 140)]
    assert abs(read_image(drawn[0]).shape[1] - sum(widths)) <= 2
    assert read_image(drawn[0]).shape[0] == HEIGHT + STRIP
