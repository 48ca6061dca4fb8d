"""A few people's pictures on a plane, as each model sees them: UMAP (McInnes, Healy, Melville 2018)."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from facereg.data.pairs import PairList
from facereg.errors import MissingExtraError
from facereg.evaluation.main_faces import MainFaces
from facereg.evaluation.plots import plain_label, save_figure

LEAST = 5  # pictures on a map: fewer have no neighbours to speak of
NEIGHBOURS = 10


def most_pictured(listed: PairList, paths: Sequence[Path], count: int) -> dict[str, list[int]]:
    """Return the rows of the pictures of the people with most of them in a list, by name; none where it names nobody.

    Args:
        paths: of all pictures, in order of the rows.
    """
    rows = {path: row for row, path in enumerate(paths)}
    own: dict[str, set[int]] = defaultdict(set)
    for pair in listed.pairs:
        if pair.people is not None:
            for name, path in zip(pair.people, (pair.first, pair.second), strict=True):
                own[name].add(rows[path])
    names = sorted(own, key=lambda name: (-len(own[name]), name))[:count]
    chosen = {name: sorted(own[name]) for name in names}
    return chosen if sum(map(len, chosen.values())) >= LEAST else {}


def draw_maps(
    path: Path, faces: Mapping[str, MainFaces], people: Mapping[str, Sequence[int]], *, seed: int = 0
) -> None:
    """Draw one map a model: the pictures of some people, near one another where their vectors are.

    Args:
        faces: the vectors of each model.
        people: rows of each person's pictures.
    Raises:
        MissingExtraError: if umap-learn is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it names packages that it could use and that are not installed
            from umap import UMAP
    except ImportError as error:
        raise MissingExtraError(
            "no map of people is drawn, which needs umap-learn; pip install 'facereg-core[study]'"
        ) from error
    from matplotlib import pyplot

    _, axes = pyplot.subplots(1, len(faces), figsize=(5 * len(faces), 4.5), squeeze=False)
    for axis, (name, held) in zip(axes[0], faces.items(), strict=True):
        rows = np.array([row for own in people.values() for row in own if held.found[row]], np.int64)
        axis.set(title=plain_label(name), xticks=[], yticks=[])
        if len(rows) < LEAST:
            axis.set_xlabel("too few faces were found")
            continue
        reducer = UMAP(
            n_neighbors=min(NEIGHBOURS, len(rows) - 1), metric="cosine", init="random", random_state=seed, n_jobs=1
        )
        places = dict(zip(rows.tolist(), reducer.fit_transform(held.vectors[rows]), strict=True))
        for number, (person, own) in enumerate(people.items()):
            points = np.array([places[row] for row in own if row in places]).reshape(-1, 2)
            axis.scatter(*points.T, s=18, color=f"C{number % 10}", label=plain_label(person.replace("_", " ")))
    axes[0][0].legend(fontsize="x-small")
    save_figure(path)
