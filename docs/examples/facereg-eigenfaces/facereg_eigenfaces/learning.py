"""The recipe: principal components of aligned crops, written as a network that takes the crops as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from facereg import ContractError, DatasetError, FloatArray, find_images, read_image
from facereg.testing import face_crops, write_answers
from facereg.training import file_sha256, parse_settings, read_each, whole_file
from sklearn.decomposition import PCA

from facereg_eigenfaces.embedder import EigenfacesEmbedder

CROP, POOL = EigenfacesEmbedder.crop_size, 4  # px; each pixel of a small face is the mean of 4x4 of its crop
SMALL = CROP // POOL
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of R, G, B: ITU-R BT.601
GRAPH = f"""
<ir_version: 8, opset_import: ["" : 17]>
eigenfaces (uint8[n, {CROP}, {CROP}, 3] images) => (float[n, dim] embedding) {{
    floats = Cast <to = 1> (images)
    grey = MatMul (floats, luma)
    first = Transpose <perm = [0, 3, 1, 2]> (grey)
    small = AveragePool <kernel_shape = [{POOL}, {POOL}], strides = [{POOL}, {POOL}]> (first)
    face = Flatten (small)
    level = ReduceMean <axes = [1], keepdims = 1> (face)
    centred = Sub (face, level)
    squared = Mul (centred, centred)
    variance = ReduceMean <axes = [1], keepdims = 1> (squared)
    deviation = Sqrt (variance)
    divisor = Max (deviation, one)
    even = Div (centred, divisor)
    unlike = Sub (even, mean)
    embedding = MatMul (unlike, components)
}}
"""


@dataclass(frozen=True, slots=True)
class EigenfacesSettings:
    """Settings of the recipe.

    Args:
        every: take one crop of so many, for a try.
    """

    every: int = 1


def run(data: Sequence[Path], out: Path, resume: bool, settings: Mapping[str, str]) -> None:
    """Learn from every picture below the folders and write eigenfaces.onnx and answers.npz into `out`.

    `resume` changes nothing: learning takes seconds, draws nothing and begins anew.

    Raises:
        ContractError: if no folder is given, or a setting is unknown.
        DatasetError: if a crop has another size, or there are fewer than two for each component.
    """
    if not data:
        raise ContractError("data: expected at least one folder of aligned crops, got none; pass --data DIR")
    given = parse_settings(EigenfacesSettings, settings, lowest={"every": 1})
    faces = read_each(find_images(data)[:: given.every], _read, doing="reading crops")
    components = EigenfacesEmbedder.dim
    if len(faces) < 2 * components:
        raise DatasetError(f"data: expected at least {2 * components} crops, got {len(faces)}; give more folders")
    found = learn(np.stack(faces))
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / "eigenfaces.onnx") as stream:
        stream.write(network(found).SerializeToString())
    space = f"eigenfaces:{file_sha256(out / 'eigenfaces.onnx')[:12]}"
    write_answers(out / "answers.npz", found.transform(even_faces(face_crops(CROP))), space=space)


def even_faces(pixels: npt.NDArray[np.uint8]) -> FloatArray:
    """Return small grey faces of one brightness and contrast.

    Args:
        pixels: (N, 112, 112, 3) uint8 RGB.
    Returns:
        (N, 784) float32, each row of mean 0 and, where the crop is not flat, of deviation 1.
    """
    grey = (pixels.astype(np.float32) @ LUMA).reshape(-1, SMALL, POOL, SMALL, POOL).mean((2, 4))
    face = grey.reshape(len(pixels), -1)
    centred = face - face.mean(1, keepdims=True)
    even: FloatArray = centred / np.maximum(centred.std(1, keepdims=True), 1)
    return even


def learn(faces: FloatArray) -> PCA:
    """Return the directions in which faces (N, 784) differ most, each scaled to a variance of 1."""
    return PCA(EigenfacesEmbedder.dim, whiten=True, svd_solver="covariance_eigh").fit(faces)


def network(found: PCA) -> onnx.ModelProto:
    """Return `even_faces` and the PCA's transform as one network from `images` to `embedding`."""
    model = onnx.parser.parse_model(GRAPH)
    tensors = {
        "luma": LUMA[:, None],
        "one": np.ones(1, np.float32),
        "mean": found.mean_.astype(np.float32),
        "components": (found.components_ / np.sqrt(found.explained_variance_)[:, None]).T.astype(np.float32),
    }
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in tensors.items())
    onnx.checker.check_model(model)
    return model


def _read(path: Path) -> FloatArray:
    crop = read_image(path)
    if crop.shape != (CROP, CROP, 3):
        raise DatasetError(
            f"{path}: expected a crop of {CROP}x{CROP}, got {crop.shape[1]}x{crop.shape[0]}; align faces first"
        )
    face: FloatArray = even_faces(crop[None])[0]
    return face
