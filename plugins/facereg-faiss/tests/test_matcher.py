"""faiss's indexes: the contract, the recall stated, settings, and what is kept beside a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

pytest.importorskip("faiss")

from facereg_faiss.matcher import FaissIndex, FaissMatcher, Kind

from facereg import ContractError, Embeddings, Gallery
from facereg.builtin import indexed
from facereg.gallery import Source
from facereg.testing import MatcherContract


class FlatContract(MatcherContract):
    kind: Kind = "flat"

    def make(self) -> FaissMatcher:
        return FaissMatcher(threshold=0.5, kind=self.kind)


class TestFlat(FlatContract):
    pass


class TestInvertedLists(FlatContract):
    kind = "ivf"


class TestGraph(FlatContract):
    kind = "hnsw"


class TestProductQuantisation(FlatContract):
    kind = "pq"


@pytest.mark.parametrize("kind", get_args(Kind))
def test_an_index_is_built_and_kept(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(indexed, "FRESH", 500)
    monkeypatch.setattr(FaissMatcher, "kept_from", 1)
    rng = np.random.default_rng(0)
    made = rng.standard_normal((600, 16), np.float32)
    known = Embeddings(made / np.linalg.norm(made, axis=1, keepdims=True), "a")
    built: list[str] = []
    real = FaissMatcher._index

    def index(matcher: FaissMatcher, *given: object) -> object:
        built.append("kept" if len(given) > 1 else "built")
        return real(matcher, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(FaissMatcher, "_index", index)
    with Gallery.open(tmp_path / "g", space="a", create=True) as gallery:
        gallery.enroll("first", known[:1], [Source("0", f"{0:064x}")])
        with gallery._store.writing() as change:
            for row in range(1, 600):
                change.add(change.person(f"{row:03}", "now"), known.vectors[row], Source("x", f"{row:064x}"), "now")
        for _ in range(2):
            with FaissMatcher(threshold=0.5, kind=kind) as matcher:
                gallery.fill(matcher)
                names = [match.label for match in matcher.match(known, k=1)]
                right = np.mean([name == (f"{row:03}" if row else "first") for row, name in enumerate(names)])
                assert right >= matcher.recall - 0.02  # of 600 that were not chosen for it
    assert built == ["built", "kept", "kept"]
    assert capfd.readouterr() == ("", "")  # faiss warns of few rows
    assert [file.name for file in tmp_path.glob("*.index")] == [f"g.FaissMatcher-templates-{kind}.index"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "lsh"}, "kind: expected one of flat, ivf, hnsw, pq, got 'lsh'"),
        ({"effort": -1}, "effort: expected 1 to 65536, or 0 for the kind's own, got -1"),
        ({"recall": 1.5}, "recall: expected a share of at most 1, or 0 for the kind's own, got 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        FaissMatcher(threshold=0.5, **settings)  # type: ignore[arg-type]


def test_what_it_states_follows_from_its_kind() -> None:
    with FaissMatcher(threshold=0.5, kind="flat") as flat, FaissMatcher(threshold=0.5) as graph:
        assert (flat.recall, graph.recall) == (1.0, 0.99)
    with FaissMatcher(threshold=0.5, effort=200, recall=0.999) as chosen:
        assert (chosen.recall, chosen.effort) == (0.999, 200)


@pytest.mark.parametrize(
    ("lists", "effort", "looked_through"), [(16, 0, 32), (240, 0, 32), (4000, 0, 333), (4000, 40, 40)]
)
def test_of_more_lists_more_are_looked_through(lists: int, effort: int, looked_through: int) -> None:
    import faiss

    index = FaissIndex(faiss.index_factory(4, f"IVF{lists},Flat"), 1, effort, 1)
    assert index._parameters(1).nprobe == looked_through  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("rows", "effort", "candidates"), [(10_000, 0, 64), (100_000, 0, 64), (1_000_000, 0, 202), (1_000_000, 80, 80)]
)
def test_among_more_people_more_candidates_are_kept_in_view(rows: int, effort: int, candidates: int) -> None:
    import faiss

    index = FaissIndex(faiss.IndexHNSWFlat(4, 8), rows, effort, 1)
    assert index._parameters(1).efSearch == candidates  # type: ignore[union-attr]


@pytest.mark.train
@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_library_of_training_in_the_same_process_changes_no_answer(kind: Kind) -> None:
    pytest.importorskip("torch", reason="the [train] extra is not installed")
    import faiss.contrib.torch_utils  # noqa: F401  # as pytorch-metric-learning does: faiss takes tensors from now on

    made = np.eye(16, dtype=np.float32)[np.arange(600) % 16]
    with FaissMatcher(threshold=0.5, kind=kind) as matcher:
        matcher.add([f"P{row % 16}" for row in range(600)], Embeddings(made, "a"))
        assert [match.label for match in matcher.match(Embeddings(made[:16], "a"))] == [f"P{n}" for n in range(16)]
