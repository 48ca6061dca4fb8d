"""Which detector and aligner to take where nobody says: faces found and errors against time, on sets that only choose.

    python -m benchmarks.defaults                      # every row anew; needs FACEREG_DATA
    python -m benchmarks.defaults --aligner adnet-98   # that aligner with every detector, beside the rows held
    python -m benchmarks.defaults --every 4            # each fourth picture alone

Writes results/defaults.json and .png; `python benchmarks/report.py` writes the table. Milliseconds are of one
thread, all rows of a run in turn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
from matplotlib import pyplot

from benchmarks.measuring import best
from facereg import Aligner, Detector, Embedder, Faces, Image, Pipeline, default_registry, read_image
from facereg.data.boxes import LabelledImage
from facereg.data.formats import read_boxes
from facereg.data.pairs import PairList, read_pairs
from facereg.data.points import PointedImage, read_points
from facereg.data.splits import held_out
from facereg.evaluation import measure_detection, measure_landmarks, measure_verification
from facereg.evaluation.plots import save_figure
from facereg.evaluation.reports import write_report
from facereg.pipeline.composition import Composition, StageChoice

OUT = Path(__file__).parent.parent / "results" / "defaults.json"
ENLARGE = 3.0  # the sides of the pictures of 80 px
TIMED = 6  # pictures of each kind, at least
DETECTORS: tuple[tuple[str, Mapping[str, object]], ...] = (
    ("mtcnn", {}),
    ("mtcnn", {"fallback": True}),
    ("yolov5s-face", {}),
    ("yolov5s-face:int8", {"fallback": False}),
    ("yolov5s-face:int8", {}),
)
ALIGNERS = ("five-point", "adnet-68")


@dataclass(frozen=True)
class Choice:
    """A detector, its options in words, and an aligner."""

    detector: str
    options: str
    aligner: str

    @property
    def composition(self) -> Composition:
        """Return both, each network on one thread."""
        options = dict(word.split("=") for word in self.options.split())
        return Composition(
            StageChoice("detector", self.detector, threads=1, options=options),
            StageChoice("aligner", self.aligner, threads=1),
        )


@dataclass(frozen=True)
class Sets:
    """What the choice is made on; the detectors were trained on the points and the crowds."""

    points: Sequence[PointedImage]
    crowds: Sequence[LabelledImage]
    pairs: PairList

    @classmethod
    def read(cls, data: Path, every: int) -> Sets:
        """Read each `every`-th picture and pair."""
        points, crowds, faces = (data / name for name in ("landmarks-5pt", "faces-in-crowds", "lfw-view1"))
        boxes = read_boxes("wider", crowds / "dev_bbx_gt.txt", crowds / "images")
        pairs = read_pairs("lfw", faces / "pairsDevTrain.txt", faces / "images").pairs[::every]
        return cls(
            read_points("5pt", points / "train_5pt.txt", points / "images")[::every],
            held_out(boxes, key=lambda item: item.path.name)[0][::every],
            PairList(pairs, tuple(row % 10 for row in range(len(pairs)))),  # each tenth judged by the other nine
        )

    def timed(self) -> dict[str, list[Image]]:
        """Return pictures to take the time on, by kind."""
        kinds = {"portrait": self.pairs.paths, "crowd": [item.path for item in self.crowds]}
        return {
            kind: [read_image(path) for path in paths[:: max(1, len(paths) // TIMED)]] for kind, paths in kinds.items()
        }


class Remembering(Detector):
    """Gives again what a detector found in a picture before: each aligner has the same faces, found once."""

    def __init__(self, detector: Detector, seen: dict[bytes, Faces]) -> None:
        super().__init__(detector.networks)
        self._detector, self._seen = detector, seen

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        return [self._found(image) for image in images]

    def _found(self, image: Image) -> Faces:
        key = hashlib.sha256(bytes(str(image.shape), "ascii") + image.tobytes()).digest()
        if key not in self._seen:
            [self._seen[key]] = self._detector.detect([image])
        return self._seen[key]


class Kept(Detector):
    """The faces that the aligner does not refuse: those that a pipeline gives a vector."""

    def __init__(self, detector: Detector, aligner: Aligner) -> None:
        super().__init__(detector.networks)
        self._detector, self._aligner = detector, aligner

    def _detect(self, images: Sequence[Image]) -> list[Faces]:
        found = self._detector.detect(images)
        refused = self._aligner.align(images, found, size=112).refused
        reasons = iter(refused or [""] * sum(map(len, found)))
        return [faces[[not next(reasons) for _ in range(len(faces))]] for faces in found]


def measure(choice: Choice, sets: Sets, embedder: Embedder, seen: dict[bytes, Faces]) -> dict[str, object]:
    """Return the figures of one choice; `seen` holds what its detector found before."""
    made, registry = choice.composition, default_registry()
    with made.make_detector(registry) as own, made.make_aligner(registry) as aligner:
        detector = Remembering(own, seen)
        points = measure_landmarks(detector, sets.points, aligner=aligner, enlarge=ENLARGE).figures()
        crowds = measure_detection(Kept(detector, aligner), sets.crowds).figures()
        pairs = measure_verification(Pipeline(detector, aligner, embedder), sets.pairs).figures()
    return {
        **{name: points[name] for name in ("images", "missed", "refused", "nme", "fr10")},
        **{f"crowds_{name}": crowds[name] for name in ("images", "faces", "precision", "recall", "ap50")},
        **{name: pairs[name] for name in ("pairs", "missing", "accuracy")},
    }


def milliseconds(choices: Sequence[Choice], pictures: Mapping[str, Sequence[Image]]) -> list[dict[str, float]]:
    """Return what each choice takes to find and align the faces of a picture, by kind; all choices in turn."""
    cv2.setNumThreads(1)
    ways: dict[str, Callable[[], int]] = {}
    with ExitStack() as opened:
        for row, choice in enumerate(choices):
            detector = opened.enter_context(choice.composition.make_detector(default_registry()))
            aligner = opened.enter_context(choice.composition.make_aligner(default_registry()))
            for kind, images in pictures.items():
                ways[f"{row} {kind}"] = partial(_worked, detector, aligner, images)
        rates = best(ways)
    return [{kind: round(1000 / rates[f"{row} {kind}"], 1) for kind in pictures} for row in range(len(choices))]


def _worked(detector: Detector, aligner: Aligner, images: Sequence[Image]) -> int:
    for image in images:
        aligner.align([image], detector.detect([image]), size=112)
    return len(images)


def draw(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Draw faces without points, and errors, against milliseconds."""
    _, axes = pyplot.subplots(1, 3, figsize=(14, 4.8))
    panels = (
        ("missed", "of 80 px portraits without points (refused among them)", "portrait"),
        ("nme", "error of the five landmarks, %", "portrait"),
        ("crowds_recall", "share of the crowds' faces that get a vector", "crowd"),
    )
    for axis, (name, label, kind) in zip(axes, panels, strict=True):
        for row in rows:
            axis.plot(row["ms"][kind], row[name], "o" if row["aligner"] == "five-point" else "s", label=_name(row))  # type: ignore[index,arg-type]
        axis.set(xlabel=f"ms a {kind}, one thread", ylabel=label)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize="x-small")
    save_figure(path)


def _name(row: Mapping[str, object]) -> str:
    return " ".join(str(row[part]) for part in ("detector", "options", "aligner") if row[part])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aligner", action="append", help="these alone, beside the rows held")
    parser.add_argument("--every", type=int, default=1, help="take each so many-th picture")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    sets = Sets.read(Path(os.environ["FACEREG_DATA"]), given.every)
    choices = [
        Choice(name, " ".join(f"{key}={str(value).lower()}" for key, value in options.items()), aligner)
        for name, options in DETECTORS
        for aligner in given.aligner or ALIGNERS
    ]
    held = json.loads(given.out.read_text("utf-8"))["rows"] if given.aligner else []
    rows, seen = [], dict[tuple[str, str], dict[bytes, Faces]]()
    with default_registry().create("mobilenetv3-arcface", role="embedder", threads=1) as embedder:
        for choice, took in zip(choices, milliseconds(choices, sets.timed()), strict=True):
            own = seen.setdefault((choice.detector, choice.options), {})
            rows.append({**asdict(choice), **measure(choice, sets, embedder, own), "ms": took})
            print(rows[-1], file=sys.stderr, flush=True)  # noqa: T201
    rows = [row for row in held if row["aligner"] not in (given.aligner or ())] + rows
    draw(given.out.with_suffix(".png"), rows)
    write_report(
        given.out, {"rows": rows}, command=" ".join(["python -m benchmarks.defaults", *sys.argv[1:]]), models={}
    )


if __name__ == "__main__":
    main()
