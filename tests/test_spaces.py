"""The space of vectors is made by the library: other weights are another space, whatever a plugin writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facereg.builtin.exact import ExactMatcher
from facereg.errors import ContractError, PluginError, SpaceMismatchError
from facereg.networks.runner import Networks, Runner, Tensor
from facereg.networks.spec import NetworkSpec, weights_version
from facereg.registry.hooks import ModelSpec, hookimpl
from facereg.registry.installed import Registry
from facereg.roles import Embedder
from facereg.types import Crops, FloatArray


class Nothing(Runner):
    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        raise AssertionError


def networks(**fingerprints: str) -> Networks:
    specs = [NetworkSpec(name, (), (), "tests", f"{name}.onnx") for name in fingerprints]
    return Networks(specs, lambda spec: Nothing(spec, fingerprint=fingerprints[spec.name]))


class Plain(Embedder):
    """All ones; `version` may be stated."""

    dim = 4

    def _embed(self, pixels: npt.NDArray[np.uint8]) -> FloatArray:
        return np.ones((len(pixels), 4), np.float32)


class Versioned(Plain):
    version = "2b"


class Overriding(Plain):
    @property  # type: ignore[misc]  # what no plugin may write
    def space(self) -> str:
        return "mine:1"


def test_a_space_is_the_name_the_weights_and_the_version() -> None:
    assert Plain(networks(one="ab" * 32)).space == "Plain:abababababab"
    assert Versioned(networks(one="ab" * 32)).space == "Versioned:abababababab:2b"
    assert Versioned().space == "Versioned:2b"


def test_a_server_that_tells_the_checksum_by_its_version_alone_gives_the_same_space() -> None:
    told = f"{weights_version('ab' * 32):015x}"
    assert Plain(networks(one=told)).space == Plain(networks(one="ab" * 32)).space
    assert Plain(networks(a=told, b="cd" * 32)).space == Plain(networks(a="ab" * 32, b="cd" * 32)).space


def test_every_network_of_several_counts_whatever_their_order() -> None:
    first = Plain(networks(a="ab" * 32, b="cd" * 32)).space
    assert first == Plain(networks(b="cd" * 32, a="ab" * 32)).space
    assert first != Plain(networks(a="ab" * 32, b="ce" * 32)).space
    assert first != Plain(networks(a="ab" * 32)).space


@pytest.mark.parametrize("version", ["", "a:b", "two words", "1\n", 1])
def test_an_embedder_without_networks_states_a_version_that_reads(version: object) -> None:
    embedder = Plain()
    embedder.version = version  # type: ignore[assignment]
    with pytest.raises(ContractError, match="Plain: (version: )?expected"):
        embedder.embed(np.zeros((1, 112, 112, 3), np.uint8))


ONE = np.zeros((1, 112, 112, 3), np.uint8)


@pytest.mark.parametrize(
    ("pixels", "got"),
    [
        (ONE.astype(np.float32), r"float32 \(1, 112, 112, 3\); convert it"),
        (ONE[0], r"uint8 \(112, 112, 3\); write pixels\[None\]"),
        (ONE[..., :1], r"uint8 \(1, 112, 112, 1\)"),
        (ONE[:, :100], r"uint8 \(1, 100, 112, 3\)"),
        (ONE[:, :96, :96], r"uint8 \(1, 96, 96, 3\); align with size=112"),
        (np.zeros((0, 96, 96, 3), np.uint8), r"uint8 \(0, 96, 96, 3\); align with size=112"),
        (Crops(ONE, np.zeros((1, 2, 3), np.float32), (1,)), "Crops; give its pixels"),
        ([ONE[0]], "list; stack the crops into one array"),
        (None, "NoneType"),
    ],
    ids=["dtype", "one crop", "grey", "not square", "size", "none of another size", "crops", "list", "nothing"],
)
def test_what_are_no_pixels_of_its_crops_is_refused(pixels: Any, got: str) -> None:
    with pytest.raises(ContractError, match=rf"pixels: expected uint8 \(N, 112, 112, 3\) RGB.*, got {got}"):
        Plain().embed(pixels)


def made(factory: str) -> Embedder:
    class Plugin:
        @hookimpl
        def facereg_models(self) -> list[ModelSpec]:
            return [ModelSpec("mine", "embedder", f"tests.test_spaces:{factory}")]

    registry = Registry()
    registry.register(Plugin(), name="plugin")
    stage = registry.create("mine", role="embedder")
    assert isinstance(stage, Embedder)
    return stage


def test_an_installed_embedder_has_its_models_name_and_no_space_of_its_own() -> None:
    assert made("Versioned").space == "mine:2b"
    with pytest.raises(PluginError, match="mine: expected no space of its own, the library makes it"):
        made("Overriding")


def test_vectors_of_other_weights_never_meet() -> None:
    ours, theirs = (Plain(networks(one=weights * 32)).embed(ONE) for weights in ("ab", "cd"))
    with ExactMatcher(threshold=0.5) as matcher:
        matcher.add(["ada"], ours)
        with pytest.raises(SpaceMismatchError):
            matcher.match(theirs)
