"""What the recipes of all plugins share: data, settings, schedules, fitting, export.

Names are imported on first use: reading this package, or a name that needs no torch, imports none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facereg.data.boxes import LabelledImage
    from facereg.data.formats import read_boxes
    from facereg.data.points import PointedImage, read_points
    from facereg.data.readable import readable
    from facereg.data.sources import BoxFit, read_recipe_sources, read_sources
    from facereg.data.splits import held_out
    from facereg.disk.replacing import file_sha256, whole_file
    from facereg.folders.people import read_people
    from facereg.networks.checkpoints import load_checkpoint, read_checkpoint, read_safetensors, require_finite
    from facereg.training.batches import Batches, count_steps, step_seed
    from facereg.training.curves import draw_curves, read_log
    from facereg.training.export import compare_with_torch, export_onnx
    from facereg.training.fitting import device_count, fit
    from facereg.training.optimizing import adamw
    from facereg.training.publishing import publish, save_network
    from facereg.training.schedules import trapezoid, warm_cosine, warm_steps
    from facereg.training.settings import describe_settings, parse_settings

_HOMES = {
    "facereg.data.boxes": ("LabelledImage",),
    "facereg.data.formats": ("read_boxes",),
    "facereg.data.points": (
        "PointedImage",
        "read_points",
    ),
    "facereg.data.readable": ("readable",),
    "facereg.data.sources": (
        "BoxFit",
        "read_recipe_sources",
        "read_sources",
    ),
    "facereg.data.splits": ("held_out",),
    "facereg.disk.replacing": (
        "file_sha256",
        "whole_file",
    ),
    "facereg.folders.people": ("read_people",),
    "facereg.networks.checkpoints": (
        "load_checkpoint",
        "read_checkpoint",
        "read_safetensors",
        "require_finite",
    ),
    "facereg.training.batches": (
        "Batches",
        "count_steps",
        "step_seed",
    ),
    "facereg.training.curves": (
        "draw_curves",
        "read_log",
    ),
    "facereg.training.export": (
        "compare_with_torch",
        "export_onnx",
    ),
    "facereg.training.fitting": (
        "device_count",
        "fit",
    ),
    "facereg.training.optimizing": ("adamw",),
    "facereg.training.publishing": (
        "publish",
        "save_network",
    ),
    "facereg.training.schedules": (
        "trapezoid",
        "warm_cosine",
        "warm_steps",
    ),
    "facereg.training.settings": (
        "describe_settings",
        "parse_settings",
    ),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Batches",
    "BoxFit",
    "LabelledImage",
    "PointedImage",
    "adamw",
    "compare_with_torch",
    "count_steps",
    "describe_settings",
    "device_count",
    "draw_curves",
    "export_onnx",
    "file_sha256",
    "fit",
    "held_out",
    "load_checkpoint",
    "parse_settings",
    "publish",
    "read_boxes",
    "read_checkpoint",
    "read_log",
    "read_people",
    "read_points",
    "read_recipe_sources",
    "read_safetensors",
    "read_sources",
    "readable",
    "require_finite",
    "save_network",
    "step_seed",
    "trapezoid",
    "warm_cosine",
    "warm_steps",
    "whole_file",
]


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'facereg.training' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
