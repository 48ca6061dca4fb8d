"""The data set of anchor, positive and negative: drawn once, written, and read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from facereg import DatasetError, IntArray
from facereg.training import Identities, write_file

COLUMNS = ["anchor", "positive", "negative"]


def draw_triplets(labels: IntArray, *, each: int, seed: int) -> IntArray:
    """Return (N * each, 3) rows of anchor, positive and negative: every crop is an anchor `each` times.

    Args:
        labels: (N,) a number a person, rising from 0; two crops a person, two people.
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    anchors = np.repeat(np.arange(len(labels)), each)
    first, count = starts[labels[anchors]], counts[labels[anchors]]
    # a step from the anchor that leads round to no crop twice, among the person's own, and among all others
    positives = first + (anchors - first + rng.integers(1, count)) % count
    negatives = (first + count + rng.integers(0, len(labels) - count)) % len(labels)
    return np.stack([anchors, positives, negatives], 1)


def write_triplets(path: Path, triplets: IntArray, files: tuple[str, ...]) -> None:
    """Write triplets as a CSV file of the names of their crops."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([files[row] for row in triplet] for triplet in triplets)
    write_file(path, text.getvalue().encode(errors="surrogateescape"), private=True)  # names as the disk has them


def read_triplets(path: Path, files: tuple[str, ...], labels: IntArray) -> IntArray:
    """Return (M, 3) rows of the crops that a file of triplets names.

    Raises:
        DatasetError: if it is missing, no file of triplets, or names crops that are not there or of the wrong people.
    """
    rows = {name: row for row, name in enumerate(files)}
    try:
        # as a program for tables may have saved it; names as the disk has them
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            lines = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: expected a file of triplets, which cannot be read ({error})") from error
    if lines[:1] != [COLUMNS] or not any(lines[1:]):
        raise DatasetError(f"{path}: expected the line {','.join(COLUMNS)!r} and triplets after it; remove the file")
    numbered = [(number, line) for number, line in enumerate(lines[1:], 2) if line]  # not the empty ones
    for number, line in numbered:
        unknown = [name for name in line if name not in rows]
        if len(line) != 3 or unknown:
            got = f"{unknown[0]!r}" if unknown else f"{len(line)} names"
            raise DatasetError(
                f"{path}:{number}: expected three pictures of --data, got {got}; remove the file to draw triplets anew"
            )
    triplets = np.array([[rows[name] for name in line] for _, line in numbered], np.int64)
    people = labels[triplets]
    wrong = (people[:, 0] != people[:, 1]) | (people[:, 0] == people[:, 2]) | (triplets[:, 0] == triplets[:, 1])
    if wrong.any():
        number = numbered[int(wrong.argmax())][0]
        raise DatasetError(
            f"{path}:{number}: expected two pictures of one person and one of another, got others; "
            "remove the file to draw triplets anew"
        )
    return triplets


class Triplets(Dataset[tuple[Tensor]]):
    """Crops (3, S, S, 3) uint8 of anchor, positive and negative."""

    def __init__(self, identities: Identities, triplets: IntArray) -> None:
        self.images, self.triplets = torch.from_numpy(identities.images), torch.from_numpy(triplets)

    def __len__(self) -> int:
        return len(self.triplets)

    def __getitem__(self, row: int) -> tuple[Tensor]:
        return (self.images[self.triplets[row]],)
