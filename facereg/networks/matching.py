"""Which tensors of a file or a server are those that a spec declares: one rule for each place that opens a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from facereg.networks.spec import NetworkSpec

Kind = Literal["inputs", "outputs"]


def rows_of_declared(spec: NetworkSpec, kind: Kind, found: Sequence[str]) -> list[int] | None:
    """Return the row in `found`, names of tensors, of each tensor that a spec declares, or None where they do not fit.

    Names decide, and an output that the spec does not know is left alone; where the spec says `tensors_by_position` and
    the number is right, the first is the first, whatever its name.
    """
    declared = spec.inputs if kind == "inputs" else spec.outputs
    if spec.tensors_by_position and len(found) == len(declared):
        return list(range(len(found)))
    rows = {name: row for row, name in enumerate(found)}
    if all(tensor.name in rows for tensor in declared) and (kind == "outputs" or len(found) == len(declared)):
        return [rows[tensor.name] for tensor in declared]
    return None


def dims_fit(declared: Sequence[int | None], found: Sequence[int | None]) -> bool:
    """Return whether two shapes can be one; None and -1 stand for any size."""
    return len(declared) == len(found) and all(
        mine == theirs or not {mine, theirs}.isdisjoint((None, -1))
        for mine, theirs in zip(declared, found, strict=True)
    )
