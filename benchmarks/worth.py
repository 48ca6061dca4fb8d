"""What each model is worth: accuracy, as the files of results/ have it, against the time of one thread.

    python -m benchmarks.worth      # needs FACEREG_DATA; a peer's row needs FACEREG_WEIGHTS too

Writes results/worth.json and .png. Accuracy was measured before, by `make results`; time is taken here, all models of a
role in turn in one run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from matplotlib import pyplot

from benchmarks.measuring import best
from facereg import Image, default_registry, find_images, read_image
from facereg.evaluation.plots import save_figure
from facereg.evaluation.reports import write_report
from facereg.pipeline.composition import Composition, StageChoice
from facereg.roles import RoleName

RESULTS = Path(__file__).parent.parent / "results"
CROWDS, FACES = 12, 32  # pictures and crops that time is taken on
SIZE_640: Mapping[str, object] = {"enlarge": 8.0, "fallback": False}


@dataclass(frozen=True)
class Model:
    """A model as a file of results/ measured it; `peer` names its file in FACEREG_WEIGHTS."""

    name: str
    file: str
    options: Mapping[str, object] = field(default_factory=dict)
    peer: str = ""

    def figure(self, name: str) -> float:
        return float(json.loads((RESULTS / f"{self.file}.json").read_text("utf-8"))[name])

    def label(self) -> str:
        return self.peer.partition("_")[0] if self.peer else self.name

    def choice(self, role: RoleName) -> StageChoice:
        weights = Path(os.environ["FACEREG_WEIGHTS"], self.peer) if self.peer else None
        return StageChoice(role, self.name, threads=1, weights=weights, options=self.options)


DETECTORS = (
    Model("mtcnn", "detection", {"min_face": 10}),
    Model("yolov5s-face", "yolov5-detection", SIZE_640),
    Model("yolov5s-face:int8", "yolov5-int8-detection", SIZE_640),
    Model("yunet", "yunet-detection", peer="yunet_n_dynamic.onnx"),
)
EMBEDDERS = (
    Model("mobilenetv3-arcface", "verification"),
    Model("dlib-resnet", "dlib-verification"),
    Model("onnx-arcface", "mobilefacenet-verification", peer="mobilefacenet_casia_128.onnx"),
)


def detecting(model: Model, pictures: Sequence[Image], opened: ExitStack) -> Callable[[], int]:
    """Return work that finds the faces of the pictures, one by one."""
    detector = opened.enter_context(Composition(detector=model.choice("detector")).make_detector(default_registry()))
    return lambda: sum(len(detector.detect([picture])) for picture in pictures)


def embedding(model: Model, crops: Sequence[Image], opened: ExitStack) -> Callable[[], int]:
    """Return work that embeds the crops, resized to what the model takes, one by one."""
    embedder = opened.enter_context(Composition(embedder=model.choice("embedder")).make_embedder(default_registry()))
    size = embedder.crop_size
    taken = [cv2.resize(crop, (size, size)).astype(np.uint8)[None] for crop in crops]
    return lambda: sum(len(embedder.embed(pixels)) for pixels in taken)


def main() -> None:
    cv2.setNumThreads(1)
    data = Path(os.environ["FACEREG_DATA"])
    crowds, crops = (find_images([data / name]) for name in ("faces-in-crowds/images", "celeba-faces112"))
    panels = (
        (DETECTORS, detecting, crowds[:: len(crowds) // CROWDS], "ap50_large", "AP50 of the crowds' faces from 24 px"),
        (EMBEDDERS, embedding, crops[:: len(crops) // FACES], "accuracy", "accuracy on LFW View 1"),
    )
    _, axes = pyplot.subplots(1, len(panels), figsize=(11, 4.5))
    rows = []
    for axis, (every, work, paths, name, what) in zip(axes, panels, strict=True):
        models = [model for model in every if not model.peer or "FACEREG_WEIGHTS" in os.environ]
        pictures = [read_image(path) for path in paths]
        with ExitStack() as opened:
            rates = best({model.label(): work(model, pictures, opened) for model in models})
        for model in models:
            took, worth = 1000 / rates[model.label()], model.figure(name)
            rows.append({"model": model.label(), name: worth, "ms": round(took, 2)})
            axis.plot(took, worth, "s" if model.peer else "o")
            beside = (6, -12 if len(rows) % 2 else 4)  # above and below in turn
            axis.annotate(model.label(), (took, worth), xytext=beside, textcoords="offset points")
        axis.set(xlabel=f"ms {'a picture' if work is detecting else 'a face'}, one thread", ylabel=what)
        axis.set_xlim(0, 1.6 * axis.get_xlim()[1])  # room for the names
        axis.margins(y=0.2)
        axis.grid(alpha=0.3)
    save_figure(RESULTS / "worth.png")
    write_report(RESULTS / "worth.json", {"rows": rows}, command="python -m benchmarks.worth", models={})


if __name__ == "__main__":
    main()
