"""What calibrated thresholds promise: on half the people for the other half, and on few people for up to a million.

Writes results/calibration.json: shares of celeba-wild's impostor pairs accepted, and of generated strangers named.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from facereg import Embeddings, FloatArray, Pipeline
from facereg.evaluation import calibrate_gallery, read_people
from facereg.evaluation.main_faces import MainFaces, embed_main_faces
from facereg.evaluation.reports import write_report
from facereg.gallery import Gallery, Source
from facereg.gallery.thresholds import Calibration, far_for

ROOT = Path(__file__).parent.parent
RATE = 0.01
SEEDS = 5
SIZES = (1000, 10_000, 100_000, 1_000_000)
DIM, BLOCK = 128, 10_000


def calibrated(names: list[str], vectors: FloatArray, space: str) -> Calibration:
    """Return the calibration of a gallery of these people."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Gallery.open(Path(folder) / "g", space=space, create=True) as gallery,
    ):
        for name in dict.fromkeys(names):
            own = [row for row, held in enumerate(names) if held == name]
            gallery.enroll(name, Embeddings(vectors[own], space), [Source(f"{row}", f"{row:064x}") for row in own])
        return calibrate_gallery(gallery, RATE).calibration


def halves(names: list[str], faces: MainFaces) -> list[float]:
    """Return by seed the false accept rate on half the people at the threshold of the other half."""
    rates = []
    people, owner = sorted(set(names)), np.array(names)
    for seed in range(SEEDS):
        half = np.isin(owner, np.random.default_rng(seed).permutation(people)[: len(people) // 2])
        chosen, others = half & faces.found, ~half & faces.found
        threshold = calibrated(owner[chosen].tolist(), faces.vectors[chosen], faces.space).at().value
        cosines = faces.vectors[others] @ faces.vectors[others].T
        apart = owner[others][:, None] < owner[others]  # each two people's pictures once
        rates.append(float((cosines[apart] >= threshold).mean()))
    return rates


def generated(count: int, seed: int) -> FloatArray:
    """Return people that nobody is, (count, DIM): directions are used unevenly, as networks do."""
    drawn = np.random.default_rng(seed).standard_normal((count, DIM), np.float32)
    drawn *= np.arange(1, DIM + 1, dtype=np.float32) ** -0.5
    unit: FloatArray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def by_size() -> dict[str, float]:
    """Return the share of 2,000 strangers named among so many people, at the threshold of 1,500 others for RATE."""
    known = calibrated([f"{row}" for row in range(1500)], generated(1500, 0), "generated")
    strangers, nearest = generated(2000, 1), np.full(2000, -1, np.float32)
    named, done = {}, 0
    for size in SIZES:
        while done < size:
            count = min(BLOCK, size - done)
            nearest = np.maximum(nearest, (strangers @ generated(count, 2 + done).T).max(1))
            done += count
        named[str(size)] = float((nearest >= known.at(far_for(size, RATE)).value).mean())
    return named


def main() -> None:
    """Measure both and write them."""
    people = read_people(Path(os.environ["FACEREG_DATA"]) / "celeba-wild" / "identities")
    paths = [path for own in people.values() for path in own]
    models = {"detector": "mtcnn", "aligner": "five-point", "embedder": "mobilenetv3-arcface"}
    with Pipeline.create(**models) as pipeline:
        faces = embed_main_faces(pipeline, paths)
    rates = halves([name for name, own in people.items() for _ in own], faces)
    figures = {"rate": RATE, "on_other_half": rates, "strangers_named_of_people": by_size()}
    write_report(ROOT / "results" / "calibration.json", figures, command="make results", models=models)
    print(figures)  # noqa: T201


if __name__ == "__main__":
    main()
