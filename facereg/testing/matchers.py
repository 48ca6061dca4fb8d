"""What a matcher must do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from facereg.errors import SpaceMismatchError
from facereg.roles import Matcher, Stage
from facereg.testing.checking import VECTOR_TOLERANCE, check, in_threads, require, require_close, require_refused
from facereg.testing.every_role import StageContract
from facereg.testing.pictures import vectors
from facereg.types import Embeddings, Matches

DIM = 16
CROWD = 1_500  # people: more than indexes that grow in blocks of 64 or 1,024 hold at first
THOUSANDS, PROBES = 10_000, 500  # people: more than an index of ours begins with, and of whom another vector is asked
NOISE = np.float32(0.5)  # of that vector: it has a cosine of about 0.9 with theirs
# people of their own, however alike their names
LABELS = ("Ada", "ada", "ADA", " ada", "ad\u00e4", "ada\u0308", "ad\u0430", "ada:1", "ada/2", "ada" * 40, "ada" * 41)
DEVIATIONS = 3  # by which a share of few people may lie below the recall by chance
APPROXIMATE = 0.1  # by which similarities of an approximate matcher may be off, as with quantized vectors


class MatcherContract(StageContract):
    """What every matcher must do; write `make`, which returns an empty one with a threshold of 0.5.

    A matcher that states a `recall` below 1 has to find that share of the people that an exact one finds.
    """

    def make(self) -> Matcher:
        """Return a new matcher; a subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__}: write make(), which returns a new matcher")

    def _use(self, stage: Stage) -> None:
        if isinstance(stage, Matcher):
            stage.add(["ada"], vectors(1, DIM, "a"))
            stage.match(vectors(1, DIM, "a"))

    @check(
        catches="nobody known that is an error or somebody",
        change="where nobody is known return empty tuples and similarities of shape (N, 0)",
    )
    def test_nobody_known_gives_nobody(self) -> None:
        with self.make() as matcher:
            matches = matcher.match(vectors(2, DIM, "a"))
            people = len(matcher)
        labels = [match.label for match in matches]
        require(labels == [None, None], expected="nobody for both probes", got=labels)
        require(people == 0, expected="a new matcher that knows 0 people", got=people)

    @check(
        catches="no probes that are an error",
        change="where there are no probes return no labels and similarities of shape (0, min(k, people))",
    )
    def test_no_probes_give_no_matches(self) -> None:
        with self.make() as matcher:
            empty = vectors(1, DIM, "a")[:0]
            for _ in range(2):  # of an empty matcher, then of one that knows somebody
                matches = matcher.match(empty)
                require(len(matches) == 0, expected="no matches for no probes", got=len(matches))
                matcher.add(["ada"], vectors(1, DIM, "a"))

    @check(
        catches="people who are known and not found, or found under another's name",
        change="keep each label beside its vector, through every reordering of the index",
    )
    def test_a_known_vector_finds_its_person(self) -> None:
        known = vectors(20, DIM, "a")
        with self.make() as matcher:
            _add(matcher, 20)
            _require_found(matcher, known, _names(20), "people just added")

    @check(
        catches="distances, squared or scaled values given as similarities",
        change="return the cosine of probe and person, -1..1; for unit vectors 1 - d * d / 2 of a distance d",
    )
    def test_similarities_are_cosines(self) -> None:
        known, probes = vectors(50, DIM, "a"), vectors(9, DIM, "a", seed=1)
        with self.make() as matcher:
            matcher.add(_names(50), known)
            recall = matcher.recall
            matches = matcher.match(probes, k=50 if recall == 1 else 1)  # the last of 50 have negative cosines
        cosines = probes.vectors @ known.vectors.T  # (9, 50)
        rows = [[int(name.split()[1]) for name in names] for names in matches.labels]
        stated = np.take_along_axis(cosines, np.array(rows), 1)
        tolerance = VECTOR_TOLERANCE if recall == 1 else APPROXIMATE
        require_close(matches.similarities, stated.astype(np.float32), tolerance, what="cosines to who was found")
        _require_recall(list(stated[:, 0] >= cosines.max(1) - VECTOR_TOLERANCE), recall, "the closest of 50 people")

    @check(
        catches="a person given once for each vector",
        change="keep the best vector of each person, then the k best people",
    )
    def test_a_person_comes_once_however_many_vectors(self) -> None:
        known = Embeddings(vectors(3, DIM, "a").vectors[[0, 1, 0, 0, 1, 2]], "a")
        with self.make() as matcher:
            matcher.add(["ada", "bob", "ada", "ada", "bob", "eve"], known)
            matches, people = matcher.match(known[2:3], k=9), len(matcher)
        require(people == 3, expected="3 people of 6 vectors", got=people)
        got = sorted(matches.labels[0])
        require(got == ["ada", "bob", "eve"], expected="ada, bob and eve once each", got=got)
        require(matches.labels[0][0] == "ada", expected="ada first", got=matches.labels[0][0])

    @check(
        catches="fewer or more people than k",
        change="return min(k, people) names a probe, and search for more vectors than k where people have several",
    )
    def test_as_many_people_come_as_asked_for(self) -> None:
        with self.make() as matcher:
            _add(matcher, 12)
            matcher.add(["person 0"] * 40, Embeddings(np.repeat(vectors(12, DIM, "a").vectors[:1], 40, 0), "a"))
            for k in (1, 5, 12, 40):
                matches = matcher.match(vectors(3, DIM, "a", seed=4), k=k)
                got = {len(row) for row in matches.labels} | {matches.similarities.shape[1]}
                require(got == {min(k, 12)}, expected=f"{min(k, 12)} of 12 people for k={k}", got=sorted(got))
                require(
                    all(len(set(row)) == len(row) for row in matches.labels), expected="each once", got="some twice"
                )

    @check(
        catches="people lost whose vectors are equal: twins, or one picture under two names; a call that adds nobody",
        change="hold every vector under its own name, though an equal one is held; let _add do nothing for no vectors",
    )
    def test_people_of_equal_vectors_are_all_found(self) -> None:
        one = vectors(1, DIM, "a")
        with self.make() as matcher:
            matcher.add([], one[:0])
            for name in ("ada", "bob"):
                matcher.add([name], one)
            found = matcher.match(one, k=2).labels[0]
        require(sorted(found) == ["ada", "bob"], expected="ada and bob, of one vector", got=found)

    @check(
        catches="a threshold that is ignored, or kept from when it was made",
        change="override `_match`, not `match`, which accepts by the threshold in force",
    )
    def test_below_the_threshold_is_nobody(self) -> None:
        axes = np.eye(DIM, dtype=np.float32)
        near = Embeddings(np.stack([0.6 * axes[0] + 0.8 * axes[1], 0.4 * axes[0] + np.sqrt(0.84) * axes[1]]), "a")
        with self.make() as matcher:
            matcher.add(["x"], Embeddings(axes[:1], "a"))
            for threshold, expected in ((0.5, ["x", None]), (0.3, ["x", "x"]), (0.7, [None, None])):
                matcher.threshold = threshold
                got = [match.label for match in matcher.match(near)]
                require(got == expected, expected=f"{expected} for 0.6 and 0.4 at {threshold}", got=got)

    @check(
        catches="a removed person who is still found, or somebody else removed",
        change="take all vectors of the label, and only these, out of the index and of what was derived from it",
    )
    def test_a_removed_person_is_forgotten(self) -> None:
        known = vectors(3, DIM, "a")
        with self.make() as matcher:
            matcher.add(["ada", "bob", "ada"], known)
            gone, again = matcher.remove("ada"), matcher.remove("ada")
            require((gone, again) == (2, 0), expected="2 vectors removed, then 0", got=f"{gone}, then {again}")
            require(len(matcher) == 1, expected="1 person left", got=len(matcher))
            left = matcher.match(known[:1]).labels[0]
            require(left == ("bob",), expected="bob alone", got=left)

    @check(
        catches="an index that is stale after people were added or removed, a second `add` that replaces the first",
        change="bring the index up, or mark it as old, in both _add and _remove; add to what is held",
    )
    def test_what_changes_after_a_match_counts_in_the_next(self) -> None:
        known, names = vectors(6, DIM, "a"), _names(6)
        with self.make() as matcher:
            for row in range(6):
                matcher.add(names[row : row + 1], known[row : row + 1])
                _require_found(matcher, known[: row + 1], names[: row + 1], f"{row + 1} people added one by one")
            matcher.remove("person 0")
            found = matcher.match(known[:1], k=6).labels[0]
            require("person 0" not in found, expected="nobody removed among those found", got=found)
            _require_found(matcher, known[1:], names[1:], "people beside one removed")
            matcher.add(["person 0"], vectors(1, DIM, "a", seed=8))
            _require_found(matcher, vectors(1, DIM, "a", seed=8), ["person 0"], "somebody removed and added anew")
            best = float(matcher.match(known[:1], k=1).similarities[0, 0])
            require(best < 0.999, expected="none of the removed vectors among those compared", got=f"one of {best:.3f}")

    @check(
        catches="people who are lost in a large gallery",
        change="let the index grow: no fixed size, no largest number of people or vectors",
    )
    def test_no_one_is_lost_in_a_crowd(self) -> None:
        known, names = vectors(CROWD, DIM, "a"), _names(CROWD)
        with self.make() as matcher:
            matcher.add(names[:70], known[:70])
            _require_found(matcher, known[:70], names[:70], "70 people")
            matcher.add(names[70:], known[70:])
            require(len(matcher) == CROWD, expected=f"{CROWD} people", got=len(matcher))
            _require_found(matcher, known, names, f"{CROWD} people")

    @check(
        catches="a stated recall that an index does not reach once it is built, which small galleries do not show",
        change="state the recall that you measured, or have the index look at more: see Matcher.recall",
    )
    def test_the_recall_stated_is_reached_among_thousands(self) -> None:
        known, noise = vectors(THOUSANDS, 2 * DIM, "a"), vectors(PROBES, 2 * DIM, "a", seed=7).vectors
        near = known.vectors[:: THOUSANDS // PROBES][:PROBES] + NOISE * noise
        probes = Embeddings(near / np.linalg.norm(near, axis=1, keepdims=True), "a")
        closest = (probes.vectors @ known.vectors.T).argmax(1).tolist()
        with self.make() as matcher:
            matcher.add(_names(THOUSANDS), known)
            found = [names[0] if names else None for names in matcher.match(probes, k=1).labels]
            right = [name == f"person {row}" for name, row in zip(found, closest, strict=True)]
            _require_recall(right, matcher.recall, f"the closest of {THOUSANDS} people")

    @check(
        catches="people merged whose names differ in case, spaces or letters that look alike",
        change="take labels as they are: no lower(), no strip(), no normalisation",
    )
    def test_names_are_kept_as_they_are(self) -> None:
        known = vectors(len(LABELS), DIM, "a")
        with self.make() as matcher:
            matcher.add(list(LABELS), known)
            require(len(matcher) == len(LABELS), expected=f"{len(LABELS)} people", got=len(matcher))
            _require_found(matcher, known, LABELS, "names that are alike")

    @check(
        catches="vectors of another embedder that are compared",
        change="override `_add` and `_match`, not `add` and `match`, which refuse them",
    )
    def test_another_space_is_refused(self) -> None:
        other = vectors(1, DIM, "b")
        with self.make() as matcher:
            matcher.add(["ada"], vectors(1, DIM, "a"))
            require_refused(SpaceMismatchError, lambda: matcher.match(other), what="probes of another space")
            require_refused(SpaceMismatchError, lambda: matcher.add(["bob"], other), what="people of another space")

    @check(
        catches="answers that change from call to call, or with the other probes",
        change="keep nothing of a probe after the call; compare each row by itself",
    )
    def test_a_batch_gives_what_each_probe_gives_alone(self) -> None:
        probes = vectors(300, DIM, "a", seed=5)
        with self.make() as matcher:
            _add(matcher, 30)
            together = matcher.match(probes)
            for row in (0, 1, 255, 256, 299):
                _require_same(matcher.match(probes[row : row + 1]), together, row, "alone and among 300")

    @check(
        catches="a matcher that only one thread at a time may call",
        change="hold a lock in _add, _remove and _match, or search a copy that is replaced and never written to",
    )
    def test_threads_may_share_it(self) -> None:
        known, probes = vectors(40, DIM, "a"), vectors(8, DIM, "a", seed=6)
        rounds = range(60)
        far = -probes.vectors.sum(0, keepdims=True)  # guests are unlike every probe
        far /= np.linalg.norm(far)

        def act(turn: int) -> Matches | None:
            label = f"guest {turn % 7}"
            if turn % 3 == 0:
                matcher.add([label], Embeddings(far, "a"))
            elif turn % 3 == 1:
                matcher.remove(label)
            else:
                return matcher.match(probes, k=3)
            return None

        with self.make() as matcher:
            matcher.add(_names(40), known)
            expected = matcher.match(probes, k=1)
            found = [matches for matches in in_threads(act, rounds) if matches is not None]
            for turn in rounds:
                matcher.remove(f"guest {turn % 7}")
            people = len(matcher)
            after = matcher.match(probes, k=1)
            exact = matcher.recall == 1
        require(people == 40, expected="40 people after guests came and went", got=people)
        for matches in (*found, after) if exact else (after,):
            for row in range(len(probes)):
                _require_same(matches, expected, row, "from several threads and one", k=1, other=row)


def _names(count: int) -> list[str]:
    return [f"person {row}" for row in range(count)]


def _add(matcher: Matcher, count: int) -> None:
    matcher.add(_names(count), vectors(count, DIM, "a"))


def _require_found(matcher: Matcher, known: Embeddings, names: Sequence[str], who: str) -> None:
    """Raise CheckFailedError unless each vector finds its own person first, or the share that the matcher states."""
    matches = matcher.match(known, k=3)
    found = [row[0] if row else None for row in matches.labels]
    right = [one == name for one, name in zip(found, names, strict=True)]
    _require_recall(right, matcher.recall, who)
    if matcher.recall == 1:
        ones = np.ones(len(names), np.float32)
        require_close(matches.similarities[:, 0], ones, VECTOR_TOLERANCE, what=f"similarities of {who} to themselves")


def _require_recall(right: Sequence[bool], recall: float, who: str) -> None:
    stated = "" if recall == 1 else f", as its recall of {recall} states"
    chance = DEVIATIONS * math.sqrt(len(right) * recall * (1 - recall))
    least = max(0, math.floor(recall * len(right) - chance))
    require(sum(right) >= least, expected=f"{least} of {who} found{stated}", got=sum(right))


def _require_same(got: Matches, expected: Matches, row: int, what: str, *, k: int = 5, other: int = 0) -> None:
    """Raise CheckFailedError unless row `other` of one answer begins as row `row` of another does."""
    names = tuple(got.labels[other][:k]), tuple(expected.labels[row][:k])
    require(names[0] == names[1], expected=f"the same people {what}: {', '.join(names[1])}", got=", ".join(names[0]))
    require_close(
        got.similarities[other, :k], expected.similarities[row, :k], VECTOR_TOLERANCE, what=f"similarities {what}"
    )
