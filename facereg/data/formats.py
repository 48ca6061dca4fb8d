"""Layouts of labelled boxes by name, to read and to write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from facereg.data.boxes import LabelledImage, PseudoLabels, read_pseudo_labels, read_voc, read_wider, read_yolo
from facereg.data.celeba import read_celeba
from facereg.data.lines import require_files, require_images
from facereg.data.wider import read_wider_mat
from facereg.data.writing import Written, write_five_points, write_voc, write_wider, write_yolo
from facereg.errors import ContractError

WRITERS: dict[str, Callable[[Sequence[LabelledImage], Path, Path], Written]] = {
    "wider": write_wider,
    "voc": write_voc,
    "yolo": write_yolo,
    "5pt": write_five_points,
}


def read_boxes(
    format: str, annotations: Path, images: Path, *, partition: str | None = None, strict: bool = True
) -> list[LabelledImage]:
    """Read labelled boxes of a layout named wider (the list or the .mat), voc, yolo, celeba or pseudo.

    Args:
        annotations: the list (wider, pseudo) or the folder (voc, yolo, celeba).
        images: the folder of the pictures.
        partition: train, val or test, of celeba alone.
        strict: False leaves missing pictures in the list, for `facereg.data.check` to name.
    Raises:
        DatasetError: if the annotations are not laid out as stated or a picture is missing.
        ContractError: if there is no such layout, or it has no partitions.
    """
    if partition is not None and format != "celeba":
        raise ContractError(f"partition: expected the layout celeba, which has them, got {format}")
    require_images(images)
    match format:
        case "wider" if annotations.suffix == ".mat":
            return read_wider_mat(annotations, images, strict=strict)
        case "wider":
            return read_wider(annotations, images, strict=strict)
        case "voc":
            return read_voc(annotations, images, strict=strict)
        case "yolo":
            return read_yolo(annotations, images, strict=strict)
        case "celeba":
            return read_celeba(annotations, images, partition=partition, strict=strict)
        case "pseudo":
            items = [_labelled(item) for item in read_pseudo_labels(annotations, images)]
            if strict:
                require_files([item.path for item in items], listed_in=annotations)
            return items
    raise ContractError(f"format: expected wider, voc, yolo, celeba or pseudo, got {format!r}")


def _labelled(item: PseudoLabels) -> LabelledImage:
    labelled = LabelledImage.without_points(item.path, item.faces.boxes)
    if item.faces.landmarks.shape[1] == 5:
        np.copyto(labelled.points, item.faces.landmarks)
    return labelled
