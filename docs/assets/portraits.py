"""Two portraits in the public domain, altered as faces in the wild are, and a crowd of them all, each 80 px high.

`python docs/assets/portraits.py FOLDER`, then `facereg landmarks FOLDER --sheet FILE` shows what an aligner makes of them. Needs scikit-image and matplotlib, whose
sample pictures they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import matplotlib
import numpy as np

from facereg import Image, read_image, resize, write_image
from facereg.data.sheet import in_rows
from facereg.testing.pictures import photograph


CROWD = 80  # px of a portrait among the others


def altered(portrait: Image) -> dict[str, Image]:
    """Return a portrait as it is, blurred, small, dark, turned, from one side, half covered and noisy."""
    height, width = portrait.shape[:2]
    rng = np.random.default_rng(0)
    turn = cv2.getRotationMatrix2D((width / 2, height / 3), 40, 0.8)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    aside = corners * [0.55, 1] + np.array([[0, 0], [0, 0.08], [0, -0.08], [0, 0]]) * height
    covered = portrait.copy()
    covered[:, : round(0.42 * width)] = 40
    noisy = portrait + rng.normal(0, 40, portrait.shape)
    return {
        "as it is": portrait,
        "blurred": cv2.GaussianBlur(portrait, (0, 0), 7).astype(np.uint8),
        "small": resize(portrait, 0.12).pixels,
        "dark": (portrait * 0.15).astype(np.uint8),
        "turned": cv2.warpAffine(portrait, turn, (width, height)).astype(np.uint8),
        "narrow": cv2.warpPerspective(
            portrait, cv2.getPerspectiveTransform(corners, aside.astype(np.float32)), (width, height)
        ).astype(np.uint8),
        "covered": covered,
        "noisy": np.clip(noisy, 0, 255).astype(np.uint8),
    }


def main(folder: Path) -> None:
    """Write the pictures."""
    astronaut = photograph()
    if astronaut is None:
        raise SystemExit("the portrait of an astronaut needs scikit-image; pip install scikit-image")
    admiral = read_image(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    crowd = []
    for name, portrait in (("1", astronaut[:330, 60:390]), ("2", admiral)):
        for number, (what, picture) in enumerate(altered(portrait).items()):
            write_image(folder / f"{name}-{number} {what}.png", picture)
            crowd.append(resize(picture, CROWD / max(picture.shape[:2])).pixels)
    write_image(folder / "3 crowd.png", in_rows(crowd, columns=8, side=CROWD))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
