"""The embedder keeps the contract; its network is what scikit-learn says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facereg import ContractError, DatasetError, Embedder, Registry, write_image
from facereg.testing import EmbedderContract, face_crops

from facereg_eigenfaces import plugin
from facereg_eigenfaces.learning import even_faces, learn, run


def create() -> Embedder:
    registry = Registry()
    registry.register(plugin, name="eigenfaces")
    return registry.create("eigenfaces", role="embedder")


class TestItKeepsTheContract(EmbedderContract):
    def make(self) -> Embedder:
        return create()


def test_an_even_face_does_not_tell_brightness_and_contrast() -> None:
    crop = np.random.default_rng(0).integers(60, 120, (1, 112, 112, 3)).astype(np.uint8)
    assert even_faces(2 * crop + 10) == pytest.approx(even_faces(crop), abs=1e-4)  # float32
    assert even_faces(np.full_like(crop, 90)) == pytest.approx(np.zeros((1, 784)))


def test_the_components_by_hand() -> None:
    """Faces that differ along two axes: the longer one comes first, and both are scaled to one length."""
    faces = np.zeros((400, 784), np.float32)
    rng = np.random.default_rng(0)
    faces[:, 5], faces[:, 9] = 3 * rng.normal(size=400), rng.normal(size=400)
    faces += 1e-3 * rng.normal(size=faces.shape).astype(np.float32)
    found = learn(faces)
    assert np.abs(found.components_[:2]).argmax(1).tolist() == [5, 9]
    assert found.transform(faces)[:, :2].std(0) == pytest.approx([1, 1], abs=0.01)  # n or n - 1


def test_the_network_of_the_recipe_gives_what_scikit_learn_gives(tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    for number, noise in enumerate(np.random.default_rng(0).integers(0, 256, (130, 28, 28, 3), np.uint8)):
        write_image(faces / f"{number}.png", noise.repeat(4, 0).repeat(4, 1))
    run([faces], tmp_path / "out", False, {})
    registry = Registry()
    registry.register(plugin, name="eigenfaces")
    with (
        registry.create("eigenfaces", role="embedder", weights=tmp_path / "out/eigenfaces.onnx") as made,
        np.load(tmp_path / "out/answers.npz") as held,
    ):
        made.flip = False
        assert made.space == str(held["space"])
        expected = held["vectors"] / np.linalg.norm(held["vectors"], axis=1, keepdims=True)
        assert made.embed(face_crops(112)).vectors == pytest.approx(expected, abs=1e-3)  # float32
    with pytest.raises(DatasetError, match="expected at least 128 crops, got 65; give more"):
        run([faces], tmp_path / "out", False, {"every": "2"})


def test_wrong_data_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="pass --data DIR"):
        run([], tmp_path, False, {})
    write_image(tmp_path / "large.png", np.zeros((250, 240, 3), np.uint8))
    with pytest.raises(DatasetError, match="large.png: expected a crop of 112x112, got 240x250; align faces first"):
        run([tmp_path], tmp_path / "out", False, {})
