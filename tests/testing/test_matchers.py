"""Faults planted in a matcher that is right without them."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from facereg.builtin.exact import ExactMatcher
from facereg.registry.templates.facereg_new_name.matcher import NewStage
from facereg.roles import Matcher
from facereg.testing import MatcherContract
from facereg.testing.contracts import checks_of
from facereg.types import Embeddings, FloatArray
from tests.testing.planting import Fault, look, require_caught, rows

THOUSANDS = "the recall stated is reached among thousands"
CHANGES, CROWD = "what changes after a match counts in the next", "no one is lost in a crowd"
NAMES, COSINES, TWINS = (
    "names are kept as they are",
    "similarities are cosines",
    "people of equal vectors are all found",
)
COUNT, FOUND = "as many people come as asked for", "a known vector finds its person"
Answer = tuple[list[tuple[str, ...]], FloatArray]


class Right(Matcher):
    """Every vector compared; a subclass spoils one method."""

    def __init__(self) -> None:
        super().__init__(threshold=0.5)
        self.right = NewStage(threshold=0.5)

    def __len__(self) -> int:
        return len(self.right)

    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        self.right._add(labels, vectors)

    def _remove(self, label: str) -> int:
        return self.right._remove(label)

    def _match(self, probes: FloatArray, k: int) -> Answer:
        return self.right._match(probes, k)


class StaleAfterAdding(Right):
    held: dict[str, list[FloatArray]] | None = None

    def _match(self, probes: FloatArray, k: int) -> Answer:
        if self.held is None and len(self):
            self.held = {name: list(rows) for name, rows in self.right._people.items()}
        stale = NewStage(threshold=0.5)
        stale._people = self.held or {}
        return stale._match(probes, k)


class StaleAfterRemoving(Right):
    def _remove(self, label: str) -> int:
        return len(self.right._people.get(label, []))


class SecondAddReplaces(Right):
    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        self.right._people = {}
        super()._add(labels, vectors)


class RemovesOthers(Right):
    def _remove(self, label: str) -> int:
        gone = [name for name in self.right._people if name.startswith(label[:1])]
        return sum(self.right._remove(name) for name in gone)


class RemembersRemoved(Right):
    def __init__(self) -> None:
        super().__init__()
        self.gone: dict[str, list[FloatArray]] = {}

    def _remove(self, label: str) -> int:
        self.gone[label] = self.right._people.get(label, [])
        return super()._remove(label)

    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        super()._add(labels, vectors)
        for label in labels:
            self.right._people[label] += self.gone.pop(label, [])


class NoProbes(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        probes.max()  # of nothing
        return super()._match(probes, k)


class MoreThanAsked(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        return super()._match(probes, k + 1)


class FewerThanAsked(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        return super()._match(probes, min(k, 4))


class OneLessWhereMany(Right):
    """Searches for k vectors, and so finds fewer people."""

    def _match(self, probes: FloatArray, k: int) -> Answer:
        several = sum(len(rows) for rows in self.right._people.values()) > len(self)
        return super()._match(probes, max(1, k - 3) if several else k)


def lost_after(most: int) -> Callable[[], Matcher]:
    class Lost(Right):
        def _add(self, labels: list[str], vectors: FloatArray) -> None:
            kept = max(0, most - len(self))
            super()._add(labels[:kept], vectors[:kept])

    return Lost


def overwritten_after(most: int) -> Callable[[], Matcher]:
    """Counts everybody, and compares with the last ones only."""

    class Ring(Right):
        def _match(self, probes: FloatArray, k: int) -> Answer:
            last = NewStage(threshold=0.5)
            last._people = dict(list(self.right._people.items())[-most:])
            return last._match(probes, k)

    return Ring


def renamed(change: Callable[[str], str]) -> Callable[[], Matcher]:
    class Renamed(Right):
        def _add(self, labels: list[str], vectors: FloatArray) -> None:
            super()._add([change(label) for label in labels], vectors)

    return Renamed


def scored(change: Callable[[FloatArray], FloatArray]) -> Callable[[], Matcher]:
    class Scored(Right):
        def _match(self, probes: FloatArray, k: int) -> Answer:
            labels, similarities = super()._match(probes, k)
            return labels, change(similarities)

    return Scored


class OneEntryAVector(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        labels, similarities = super()._match(probes, k)
        return [row[:1] + row for row in labels], np.concatenate([similarities[:, :1], similarities], 1)


class WrongOwner(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        labels, similarities = super()._match(probes, k)
        return [tuple(reversed(row)) for row in labels], similarities


class Unlocked(Right):
    """Reads, lets others go on, and writes back what it read."""

    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        people = {name: list(rows) for name, rows in self.right._people.items()}
        time.sleep(0.002)
        for label, vector in zip(labels, vectors, strict=True):
            people.setdefault(label, []).append(vector)
        self.right._people = people

    def _match(self, probes: FloatArray, k: int) -> Answer:
        for _ in self.right._people:
            time.sleep(0.0001)
        return super()._match(probes, k)


class Remembers(Right):
    """Gives the first answer to every call of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[int, ...], Answer] = {}

    def _match(self, probes: FloatArray, k: int) -> Answer:
        return self.held.setdefault(probes.shape, super()._match(probes, k))


class KeepsItsThreshold(Right):
    @property
    def threshold(self) -> float:
        return 0.5

    @threshold.setter
    def threshold(self, value: float) -> None:
        pass


class EqualOnce(Right):
    """Holds equal vectors once."""

    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        for label, vector in zip(labels, vectors, strict=True):
            if not any((vector == one).all() for rows in self.right._people.values() for one in rows):
                super()._add([label], vector[None])


class AddsSome(Right):
    def _add(self, labels: list[str], vectors: FloatArray) -> None:
        vectors.max()  # of nothing
        super()._add(labels, vectors)


class WorstFirst(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        labels, similarities = super()._match(probes, k)
        return [row[::-1] for row in labels], similarities[:, ::-1]


class ProbesInReverse(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        return super()._match(probes[::-1], k)


class NamesNobody(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        labels, similarities = super()._match(probes, k)
        return [row or ("nobody",) for row in labels], similarities


class FailsEmpty(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        max(self.right._people)  # of nobody
        return super()._match(probes, k)


class FailsShort(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        list(self.right._people)[min(k, 13) - 1]
        return super()._match(probes, k)


class FilledUp(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        labels, similarities = super()._match(probes, k)
        more = max(0, k - similarities.shape[1])
        return [(*row, *[""] * more) for row in labels], np.pad(similarities, ((0, 0), (0, more)), constant_values=-1)


class CountsVectors(Right):
    def __len__(self) -> int:
        return sum(len(rows) for rows in self.right._people.values())


class RemovesOne(Right):
    def _remove(self, label: str) -> int:
        return 1 if label in self.right._people and self.right._people[label].pop() is not None else 0


class FailsToRemove(Right):
    def _remove(self, label: str) -> int:
        return len(self.right._people.pop(label))


class TakesAnySpace(Right):
    def _require_like(self, embeddings: Embeddings) -> None:
        """Take them all."""


class Approximate(Right):
    """Loses one vector in ten, as an index of cells does."""

    recall = 0.8

    def _match(self, probes: FloatArray, k: int) -> Answer:
        labels, similarities = super()._match(probes, k)
        for row, probe in enumerate(probes):
            if int(abs(probe[0]) * 1e4) % 10 == 0 and len(labels[row]) > 1:
                labels[row] = labels[row][1:] + labels[row][:1]
        return labels, similarities


class WorseThanStated(Approximate):
    recall = 0.99


class WorseAmongThousands(Right):
    def _match(self, probes: FloatArray, k: int) -> Answer:
        if len(self) < 5_000:
            return super()._match(probes, k)
        half = NewStage(threshold=0.5)
        half._people = dict(list(self.right._people.items())[1::2])
        return half._match(probes, k)


FAULTS = (
    Fault("stale after people were added", CHANGES, "people added one by one", StaleAfterAdding),
    Fault("stale after somebody was removed", CHANGES, "nobody removed among those found", StaleAfterRemoving),
    Fault("a removed person still counted", "a removed person is forgotten", "2 vectors removed", StaleAfterRemoving),
    Fault("a second add replaces all", CHANGES, "people added one by one", SecondAddReplaces),
    Fault("others removed too", CHANGES, "people beside one removed", RemovesOthers),
    Fault("old vectors come back with the name", CHANGES, "none of the removed vectors", RemembersRemoved),
    Fault("no probes fail", "no probes give no matches", "expected an answer", NoProbes),
    Fault("more than k", COUNT, "people for k=1", MoreThanAsked),
    Fault("fewer than k", COUNT, "people for k=5", FewerThanAsked),
    Fault("fewer people where they have several vectors", COUNT, "people for k=5", OneLessWhereMany),
    Fault("people lost after 64", CROWD, "70 of 70 people found", lost_after(64)),
    Fault("people lost over 1000", CROWD, "expected 1500 people, got 1000", lost_after(1000)),
    Fault("the first of 1200 overwritten", CROWD, "1500 of 1500 people found", overwritten_after(1024)),
    Fault("names merged by case", NAMES, "11 people, got 9", renamed(str.lower)),
    Fault("names stripped", NAMES, "11 people, got 10", renamed(str.strip)),
    Fault("names cut", NAMES, "11 people", renamed(lambda name: name[:3])),
    Fault("names changed", FOUND, "people just added found", renamed(str.upper)),
    Fault("names of others", FOUND, "people just added found", WrongOwner),
    Fault(
        "similarities scaled",
        COSINES,
        "cosines to who was found",
        scored(lambda one: one * np.float32(0.5)),
    ),
    Fault("squared distances", COSINES, "cosines", scored(lambda one: (2 * one - 2).astype(np.float32))),
    Fault("a person for each vector", "a person comes once however many vectors", "once each", OneEntryAVector),
    Fault("not thread-safe", "threads may share it", "got", Unlocked),
    Fault("answers remembered", "a batch gives what each probe gives alone", "alone and among 300", Remembers),
    Fault("threshold ignored", "below the threshold is nobody", "for 0.6 and 0.4 at 0.3", KeepsItsThreshold),
    Fault("recall lost in a large index", THOUSANDS, "500 of the closest of 10000 people", WorseAmongThousands),
    Fault("recall below what is stated", CROWD, "as its recall of 0.99 states", WorseThanStated),
    Fault("one name for equal vectors", TWINS, "ada and bob, of one vector", EqualOnce),
    Fault("fails where nobody is added", TWINS, "got PluginError", AddsSome),
    Fault("similarities in 0..1", COSINES, "cosines", scored(lambda one: (one + 1) / np.float32(2))),
    Fault("negative similarities cut off", COSINES, "cosines", scored(lambda one: np.maximum(one, np.float32(0)))),
    Fault("similarities rounded", COSINES, "cosines", scored(lambda one: one.round(2))),
    Fault("the worst first", FOUND, "descending rows", WorstFirst),
    Fault("probes in reverse", FOUND, "people just added found", ProbesInReverse),
    Fault("names given in place of none", "nobody known gives nobody", "expected an answer", NamesNobody),
    Fault("fails where nobody is known", "nobody known gives nobody", "ValueError", FailsEmpty),
    Fault("fails where fewer are known than asked for", COUNT, "IndexError", FailsShort),
    Fault("filled up to k with nobody", COUNT, "12 of 12 people for k=40", FilledUp),
    Fault("vectors counted as people", "a person comes once however many vectors", "3 people", CountsVectors),
    Fault("removes a vector of several", "a removed person is forgotten", "2 vectors removed", RemovesOne),
    Fault("fails to remove who is not known", "a removed person is forgotten", "KeyError", FailsToRemove),
    Fault(
        "names in one spelling of Unicode", NAMES, "11 people, got 10", renamed(partial(unicodedata.normalize, "NFC"))
    ),
    Fault("names of 64 letters at most", NAMES, "11 people, got 10", renamed(lambda name: name[:64])),
    Fault("compares vectors of other embedders", "another space is refused", "got no error", TakesAnySpace),
)


@rows(*FAULTS)
def test_a_planted_fault_is_caught(fault: Fault) -> None:
    require_caught(MatcherContract, fault)


@pytest.mark.parametrize("check", checks_of(MatcherContract))
@pytest.mark.parametrize(
    "make",
    [
        Right,
        Approximate,
        lambda: ExactMatcher(threshold=0.5),
        lambda: ExactMatcher(threshold=0.5, templates=False),
    ],
    ids=["new", "approximate", "exact", "exact-of-vectors"],
)
def test_without_a_fault_it_passes(make: Callable[[], Matcher], check: str) -> None:
    outcome = look(MatcherContract, make, check.removeprefix("test_"))
    assert outcome.passed, outcome
