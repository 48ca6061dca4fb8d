"""The models that come with the library, through the same hook as everybody's."""

from __future__ import annotations

from facereg.registry.hooks import ModelSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="aligned",
            role="detector",
            factory="facereg.builtin.aligned:AlignedDetector",
            licence="MIT",
            summary="no detector: each picture is one face, a crop aligned to ArcFace's template",
        ),
        ModelSpec(
            name="five-point",
            role="aligner",
            factory="facereg.builtin.alignment:FivePointAligner",
            licence="MIT",
            paper="Umeyama 1991, doi:10.1109/34.88573; template of ArcFace (Deng et al. 2019)",
            summary="least-squares similarity from the detector's five landmarks",
        ),
        ModelSpec(
            name="exact",
            role="matcher",
            factory="facereg.builtin.exact:ExactMatcher",
            licence="MIT",
            summary="every probe compared with everybody: exact, for some million vectors",
        ),
    ]
