"""What the recipes of all plugins share: data, settings, schedules, fitting, export.

Names are imported on first use: reading this package, or a name that needs no torch, imports none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facereg import _lazy

if TYPE_CHECKING:
    from facereg.data.boxes import LabelledImage as LabelledImage
    from facereg.data.boxes import read_pseudo_labels as read_pseudo_labels
    from facereg.data.formats import read_boxes as read_boxes
    from facereg.data.points import PointedImage as PointedImage
    from facereg.data.points import read_points as read_points
    from facereg.data.readable import read_each as read_each
    from facereg.data.readable import readable as readable
    from facereg.data.records import Record as Record
    from facereg.data.records import RecordPicture as RecordPicture
    from facereg.data.records import is_record as is_record
    from facereg.data.sources import BoxFit as BoxFit
    from facereg.data.sources import SourceSettings as SourceSettings
    from facereg.data.sources import read_recipe_sources as read_recipe_sources
    from facereg.data.sources import read_sources as read_sources
    from facereg.data.splits import held_out as held_out
    from facereg.data.subsets import WrittenPeople as WrittenPeople
    from facereg.data.subsets import write_people as write_people
    from facereg.disk.reading import read_bytes as read_bytes
    from facereg.disk.replacing import file_sha256 as file_sha256
    from facereg.disk.replacing import whole_file as whole_file
    from facereg.disk.replacing import write_file as write_file
    from facereg.folders.people import read_people as read_people
    from facereg.networks.checkpoints import load_checkpoint as load_checkpoint
    from facereg.networks.checkpoints import read_checkpoint as read_checkpoint
    from facereg.networks.checkpoints import read_tensors as read_tensors
    from facereg.networks.checkpoints import require_finite as require_finite
    from facereg.training.batches import Batches as Batches
    from facereg.training.batches import count_steps as count_steps
    from facereg.training.batches import step_seed as step_seed
    from facereg.training.curves import draw_curves as draw_curves
    from facereg.training.curves import read_log as read_log
    from facereg.training.embedders import DeployedEmbedder as DeployedEmbedder
    from facereg.training.embedders import EmbedderSettings as EmbedderSettings
    from facereg.training.embedders import EmbedderTraining as EmbedderTraining
    from facereg.training.embedders import fit_and_save as fit_and_save
    from facereg.training.embedders import freeze_norms as freeze_norms
    from facereg.training.embedders import load_embedder as load_embedder
    from facereg.training.embedders import network_input as network_input
    from facereg.training.embedders import turned_and_mirrored as turned_and_mirrored
    from facereg.training.export import compare_with_torch as compare_with_torch
    from facereg.training.export import export_onnx as export_onnx
    from facereg.training.fitting import Judged as Judged
    from facereg.training.fitting import device_count as device_count
    from facereg.training.fitting import fit as fit
    from facereg.training.identities import Identities as Identities
    from facereg.training.identities import read_crops as read_crops
    from facereg.training.identities import read_identities as read_identities
    from facereg.training.optimizing import adamw as adamw
    from facereg.training.optimizing import average_weights as average_weights
    from facereg.training.saving import save_network as save_network
    from facereg.training.saving import save_run as save_run
    from facereg.training.schedules import trapezoid as trapezoid
    from facereg.training.schedules import warm_cosine as warm_cosine
    from facereg.training.schedules import warm_steps as warm_steps
    from facereg.training.settings import describe_settings as describe_settings
    from facereg.training.settings import parse_settings as parse_settings


_HOMES = {
    "facereg.data.boxes": "LabelledImage read_pseudo_labels",
    "facereg.data.formats": "read_boxes",
    "facereg.data.points": "PointedImage read_points",
    "facereg.data.readable": "read_each readable",
    "facereg.data.records": "Record RecordPicture is_record",
    "facereg.data.sources": "BoxFit SourceSettings read_recipe_sources read_sources",
    "facereg.data.splits": "held_out",
    "facereg.data.subsets": "WrittenPeople write_people",
    "facereg.disk.reading": "read_bytes",
    "facereg.disk.replacing": "file_sha256 whole_file write_file",
    "facereg.folders.people": "read_people",
    "facereg.networks.checkpoints": "load_checkpoint read_checkpoint read_tensors require_finite",
    "facereg.training.batches": "Batches count_steps step_seed",
    "facereg.training.curves": "draw_curves read_log",
    "facereg.training.embedders": "DeployedEmbedder EmbedderSettings EmbedderTraining fit_and_save freeze_norms "
    "load_embedder network_input turned_and_mirrored",
    "facereg.training.export": "compare_with_torch export_onnx",
    "facereg.training.fitting": "Judged device_count fit",
    "facereg.training.identities": "Identities read_crops read_identities",
    "facereg.training.optimizing": "adamw average_weights",
    "facereg.training.saving": "save_network save_run",
    "facereg.training.schedules": "trapezoid warm_cosine warm_steps",
    "facereg.training.settings": "describe_settings parse_settings",
}

__getattr__, __dir__, __all__ = _lazy(__name__, _HOMES)
