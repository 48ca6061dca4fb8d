"""A few hundred changed files through every reader: none crashes, hangs, lets a foreign exception out or lies.

The 10,000 of `python -m tests.mutation` are for whoever changes a reader; see CONTRIBUTING.md.
"""

from __future__ import annotations

import pytest

from tests.mutation.__main__ import FAULTS, run
from tests.mutation.readers import READERS, Reader

CASES = 12  # a reader


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_changed_bytes_are_refused_or_read(reader: Reader) -> None:
    if reader.name in ("safetensors", "checkpoint"):
        pytest.importorskip("torch")
    counts, faults = run(reader, 1, CASES)
    assert faults == []
    assert sum(counts.values()) == CASES
    assert not any(counts[name] for name in FAULTS)
