"""Recipe `mtcnn`: P-, R- and O-Net in cascaded order, with hard examples from the stages before.

`facereg train mtcnn --data DIR --out OUT --set pseudo=FILE.jsonl`
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from facereg import FloatArray, Image, Networks, open_network
from facereg.training import LabelledImage, SourceSettings, parse_settings, read_recipe_sources, readable
from facereg_mtcnn.detector import MtcnnDetector
from facereg_mtcnn.fitting import Schedule, fit
from facereg_mtcnn.networks import BUILDERS
from facereg_mtcnn.options import MtcnnOptions
from facereg_mtcnn.plugin import networks
from facereg_mtcnn.publish import save_network
from facereg_mtcnn.pyramid import summed_area
from facereg_mtcnn.samples import Plan, Propose, Samples, make_samples

MINED_SIDE = 150  # px; on smaller pictures, mostly a face each, windows around the face are hard enough
MINING_THRESHOLDS = (0.4, 0.3, 0.7)  # lower than at detection, to see what the next stage will have to refuse
LANDMARK_WEIGHTS = {"pnet": 0.5, "rnet": 0.5, "onet": 1.0}  # the paper, section 3.3


@dataclass(frozen=True, slots=True)
class MtcnnSettings(SourceSettings):
    """Settings of the recipe; names of files are relative to the data folder, commas between several."""

    min_face: float = 10.0  # px; the smallest face looked for when mining
    pnet_steps: int = 20000
    rnet_steps: int = 5000
    onet_steps: int = 5000
    batch: int = 512  # of P- and R-Net
    onet_batch: int = 128
    lr: float = 2e-3
    weight_decay: float = 1e-4
    precision: str = "32"  # or bf16
    limit: int = 0  # pictures of each kind, 0 for all; for trying the recipe
    seed: int = 0


PLANS = {  # per face: hand-drawn, others
    "pnet": ((12, False), (60, 8), (90, 20)),
    "rnet": ((24, True), (40, 8), (90, 30)),
    "onet": ((48, True), (24, 8), (60, 30)),
}


def run(data: Sequence[Path], out: Path, resume: bool, given: Mapping[str, str]) -> None:
    """Make samples and train, stage by stage; write ONNX files, checkpoints, curves and `results.json` to `out`.

    What is there already is used again with `resume`: finished sample files, finished stages, checkpoints.

    Raises:
        ContractError: if a setting is unknown.
        DatasetError: if no data folder was given or a file is missing.
    """
    settings = parse_settings(MtcnnSettings, given)
    hand, rest = (readable(part, path=lambda item: item.path) for part in read_recipe_sources(data, settings))
    if settings.limit:
        hand, rest = hand[: settings.limit], rest[:: max(1, len(rest) // settings.limit)][: settings.limit]
    scores = {}
    for stage, build in BUILDERS.items():
        done = out / stage / "scores.json"
        if not (resume and done.exists()):
            torch.manual_seed(settings.seed)
            module = build()
            samples = _make_stage(stage, hand, rest, out, settings, resume=resume)
            losses = fit(module.network, samples, out / stage, _schedule(stage, settings), resume=resume)
            save_network(module, stage, out)
            kinds = np.bincount(samples.kinds, minlength=3).tolist()
            done.write_text(json.dumps(losses | {"samples": kinds}) + "\n", "utf-8")
        scores[stage] = json.loads(done.read_text("utf-8"))
    results = {"recipe": "mtcnn", "settings": asdict(settings), "pictures": [len(hand), len(rest)], "stages": scores}
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", "utf-8")


def _schedule(stage: str, settings: MtcnnSettings) -> Schedule:
    return Schedule(
        steps=getattr(settings, f"{stage}_steps"),
        batch=settings.onet_batch if stage == "onet" else settings.batch,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        landmark_weight=LANDMARK_WEIGHTS[stage],
        seed=settings.seed,
        precision=settings.precision,
    )


def _make_stage(
    stage: str,
    hand: Sequence[LabelledImage],
    rest: Sequence[LabelledImage],
    out: Path,
    settings: MtcnnSettings,
    *,
    resume: bool,
) -> Samples:
    """Return the samples of a stage, made where they are missing."""
    folder = out / stage / "samples"
    if not resume:
        for path in folder.glob("*.npy"):
            path.unlink()
    (size, inclusive), around, most = PLANS[stage]
    propose = None if stage == "pnet" else _miner(stage, out, settings)
    for part, items in enumerate((hand, rest)):
        plan = Plan(size=size, inclusive=inclusive, around=around[part], most=most[part])
        make_samples(items, folder, plan, propose=propose, seed=settings.seed + part, prefix="hr"[part])
    return Samples.open(folder)


def _miner(stage: str, out: Path, settings: MtcnnSettings) -> Propose:
    """Return what the stages before `stage` take for faces."""
    detector = MtcnnDetector(
        Networks(networks(), lambda spec: open_network(spec, weights=out, threads=1)),
        MtcnnOptions(min_face=settings.min_face, thresholds=MINING_THRESHOLDS),
    )

    def propose(image: Image) -> FloatArray:
        if min(image.shape[:2]) < MINED_SIDE:
            return np.empty((0, 4), np.float32)
        sums = [summed_area(image)]
        boxes, owner = detector.propose(sums)
        return boxes if stage == "rnet" else detector.refine(sums, boxes, owner)[0]

    return propose
