"""A gallery, in each store: people, transactions, readers beside a writer, export and import, refusals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import overload

import numpy as np
import pytest

from facereg import Address
from facereg.builtin.exact import ExactMatcher
from facereg.errors import ContractError, GalleryError, ImageError, SpaceMismatchError
from facereg.gallery import Enrolled, Gallery, Source, exported_space
from facereg.testing.pictures import vectors
from facereg.types import Embeddings
from tests.gallery.conftest import Place

DIM = 8


def sources(count: int, *, first: int = 0) -> list[Source]:
    return [Source(f"{number}.jpg", f"{number:064x}") for number in range(first, first + count)]


@pytest.fixture
def gallery(place: Place) -> Iterator[Gallery]:
    with Gallery.open(place, space="a", create=True) as held:
        yield held


def shown(place: Place) -> str:
    """Return how a message names it, as a pattern."""
    return re.escape(str(Address.of(place)))


class Watched(Sequence[Source]):
    """Sources that call back when half of them are taken: in the middle of a transaction."""

    def __init__(self, items: list[Source], half: object) -> None:
        self.items, self.half = items, half

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, place: int) -> Source: ...
    @overload
    def __getitem__(self, place: slice) -> list[Source]: ...
    def __getitem__(self, place: int | slice) -> Source | list[Source]:
        if place == len(self.items) // 2:
            self.half()  # type: ignore[operator]
        return self.items[place]


def test_a_person_holds_several_embeddings_and_their_sources(gallery: Gallery) -> None:
    given = vectors(3, DIM, "a")
    assert gallery.enroll("Ada", given, sources(3)) == Enrolled(3, ())
    assert gallery.enroll("Ada", vectors(1, DIM, "a", seed=1), sources(1, first=3)) == Enrolled(1, ())
    [ada] = gallery.people()
    assert (ada.name, ada.embeddings) == ("Ada", 4)
    assert ada.sources == ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
    names, held = gallery.embeddings()
    assert names == ["Ada"] * 4
    assert np.array_equal(held.vectors[:3], given.vectors)
    assert held.space == "a"


def test_what_was_enrolled_is_there_when_the_file_is_opened_again(place: Place) -> None:
    given = vectors(2, DIM, "a")
    with Gallery.open(place, space="a", create=True) as first:
        first.enroll("Ada", given, sources(2))
    with Gallery.open(place) as second:
        assert second.space == "a"
        assert np.array_equal(second.embeddings()[1].vectors, given.vectors)


def test_a_source_counts_once_for_a_person(gallery: Gallery) -> None:
    gallery.enroll("Ada", vectors(2, DIM, "a"), sources(2))
    again = gallery.enroll("Ada", vectors(3, DIM, "a", seed=1), sources(3))
    assert again == Enrolled(1, ("0.jpg", "1.jpg"))
    assert gallery.enroll("Bob", vectors(1, DIM, "a"), sources(1)) == Enrolled(1, ())  # a group picture, say
    names, held = gallery.embeddings()
    assert names == ["Ada", "Ada", "Ada", "Bob"]
    assert np.array_equal(held.vectors[:2], vectors(2, DIM, "a").vectors)  # the first ones stayed


def test_an_error_in_the_middle_leaves_nothing_of_the_enrolment(gallery: Gallery) -> None:
    gallery.enroll("Ada", vectors(1, DIM, "a"), sources(1))

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.enroll("Bob", vectors(4, DIM, "a"), Watched(sources(4, first=1), fail))
    assert [person.name for person in gallery.people()] == ["Ada"]
    assert gallery.check() == []
    gallery.enroll("Bob", vectors(4, DIM, "a"), sources(4, first=1))  # the file is not left locked
    assert len(gallery) == 2


def test_readers_go_on_while_one_writes_and_see_all_of_it_or_none(gallery: Gallery, place: Place) -> None:
    gallery.enroll("Ada", vectors(1, DIM, "a"), sources(1))
    seen: list[list[str]] = []

    def look() -> None:
        with Gallery.open(place) as one, Gallery.open(place) as other:
            seen.extend([one.embeddings()[0], other.embeddings()[0]])

    gallery.enroll("Bob", vectors(4, DIM, "a"), Watched(sources(4, first=1), look))
    assert seen == [["Ada"], ["Ada"]]
    look()
    assert seen[2:] == [["Ada", "Bob", "Bob", "Bob", "Bob"]] * 2


def test_writers_take_turns(place: Place) -> None:
    def enrol(writer: int) -> None:
        with Gallery.open(place, space="a", create=True) as held:
            for number in range(10):
                first = 100 * writer + 2 * number
                held.enroll(f"{writer} {number}", vectors(2, DIM, "a", seed=first), sources(2, first=first))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enrol, range(4)))  # the first to come makes the file
    with Gallery.open(place) as held:
        assert [person.embeddings for person in held.people()] == [2] * 40
        assert held.check() == []


def test_threads_may_share_one_instance(gallery: Gallery) -> None:
    def enrol(number: int) -> int:
        gallery.enroll(f"{number}", vectors(2, DIM, "a"), sources(2, first=2 * number))
        return len(gallery.embeddings()[0])

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(enrol, range(20)))
    assert max(counts) == 40
    assert all(count % 2 == 0 for count in counts)  # never half of a person


def test_a_removed_person_is_gone_with_all_embeddings(gallery: Gallery) -> None:
    gallery.enroll("Ada", vectors(3, DIM, "a"), sources(3))
    gallery.enroll("Bob", vectors(1, DIM, "a"), sources(1))
    assert gallery.remove("Ada") == 3
    assert gallery.embeddings()[0] == ["Bob"]
    with pytest.raises(GalleryError, match="nobody named 'Ada'; see 'facereg gallery list'"):
        gallery.remove("Ada")


def test_a_matcher_filled_from_it_names_everybody(gallery: Gallery) -> None:
    given = vectors(4, DIM, "a")
    gallery.enroll("Ada", given[:2], sources(2))
    gallery.enroll("Bob", given[2:], sources(2))
    with ExactMatcher(threshold=0.99, templates=False) as matcher:
        gallery.fill(matcher)
        assert [match.label for match in matcher.match(given)] == ["Ada", "Ada", "Bob", "Bob"]


def test_an_empty_gallery_fills_a_matcher_with_nobody(gallery: Gallery) -> None:
    with ExactMatcher(threshold=0.5) as matcher:
        gallery.fill(matcher)
        assert len(matcher) == 0
        assert [match.label for match in matcher.match(vectors(1, DIM, "a"))] == [None]


def test_export_and_import_carry_everything_over(gallery: Gallery, tmp_path: Path) -> None:
    gallery.enroll("Ada Núñez", vectors(3, DIM, "a"), sources(3))
    gallery.enroll("علی‌رضا", vectors(1, DIM, "a", seed=1), sources(1))  # with a joiner, as Persian names have
    file = tmp_path / "team.npz"
    assert gallery.export(file) == 4
    assert exported_space(file) == "a"
    with Gallery.open(tmp_path / "copy.gallery", space="a", create=True) as copy:
        assert copy.import_(file) == 4
        assert copy.people() == gallery.people()
        assert copy.embeddings()[0] == gallery.embeddings()[0]
        assert np.array_equal(copy.embeddings()[1].vectors, gallery.embeddings()[1].vectors)
        assert copy.import_(file) == 0  # twice adds nothing
        assert copy.check() == []


def test_an_empty_gallery_can_be_exported_and_imported(gallery: Gallery, tmp_path: Path) -> None:
    assert gallery.export(tmp_path / "none.npz") == 0
    assert gallery.import_(tmp_path / "none.npz") == 0


def test_an_export_of_another_embedder_is_refused_and_adds_nothing(gallery: Gallery, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "b.gallery", space="b", create=True) as other:
        other.enroll("Bob", vectors(2, DIM, "b"), sources(2))
        other.export(tmp_path / "b.npz")
    with pytest.raises(SpaceMismatchError, match="'b'.*'a'"):
        gallery.import_(tmp_path / "b.npz")
    assert len(gallery) == 0


def test_what_is_no_export_is_refused(gallery: Gallery, tmp_path: Path) -> None:
    text, half, other = tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "c.npz"
    text.write_text("names")
    gallery.enroll("Ada", vectors(9, DIM, "a"), sources(9))
    gallery.export(half)
    half.write_bytes(half.read_bytes()[:400])
    np.savez(other, vectors=np.eye(3))
    for path in (text, half, other, tmp_path / "missing.npz"):
        with pytest.raises(GalleryError, match="expected an export of a gallery.*check the path") as caught:
            gallery.import_(path)
        assert str(path) in str(caught.value)


def test_an_export_whose_columns_differ_in_length_is_refused(gallery: Gallery, tmp_path: Path) -> None:
    gallery.enroll("Ada", vectors(3, DIM, "a"), sources(3))
    gallery.export(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as held:
        columns = dict(held)
    np.savez(tmp_path / "b.npz", **columns | {"names": columns["names"][:2]})
    gallery.remove("Ada")
    with pytest.raises(GalleryError, match="as many names"):
        gallery.import_(tmp_path / "b.npz")
    assert len(gallery) == 0


@pytest.mark.parametrize(
    "name", ["", "  ", "Ada\nBob", "Ada\0", "Ada\udcff"], ids=["empty", "blank", "two lines", "nul", "bytes"]
)
def test_a_name_is_one_line_of_text(gallery: Gallery, name: str) -> None:
    with pytest.raises(ContractError, match="name: expected a person's name"):
        gallery.enroll(name, vectors(1, DIM, "a"), sources(1))
    assert len(gallery) == 0


def test_each_embedding_has_one_source(gallery: Gallery) -> None:
    with pytest.raises(ContractError, match="one for each of 3 embeddings, got 2"):
        gallery.enroll("Ada", vectors(3, DIM, "a"), sources(2))
    with pytest.raises(ContractError, match="at least one of 'Ada'"):
        gallery.enroll("Ada", vectors(0, DIM, "a"), [])
    assert len(gallery) == 0


@pytest.mark.parametrize("digest", ["", "abc", "G" * 64, "0" * 65])
def test_a_source_states_a_sha256(digest: str) -> None:
    with pytest.raises(ContractError, match="sha256: expected 64 hex digits"):
        Source("a.jpg", digest)


def test_a_source_of_a_file_is_its_content(tmp_path: Path, gallery: Gallery) -> None:
    strange = tmp_path / "a\udcff.jpg"  # a byte that is no UTF-8
    strange.write_bytes(b"abc")
    source = Source.of(strange)
    assert source.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    gallery.enroll("Ada", vectors(1, DIM, "a"), [source])
    assert gallery.people()[0].sources == (f"{tmp_path}/a\\udcff.jpg",)
    with pytest.raises(ImageError, match="gone.jpg: cannot be read"):
        Source.of(tmp_path / "gone.jpg")


def test_embeddings_of_another_space_are_refused(gallery: Gallery, place: Place) -> None:
    with pytest.raises(SpaceMismatchError, match="'b'.*'a'"):
        gallery.enroll("Ada", vectors(1, DIM, "b"), sources(1))
    assert len(gallery) == 0
    with pytest.raises(SpaceMismatchError, match=f"{shown(place)}: holds embeddings of 'a', expected 'b'; enrol"):
        Gallery.open(place, space="b")


def test_vectors_of_another_length_are_refused(gallery: Gallery, place: Place) -> None:
    gallery.enroll("Ada", vectors(2, DIM, "a"), sources(2))
    words = f"{shown(place)}: expected vectors of 8 numbers as the gallery holds, got 5"
    with pytest.raises(GalleryError, match=words):
        gallery.enroll("Bob", Embeddings(np.eye(1, 5, dtype=np.float32), "a"), sources(1))
    assert [person.name for person in gallery.people()] == ["Ada"]


def test_nothing_there_is_an_error_that_says_how_to_make_one(place: Place) -> None:
    with pytest.raises(GalleryError, match=r"found no gallery there; make one with 'facereg enroll DIR"):
        Gallery.open(place, space="a")
    assert not Path(place).exists()
    with pytest.raises(ContractError, match="space"):
        Gallery.open(place, create=True)


def test_a_closed_gallery_says_so(gallery: Gallery) -> None:
    gallery.close()
    gallery.close()
    for call in (gallery.people, lambda: gallery.enroll("Ada", vectors(1, DIM, "a"), sources(1))):
        with pytest.raises(GalleryError, match="is closed; open it again"):
            call()
