"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import NetworkSpec, TensorSpec

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

PAPER = (
    "Huang et al. 2021, ADNet, arXiv:2109.05721; Zhou et al. 2023, STAR Loss: Reducing Semantic Ambiguity in Facial "
    "Landmark Detection, arXiv:2306.02763"
)


def network(points: int, *, sha256: str | None = None) -> NetworkSpec:
    """Return the network of so many points: square crops of any side that is a multiple of 64 px, RGB.

    Out come `points` in px of the crop and, for each, `scores` 0..1: how sure the map of the point is of a place.
    """
    return NetworkSpec(
        name=f"adnet-{points}",
        inputs=(TensorSpec("images", "uint8", (None, None, None, 3)),),
        outputs=(TensorSpec("points", "float32", (None, points, 2)), TensorSpec("scores", "float32", (None, points))),
        package="facereg_adnet",
        file=f"adnet-{points}.onnx",
        sha256=sha256,
        max_batch=16,
        module=f"facereg_adnet.networks:build_{points}",
        bounded=True,
    )


ADNET_98, ADNET_68 = network(98), network(68)
