"""The photographs that the examples of the documentation name."""

from __future__ import annotations

import os
import shutil
from itertools import combinations, cycle, islice, product
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import psycopg
import pytest

from facereg.images import read_image, write_image
from facereg.testing.pictures import photograph
from facereg.types import Image

BROUGHT = {
    "yunet_n_dynamic.onnx": "yunet.onnx",
    "mobilefacenet_casia_128.onnx": "arcface.onnx",
    "pfld_ghostone_wflw98.onnx": "landmarks.onnx",
}
EACH = 50  # pairs of each kind in each of the two folds of pairs.txt


@pytest.fixture(scope="session")
def scenery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every picture and list that an example names: two people, real photographs, altered copies."""
    folder = tmp_path_factory.mktemp("scenery")
    astronaut = photograph()
    assert astronaut is not None
    admiral = read_image(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    ada, grace = altered(astronaut), altered(admiral)
    for name, pictures in {"Ada": ada, "Grace": grace}.items():
        for number, picture in enumerate(pictures, 1):
            write_image(folder / "people" / name / f"{number}.jpg", picture)
            write_image(folder / "lfw" / name / f"{name}_{number:04d}.jpg", picture)
    both = np.concatenate([astronaut[:500, :500], admiral[:500, :500]], 1)
    for path in ("photo.jpg", "photos/1.jpg", "DATA/photos/1.jpg", "party/1.jpg"):
        write_image(folder / path, both)
    for path in ("photos/2.jpg", "DATA/photos/2.jpg", "party/2.jpg", "passport.jpg"):
        write_image(folder / path, ada[0])
    write_image(folder / "visitor.jpg", ada[1])
    (folder / "pairs.txt").write_text(pairs(len(ada)), "utf-8")
    weights = os.environ.get("FACEREG_WEIGHTS", "")
    for source, name in BROUGHT.items():
        if weights and Path(weights, source).is_file():
            shutil.copy(Path(weights, source), folder / name)
    return folder


def altered(image: Image) -> list[Image]:
    """Return five pictures of one person; the first is the photograph."""
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)
    dark = (image * 0.5).astype(np.uint8)
    grey = np.repeat(cv2.cvtColor(half, cv2.COLOR_RGB2GRAY)[..., None], 3, 2).astype(np.uint8)
    return [image, mirrored(image), half, dark[::2, ::2].copy(), mirrored(grey)]


def mirrored(image: Image) -> Image:
    """Return the picture as in a mirror."""
    return np.ascontiguousarray(image[:, ::-1])


def pairs(count: int) -> str:
    """Return an LFW list of two folds over `count` pictures of each person."""
    genuine = cycle(f"{name} {i} {j}" for name in ("Ada", "Grace") for i, j in combinations(range(1, count + 1), 2))
    impostor = cycle(f"Ada {i} Grace {j}" for i, j in product(range(1, count + 1), repeat=2))
    folds = [line for _ in range(2) for kind in (genuine, impostor) for line in islice(kind, EACH)]
    return "\n".join([f"2 {EACH}", *folds, ""])


@pytest.fixture
def place(scenery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the scenery to work in, and nothing remembered from elsewhere."""
    folder = tmp_path / "place"
    shutil.copytree(scenery, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FACEREG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FACEREG_LOAD_PLUGINS", raising=False)
    return folder


@pytest.fixture
def database_named_faces(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `postgresql:///faces` leads to, as on a machine whose variables name the server."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS faces")
        connection.execute("CREATE DATABASE faces")
        monkeypatch.setenv("PGHOST", connection.info.host)
        monkeypatch.setenv("PGUSER", connection.info.user)
