"""A server of one file, for tests of what is downloaded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.data.breaking import Behaviour, serving


@pytest.fixture
def server() -> Iterator[Behaviour]:
    with serving() as behaviour:
        yield behaviour
