"""Templates, several pictures of a person as one, in the lists of IJB-B and IJB-C as they are passed on.

Sources: facts of InsightFace's `eval_ijbc.py`: `ijbc_face_tid_mid.txt` (`NAME TEMPLATE MEDIA` a line),
`ijbc_template_pair_label.txt` (`TEMPLATE TEMPLATE 1` or `0`), `ijbc_name_5pts_score.txt` (`NAME`, five points, score).
"""

from __future__ import annotations

import codecs
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facereg.data.lines import listed, numbers, read_lines, require_images, whole_number
from facereg.disk.reading import MAX_LIST, read_bytes
from facereg.errors import DatasetError
from facereg.types import BoolArray, Faces, FloatArray, IntArray

BOX = 2.0  # of the points' larger side, from their middle: a box about them, which no vector depends on


@dataclass(frozen=True, slots=True, eq=False)
class TemplateList:
    """Pictures of templates, and templates to compare.

    Args:
        paths: of the pictures; one that is in several templates comes several times.
        templates, media: (N,) of each picture: its template, and the photograph or video that it comes from.
        first, second: (P,) templates compared.
        same: (P,) whether they show one person.
        faces: of each picture, where a list tells; their scores are how sure a face is one.
    """

    paths: tuple[Path, ...]
    templates: IntArray
    media: IntArray
    first: IntArray
    second: IntArray
    same: BoolArray
    faces: dict[Path, Faces] | None = None


def read_templates(templates: Path, pairs: Path, images: Path, points: Path | None = None) -> TemplateList:
    """Read the lists of templates, of pairs of them and, where there is one, of points.

    Args:
        images: the folder of the pictures, as `loose_crop`.
    Raises:
        DatasetError: if a line is not laid out so, a pair names a template without pictures, or a picture has no
            points. Pictures are checked by whoever opens them.
    """
    require_images(images)
    paths, numbered = [], []
    for line, text in enumerate(read_lines(templates), 1):
        words = text.split()
        if not words:
            continue
        own = [whole_number(word) for word in words[1:]]
        if len(words) != 3 or None in own:
            raise DatasetError(f"{templates}, line {line}: expected 'NAME TEMPLATE MEDIA', got {text!r:.120}")
        paths.append(listed(images, words[0], path=templates, line=line))
        numbered.append(own)
    if not paths:
        raise DatasetError(f"{templates}: expected 'NAME TEMPLATE MEDIA' a line, got none")
    ids = np.array(numbered, np.int64)
    compared = _pairs(pairs)
    unknown = np.setdiff1d(compared[:, :2], ids[:, 0])
    if len(unknown):
        raise DatasetError(f"{pairs}: {len(unknown):,} templates have no picture in {templates.name}, as {unknown[0]}")
    faces = None if points is None else _points(points, images)
    if faces is not None and (missing := [path for path in dict.fromkeys(paths) if path not in faces]):
        raise DatasetError(f"{points}: {len(missing):,} pictures have no points there, such as {missing[0]}")
    first, second, label = compared.T
    return TemplateList(tuple(paths), ids[:, 0], ids[:, 1], first, second, label == 1, faces)


def _pairs(path: Path) -> IntArray:
    content = read_bytes(path, expected="'TEMPLATE TEMPLATE LABEL' a line", limit=MAX_LIST)
    try:
        if not content.strip():
            raise ValueError("nothing")
        rows = np.loadtxt(io.BytesIO(content.removeprefix(codecs.BOM_UTF8)), np.int64, comments=None, ndmin=2)
        if rows.shape[1] != 3 or not np.isin(rows[:, 2], (0, 1)).all():
            raise ValueError("other columns or labels")
    except (ValueError, OverflowError) as error:
        got = " ".join(str(error).split())[:120]
        raise DatasetError(f"{path}: expected 'TEMPLATE TEMPLATE 1' or '0' a line, got {got}") from error
    return rows


def _points(path: Path, images: Path) -> dict[Path, Faces]:
    found: dict[Path, Faces] = {}
    for line, text in enumerate(read_lines(path), 1):
        words = text.split()
        if not words:
            continue
        expected = "'NAME', five x y and a score"
        values = numbers(words[1:], path=path, line=line, expected=expected)
        if len(values) != 11:
            raise DatasetError(f"{path}, line {line}: expected {expected}, got {len(words)} words")
        five: FloatArray = values[:10].reshape(5, 2)
        side = max(float(np.ptp(five, 0).max()), 1.0) * BOX
        box = np.concatenate([five.mean(0) - side, five.mean(0) + side])
        score = np.clip(values[10:], 0, 1)
        found[listed(images, words[0], path=path, line=line)] = Faces(box[None].astype(np.float32), score, five[None])
    return found
