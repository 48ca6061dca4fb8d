"""What this plugin brings; imports nothing heavy."""

from __future__ import annotations

from facereg import ModelSpec, hookimpl

FACEREG_CONTRACT = 1  # the version of facereg's contract that this was written for


@hookimpl
def facereg_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="lbp-cascade",
            role="detector",
            factory="facereg_lbp_cascade.detector:LbpCascadeDetector",
            summary="a cascade of local binary patterns, boxes alone (Liao et al. 2007)",
            options_from="facereg_lbp_cascade.detector:LbpCascadeOptions",
            licence="BSD-3-Clause",
        )
    ]
