"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import ModelSpec, NetworkSpec, RecipeSpec, TensorSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for

NETWORK = NetworkSpec(
    name="eigenfaces",
    inputs=(TensorSpec("images", "uint8", (None, 112, 112, 3)),),
    outputs=(TensorSpec("embedding", "float32", (None, 64)),),
    package="facereg_eigenfaces",
    file="eigenfaces.onnx",
    sha256="9205db86490f11cd972a111d043c65932c3c26a6c99c10d9a3a27586c8aedad1",
)


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="eigenfaces",
            role="embedder",
            factory="facereg_eigenfaces.embedder:EigenfacesEmbedder",
            options_from="facereg:EmbedderOptions",
            networks=(NETWORK,),
            licence="MIT code; weights for research use (learned from CelebA)",
            card="README of facereg-eigenfaces",
            paper="Turk and Pentland 1991, Eigenfaces for Recognition, doi:10.1162/jocn.1991.3.1.71",
            summary="64 whitened principal components of a grey 28x28 face, 112x112 crops",
        )
    ]


@hookimpl
def facereg_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="eigenfaces",
            run="facereg_eigenfaces.learning:run",
            summary="principal components of aligned 112x112 crops; no labels needed, seconds",
            settings_from="facereg_eigenfaces.learning:EigenfacesSettings",
        )
    ]
