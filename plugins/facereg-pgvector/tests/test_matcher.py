"""The matcher that searches in the database: the contract of matchers, and a gallery searched where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pytest
from facereg_pgvector.index import index_gallery
from facereg_pgvector.matcher import PgvectorMatcher, Search

from facereg import Embeddings, ExactMatcher, GalleryError, Match, Matcher
from facereg.gallery import Gallery, Source
from facereg.testing import MatcherContract
from facereg.testing.pictures import vectors

PEOPLE, DIM = 60, 32


class OnVectorsOfItsOwn(MatcherContract):
    search: ClassVar[Search]
    address = ""

    @pytest.fixture(autouse=True)
    def use(self, postgres: str) -> None:
        self.address = postgres

    def make(self) -> Matcher:
        return PgvectorMatcher(threshold=0.5, search=self.search, address=self.address)


class TestExact(OnVectorsOfItsOwn):
    search = "exact"


class TestHnsw(OnVectorsOfItsOwn):
    search = "hnsw"


class TestIvf(OnVectorsOfItsOwn):
    search = "ivf"


def source(number: int) -> Source:
    return Source(f"{number}.jpg", f"{number:064x}")


@pytest.fixture
def gallery(database: str) -> Iterator[Gallery]:
    with Gallery.open(database, space="a", create=True) as held:
        for person in range(PEOPLE):
            given = vectors(1 + person % 3, DIM, "a", seed=person)
            held.enroll(f"P{person}", given, [source(10 * person + n) for n in range(len(given))])
        yield held


def first(matcher: Matcher, probe: Embeddings) -> Match:
    return next(iter(matcher.match(probe)))


def probes() -> Embeddings:
    known = np.concatenate([vectors(1, DIM, "a", seed=person).vectors for person in range(PEOPLE)])
    noisy = known + np.random.default_rng(1).normal(0, 0.05, known.shape)
    return Embeddings((noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32), "a")


@pytest.mark.parametrize("search", ["exact", "hnsw", "ivf", "auto"])
def test_a_gallery_is_searched_where_it_lies(gallery: Gallery, database: str, search: Search) -> None:
    if search in ("hnsw", "ivf"):
        index_gallery(gallery.address, search)
    with (
        ExactMatcher(threshold=0.5) as exact,
        PgvectorMatcher(threshold=0.5, search=search, probes=60) as matcher,
    ):
        gallery.fill(exact)
        gallery.fill(matcher)
        expected, got = exact.match(probes(), k=3), matcher.match(probes(), k=3)
        assert got.labels == expected.labels
        assert np.abs(got.similarities - expected.similarities).max() < 1e-6
        assert (len(matcher), matcher.vectors_compared) == (PEOPLE, PEOPLE)


def test_what_others_change_counts_in_the_next_match(gallery: Gallery, database: str) -> None:
    eve = vectors(1, DIM, "a", seed=1000)
    index_gallery(gallery.address, "hnsw")
    with PgvectorMatcher(threshold=0.5) as matcher:
        gallery.fill(matcher)
        gallery.close()
        with Gallery.open(database) as other:
            assert first(matcher, eve).label is None
            other.enroll("Eve", eve, [source(9999)])
            before = matcher.match(eve)
            assert next(iter(before)).label == "Eve"
            other.rename("Eve", "P1", merge=True)
            after = matcher.match(eve)
            assert next(iter(after)).candidates[0][0] == "P1"
            assert after.changes > before.changes
            other.remove("P1")
            assert first(matcher, eve).label is None
            assert len(matcher) == PEOPLE - 1


def test_an_index_that_is_not_there_is_one_line(gallery: Gallery) -> None:
    words = "no hnsw index; make one with 'facereg pgvector-index hnsw"
    with PgvectorMatcher(threshold=0.5, search="hnsw") as matcher, pytest.raises(GalleryError, match=words):
        gallery.fill(matcher)


def test_indexes_come_and_go(gallery: Gallery, database: str) -> None:
    for _ in range(2):  # the second one in place of the first
        assert index_gallery(gallery.address, "ivf") == PEOPLE
    with PgvectorMatcher(threshold=0.5) as matcher:
        gallery.fill(matcher)
        assert matcher.recall == 0.95
    assert index_gallery(gallery.address, "none") == PEOPLE
    with PgvectorMatcher(threshold=0.5) as matcher:
        gallery.fill(matcher)
        assert matcher.recall == 1.0


def test_a_gallery_in_a_file_needs_an_address_for_its_vectors(tmp_path: object, postgres: str) -> None:
    with Gallery.open(f"{tmp_path}/team.gallery", space="a", create=True) as held:
        held.enroll("Ada", vectors(2, DIM, "a"), [source(1), source(2)])
        with PgvectorMatcher(threshold=0.5) as matcher, pytest.raises(GalleryError, match="or the option address"):
            held.fill(matcher)
        with PgvectorMatcher(threshold=0.5, address=postgres) as matcher:
            held.fill(matcher)
            assert first(matcher, vectors(1, DIM, "a")).label == "Ada"
            held.remove("Ada")
            assert first(matcher, vectors(1, DIM, "a")).label is None


def test_a_matcher_over_a_gallery_takes_no_vectors(gallery: Gallery) -> None:
    with PgvectorMatcher(threshold=0.5) as matcher:
        gallery.fill(matcher)
        with pytest.raises(GalleryError, match="enrol the person there"):
            matcher.add(["Eve"], vectors(1, DIM, "a"))
        with pytest.raises(GalleryError, match="one gallery"):
            gallery.fill(matcher)


def test_encrypted_vectors_are_not_searched_in_the_database(database: str) -> None:
    key = b"sixteen bytes or more"
    with Gallery.open(database, space="a", create=True, key=key) as held, PgvectorMatcher(threshold=0.5) as matcher:
        held.enroll("Ada", vectors(2, DIM, "a"), [source(0), source(1)])
        assert held.check() == []
        with pytest.raises(
            GalleryError, match="encrypted with a key, and the database cannot search them; choose anot"
        ):
            held.fill(matcher)
