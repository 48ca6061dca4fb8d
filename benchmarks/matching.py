"""People for the benchmarks of matchers: generated unit vectors, clustered by identity. They are not faces."""

from __future__ import annotations

import numpy as np

from facereg.types import FloatArray

DIM = 128
# Variances along the axes fall as those of mobilenetv3-arcface's vectors of celeba-wild do, of people more steeply than
# of one person's pictures; two pictures of a person have a mean cosine of 0.77, two people one of 0 +- 0.14.
OF_PEOPLE = np.exp(-np.arange(DIM) / 40).astype(np.float32)
OF_PICTURES = np.exp(-np.arange(DIM) / 80).astype(np.float32)
APART = np.float32(0.55)  # of a picture from its person


def make_people(count: int, probes: int) -> tuple[FloatArray, FloatArray]:
    """Return one vector of each of `count` people, and another one of some of them: (count, DIM), (probes, DIM)."""
    rng = np.random.default_rng(0)
    people = _unit(rng.standard_normal((count, DIM), np.float32) * OF_PEOPLE)
    chosen = people[rng.integers(0, count, probes)]
    return _picture(people, rng), _picture(chosen, rng)


def _picture(people: FloatArray, rng: np.random.Generator) -> FloatArray:
    noise = rng.standard_normal(people.shape, np.float32)
    noise *= OF_PICTURES
    return _unit(people + APART * _unit(noise))


def _unit(vectors: FloatArray) -> FloatArray:
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
