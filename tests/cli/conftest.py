"""Real photographs for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from facereg.images import read_image, write_image
from facereg.types import Image


@pytest.fixture(scope="session")
def photographs() -> dict[str, Image]:
    """Two photographs of one face each, that come with dependencies, at half their size."""
    import matplotlib
    from skimage import data

    astronaut: Image = data.astronaut()  # type: ignore[no-untyped-call]
    grace = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    whole = {"Eileen Collins": astronaut, "Grace Hopper": read_image(grace)}
    return {
        name: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)
        for name, image in whole.items()
    }


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Image]) -> Path:
    """Return a folder with a folder of two pictures for each person."""
    folder = tmp_path_factory.mktemp("people")
    for name, image in photographs.items():
        write_image(folder / name / "1.jpg", image)
        write_image(folder / name / "2.png", np.clip(image * 0.7, 0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def mirrored(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Image]) -> Path:
    """Return a folder of one altered picture of each person, named after them."""
    folder = tmp_path_factory.mktemp("probes")
    for name, image in photographs.items():
        write_image(folder / f"{name}.png", np.ascontiguousarray(image[:, ::-1]))
    return folder


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Image]) -> Path:
    """Return a film of five frames in which a photograph is moved to the right."""
    path = tmp_path_factory.mktemp("video") / "film.avi"
    image = photographs["Eileen Collins"]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (320, 256))
    assert writer.isOpened()
    for step in range(5):
        frame = np.zeros((256, 320, 3), np.uint8)
        frame[:, 8 * step : 8 * step + 256] = image
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Leave no figure open for the next test."""
    yield
    from matplotlib import pyplot

    pyplot.close("all")
