"""Every fault that is planted, by what it is planted in; docs/reference/conformance.py makes a table of them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.testing import test_aligners, test_detectors, test_embedders, test_every_role, test_matchers, test_plugins
from tests.testing.planting import Fault
from tests.testing.test_plugins import PluginFault

PLANTED: Mapping[str, tuple[Fault | PluginFault, ...]] = {
    "plugin": test_plugins.FAULTS,
    "every role": test_every_role.FAULTS,
    "detector": test_detectors.FAULTS,
    "aligner": test_aligners.FAULTS,
    "embedder": test_embedders.FAULTS,
    "matcher": test_matchers.FAULTS,
}
