"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import ModelSpec, NetworkSpec, RecipeSpec, TensorSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

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
ADNET_98, ADNET_68 = network(98, side=SIDES[98]), network(68, side=SIDES[68])


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name=f"adnet-{points}",
            role="aligner",
            factory=f"facereg_adnet.aligner:Adnet{points}",
            options_from="facereg_adnet.options:AdnetOptions",
            networks=(own,),
            licence="MIT code; no weights ship, train them with recipe adnet-star",
            paper=PAPER,
            summary=f"{points} points of a face from its box alone, numbered as {known}'s",
        )
        for points, own, known in ((68, ADNET_68, "300-W"), (98, ADNET_98, "WFLW"))
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
