"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

from facereg import CommandSpec, ModelSpec, NetworkSpec, RecipeSpec, TensorSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

PAPER = "Zhang et al. 2016, Joint Face Detection and Alignment using Multi-task Cascaded CNNs, arXiv:1604.02878"


@cache
def networks() -> tuple[NetworkSpec, NetworkSpec, NetworkSpec]:
    """Return the three networks; pixels are float32 0..255 RGB, scaled inside.

    Not uint8: the pyramid averages pixels, and rounding the averages moves scores across the thresholds.
    """
    shipped = json.loads((resources.files("facereg_mtcnn") / "weights" / "sha256.json").read_text("utf-8"))

    def spec(name: str, dims: tuple[int | None, ...], outputs: tuple[TensorSpec, ...], max_batch: int) -> NetworkSpec:
        return NetworkSpec(
            name=f"mtcnn-{name}",
            inputs=(TensorSpec("images", "float32", dims),),
            outputs=outputs,
            package="facereg_mtcnn",
            file=f"{name}.onnx",
            sha256=shipped.get(f"{name}.onnx"),
            max_batch=max_batch,
            module=f"facereg_mtcnn.networks:build_{name}",
            bounded_calls=True,
        )

    score, box = TensorSpec("scores", "float32", (None,)), TensorSpec("boxes", "float32", (None, 4))
    points = TensorSpec("landmarks", "float32", (None, 5, 2))
    maps = (TensorSpec("scores", "float32", (None, None, None)), TensorSpec("boxes", "float32", (None, 4, None, None)))
    return (
        # the fourth channel is 1 outside the pictures of a canvas: see pyramid.py
        spec("pnet", (None, 4, None, None), maps, 8),
        spec("rnet", (None, 3, 24, 24), (score, box), 32),  # larger batches take more memory, and no less time a crop
        spec("onet", (None, 3, 48, 48), (score, box, points), 16),
    )


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="mtcnn",
            role="detector",
            factory="facereg_mtcnn.detector:MtcnnDetector",
            options_from="facereg_mtcnn.options:MtcnnOptions",
            networks=networks(),
            square=(0.89, 0.01),
            licence="MIT code; weights for research use (trained on faces-in-crowds, CelebA, MTFL, YouTube Faces)",
            card="README of facereg-mtcnn",
            paper=PAPER,
            summary="three-stage cascade, five landmarks, faces from 20 px",
        )
    ]


@hookimpl
def facereg_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="mtcnn",
            run="facereg_mtcnn.recipe:run",
            summary="P-, R- and O-Net in cascaded order, with hard examples from the stage before",
            settings_from="facereg_mtcnn.recipe:MtcnnSettings",
        )
    ]


@hookimpl
def facereg_commands() -> list[CommandSpec]:
    return [CommandSpec("mtcnn-convert", "facereg_mtcnn.commands:app", "Turn published MTCNN state dicts into ONNX.")]
