"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from dataclasses import replace

from facereg import ModelSpec, NetworkSpec, RecipeSpec, TensorSpec, WeightsSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

CARD = "README of facereg-adnet"
SHA256 = "2f4f5680892f4fe41e2e74427562a5c9e28f3465baf50b24e4e2da26b1ded4dd"
SHA256_98 = "b04b79e491bae9de456c5562c724404d1627f801f40e9a935cb2eaaeb75c5c4c"
LABELLED_SHA256 = "5fba42b4aa5a7053ef1fc984215a71477646fe837658b6b1c7ae0f1a13094fa2"
RESEARCH = "MIT code; weights for research use (trained on YouTube Faces)"
RESEARCH_98 = "MIT code; weights for research use (trained on YouTube Faces and CelebA)"
PAPER = (
    "Huang et al. 2021, ADNet, arXiv:2109.05721; Zhou et al. 2023, STAR Loss: Reducing Semantic Ambiguity in Facial "
    "Landmark Detection, arXiv:2306.02763"
)


def network(points: int, *, side: int, sha256: str | None = None) -> NetworkSpec:
    """Return the network of so many points: square RGB crops of `side` px, a multiple of 64.

    Out come `points` in px of the crop and, for each, `scores` 0..1: how sure the map of the point is of a place.
    """
    return NetworkSpec(
        name=f"adnet-{points}",
        inputs=(TensorSpec("images", "uint8", (None, side, side, 3)),),
        outputs=(TensorSpec("points", "float32", (None, points, 2)), TensorSpec("scores", "float32", (None, points))),
        package="facereg_adnet",
        file=f"adnet-{points}.onnx",
        sha256=sha256,
        max_batch=16,
        module=f"facereg_adnet.networks:build_{points}",
    )


SIDES = {68: 128, 98: 128}  # px of the crops, by the number of points
MARGIN = 1.25  # the crop's side over the longer side of the box about all points, in training and at inference
ADNET_98 = network(98, side=SIDES[98], sha256=SHA256_98)
ADNET_68 = network(68, side=SIDES[68], sha256=SHA256)
AS_LABELLED = WeightsSpec(
    "as-labelled",
    (replace(ADNET_68, file="adnet-68-as-labelled.onnx", sha256=LABELLED_SHA256),),
    card=CARD,
    summary="points where its labels have them, 1.1 px of 43 between the eyes to the right of what they mark",
)


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name=f"adnet-{points}",
            role="aligner",
            factory=f"facereg_adnet.aligner:Adnet{points}",
            options_from="facereg_adnet.options:AdnetOptions",
            networks=(own,),
            licence=licence,
            card=CARD,
            paper=PAPER,
            summary=f"{points} points of a face from its box alone, numbered as {known}'s",
            weights=weights,
        )
        for points, own, known, licence, weights in (
            (68, ADNET_68, "300-W", RESEARCH, (AS_LABELLED,)),
            (98, ADNET_98, "WFLW", RESEARCH_98, ()),
        )
    ]


@hookimpl
def facereg_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="adnet-star",
            run="facereg_adnet.recipe:run",
            summary="ADNet of one to four stacks with STAR or direction loss, on lists of points or pseudo-labels",
            settings_from="facereg_adnet.settings:AdnetSettings",
        )
    ]
