"""What evaluations wrote, as one HTML page: figures side by side, curves, and the worst pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from facereg.disk.reading import parse_json, read_text
from facereg.disk.replacing import write_file
from facereg.errors import DatasetError
from facereg.evaluation.html import KINDS, Table, page, picture

EXPECTED = "figures that 'facereg evaluate ... --out' wrote"
LIMIT = 10_000_000  # bytes of one
ORIGIN = ("command", "models", "facereg", "commit", "processor", "measured")  # what `write_report` adds to the figures
SHARES = ("accuracy", "tpr", "tpir", "fr10", "fr5", "auc", "precision", "recall", "ap50", "mean_iou", "rank1")


def write_page(results: Sequence[Path], out: Path, *, worst: Sequence[Path] = ()) -> None:
    """Write a page of what `facereg evaluate ... --out FILE.json` wrote, with the curve beside each file.

    Args:
        results: .json files; figures of one name stand in one row.
        worst: folders that `--worst` filled, in which the first picture by name is the worst.
    Raises:
        DatasetError: if a file is no such result, or a folder holds no picture.
        FaceregError: if the page cannot be written.
    """
    read = {path: read_result(path) for path in results}
    titles = {path: _title(path, result) for path, result in read.items()}
    figures = {path: _figures(result) for path, result in read.items()}
    names = list(dict.fromkeys(name for own in figures.values() for name in own))
    rows = tuple((name, *(figures[path].get(name, "-") for path in read)) for name in names)
    origin = tuple((key, *(_said(read[path].get(key)) for path in read)) for key in ORIGIN)
    parts = [
        Table("Figures", ("", *titles.values()), rows).html(),
        Table("How they came about", ("", *titles.values()), origin).html(),
    ]
    for path, title in titles.items():
        if (curve := path.with_suffix(".png")).is_file():
            parts.append(f"<h2>{escape(title)}</h2>\n{picture(curve, title)}")
    for folder in worst:
        parts += _worst(folder)
    write_file(out, page(", ".join(titles.values()), parts).encode())


def read_result(path: Path) -> Mapping[str, object]:
    """Return what an evaluation wrote.

    Raises:
        DatasetError: if the file cannot be read, or holds no figures with the command that made them.
    """
    found = parse_json(read_text(path, expected=EXPECTED, limit=LIMIT), place=str(path), expected=EXPECTED)
    if not isinstance(found, dict) or not {"command", "models"} <= found.keys():
        raise DatasetError(f"{path}: expected {EXPECTED}, with command and models, got other JSON")
    return found


def _title(path: Path, result: Mapping[str, object]) -> str:
    models = result["models"]
    return f"{path.stem}: {' + '.join(map(str, models.values()))}" if isinstance(models, dict) else path.stem


def _figures(result: Mapping[str, object]) -> dict[str, str]:
    """Return figures by name; those of a mapping one by one, shares in percent."""
    flat: dict[str, object] = {}
    for name, value in result.items():
        if name not in ORIGIN:
            flat |= {f"{name} {key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return {name: _shown(name, value) for name, value in flat.items()}


def _shown(name: str, value: object) -> str:
    if value is None:
        return "too few"
    if isinstance(value, float):
        percent = 100 if name.startswith(SHARES) else 1 if name.startswith("nme") else None  # an nme is in percent
        return f"{value:.4g}" if percent is None else f"{percent * value:.2f} %"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _said(value)


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return "-" if value is None else str(value)


def _worst(folder: Path) -> list[str]:
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in KINDS)
    if not found:
        raise DatasetError(f"{folder}: expected pictures that 'facereg evaluate ... --worst {folder}' drew, got none")
    figures = [
        f"<figure>{picture(path, path.stem)}<figcaption>{escape(path.stem)}</figcaption></figure>" for path in found
    ]
    return [f"<h2>Worst first: {escape(folder.name)}</h2>", '<div class="pictures">', *figures, "</div>"]
