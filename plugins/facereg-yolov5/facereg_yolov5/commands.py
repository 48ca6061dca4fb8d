"""The commands of this plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from facereg import ContractError, FloatArray, Json, image_size, import_object, print_json
from facereg.training import read_boxes
from facereg_yolov5.anchors import FACE_ANCHORS, best_recall, fit_anchors

anchors_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
pack_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@anchors_app.command()
def anchors(
    annotations: Annotated[Path, typer.Argument(help="List or folder of the labels.")],
    images: Annotated[Path, typer.Option("--images", help="Folder of the pictures.")],
    kind: Annotated[str, typer.Option("--format", help="wider, voc, yolo, celeba or pseudo.")] = "wider",
    size: Annotated[int, typer.Option("--size", help="Side of the letterbox in px.")] = 640,
    json: Json = False,
) -> None:
    """Fit nine anchors to the boxes of a data set, and say how many boxes they and the usual ones can learn.

    Example: facereg yolov5-anchors list.txt --images images/ --size 640
    """
    sides = _sides(annotations, images, kind, size)
    fitted = np.round(fit_anchors(sides), 1)
    text = " ".join(f"{width:g},{height:g}" for width, height in fitted)
    usual, best = best_recall(sides, np.array(FACE_ANCHORS, np.float32).reshape(9, 2)), best_recall(sides, fitted)
    if json:
        row = {"anchors": fitted.tolist(), "recall": best, "recall_of_face_anchors": usual, "boxes": len(sides)}
        print_json(row)
    else:
        typer.echo(f"{len(sides)} boxes; best possible recall {best:.4f}, of the face anchors {usual:.4f}")
        typer.echo(f"--set anchors='{text}'")


def _sides(annotations: Path, images: Path, kind: str, size: int) -> FloatArray:
    """Return (N, 2) widths and heights of the boxes that count, in px of the letterbox."""
    sides = [np.empty((0, 2), np.float32)]
    for item in read_boxes(kind, annotations, images):
        scale = size / max(image_size(item.path))
        boxes = item.boxes[~item.ignored]
        sides.append((boxes[:, 2:] - boxes[:, :2]) * scale)
    together = np.concatenate(sides)
    return together[(together > 0).all(1)]


@pack_app.command()
def pack(
    data: Annotated[Path, typer.Option("--data", help="Folder that the lists lie in.")],
    out: Annotated[Path, typer.Option("--out", help="The .npz file to write.")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="A setting of the recipe.")] = None,
    json: Json = False,
) -> None:
    """Pack the pictures and labels of recipe yolov5s-face into one file, to train where the data is not.

    Example: facereg yolov5-pack --data DIR --out faces.npz --set pseudo=labels.jsonl --set longest=640
    """
    pairs = [text.partition("=") for text in set_ or []]
    wrong = [key for key, equals, _ in pairs if not equals]
    if wrong:
        raise ContractError(f"--set: expected KEY=VALUE, got {wrong[0]!r}")
    count = import_object("facereg_yolov5.recipe:write_pack")(data, out, {key: value for key, _, value in pairs})
    if json:
        print_json({"out": str(out), "images": count, "bytes": out.stat().st_size})
    else:
        typer.echo(f"{out}: {count} pictures, {out.stat().st_size / 1e6:.1f} MB")
