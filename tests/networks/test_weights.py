"""Where a network's file is found: with its plugin, in another installed distribution, in the cache."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from facereg.errors import PluginError, WeightsError
from facereg.networks.opening import open_network
from facereg.networks.spec import NetworkSpec
from facereg.networks.weights import InstalledFile, find_weights
from facereg.registry.hooks import ModelSpec
from facereg.registry.installed import default_registry

[RNET] = [network for network in default_registry().model("mtcnn").networks if network.name == "mtcnn-rnet"]
CONTENT = RNET.locate().read_bytes()
TURNED = CONTENT[::-1]
HELD = "face_models/models/net.dat"


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def turn(content: bytes) -> bytes:
    """Make the ONNX file of what the distribution has."""
    made.append(len(content))
    return content[::-1]


made: list[int] = []


def turn_badly(content: bytes) -> bytes:
    return content


def turn_into_text(content: bytes) -> str:
    return "no bytes"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of installed packages, with a distribution that holds a network, and one turned round.

    Importing its package would fail.
    """
    monkeypatch.setenv("FACEREG_CACHE", str(tmp_path / "cache"))
    site, made[:] = tmp_path / "site", []
    info = site / "face_models-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: face-models\nVersion: 1.0\n")
    (site / HELD).parent.mkdir(parents=True)
    (site / "face_models/__init__.py").write_text("raise ImportError('asks for what is not installed')")
    (site / HELD).write_bytes(TURNED)
    (site / "face_models/net.onnx").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(site)
    return site


def spec_of(installed: InstalledFile | None) -> NetworkSpec:
    """Return R-Net, of which no file ships."""
    return replace(RNET, file="elsewhere.onnx", installed=installed)


IN_ANOTHER = spec_of(InstalledFile("face-models", "face_models/net.onnx", sha256_of(CONTENT)))
MADE = spec_of(InstalledFile("face-models", HELD, sha256_of(TURNED), "tests.networks.test_weights:turn"))


def test_the_file_of_another_distribution_is_found_without_importing_it(site: Path) -> None:
    found = find_weights(IN_ANOTHER)
    assert found is not None
    assert (found.path, found.place) == (site / "face_models/net.onnx", "distribution")
    with open_network(IN_ANOTHER, threads=1) as runner:
        assert runner.fingerprint == RNET.sha256


def test_a_file_of_another_distribution_that_was_altered_is_refused(site: Path) -> None:
    (site / "face_models/net.onnx").write_bytes(TURNED)
    for opened in (lambda: IN_ANOTHER.locate(), lambda: open_network(IN_ANOTHER, threads=1)):
        with pytest.raises(WeightsError, match=r"net.onnx: wrong checksum, .*; reinstall face-models"):
            opened()


def test_a_distribution_that_is_not_installed_is_named() -> None:
    for spec in (IN_ANOTHER, MADE):
        assert find_weights(spec) is None
        with pytest.raises(
            WeightsError, match="mtcnn-rnet: its weights come with the distribution face-models .*; pip install face-m"
        ):
            open_network(spec)


def test_a_distribution_that_lacks_its_file_is_said_to_be_installed(site: Path) -> None:
    for spec, held in ((IN_ANOTHER, "face_models/net.onnx"), (MADE, HELD)):
        (site / held).unlink()
        with pytest.raises(
            WeightsError,
            match=f"^mtcnn-rnet: .* face-models, which is installed: expected {site / held}, found none; "
            "pip install --force-reinstall --no-deps face-models$",
        ):
            open_network(spec)


def test_a_package_that_is_not_there_has_no_weights() -> None:
    gone = replace(RNET, package="no_such_package")
    assert find_weights(gone) is None
    with pytest.raises(WeightsError, match=r"no weights ship with no_such_package \(the package is missing\)"):
        gone.locate()


def test_a_network_is_made_of_anothers_file_once_and_kept(site: Path, tmp_path: Path) -> None:
    assert find_weights(MADE) is None  # looking makes nothing
    kept = tmp_path / f"cache/weights/mtcnn-rnet-{sha256_of(CONTENT)[:12]}.onnx"
    for _ in range(2):
        with open_network(MADE, threads=1) as runner:
            assert runner.fingerprint == RNET.sha256
    assert made == [len(CONTENT)]
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [kept]
    assert MADE.locate() == kept
    (site / HELD).unlink()  # what was made stays
    assert MADE.locate() == kept


def test_what_was_kept_and_altered_is_refused(site: Path) -> None:
    MADE.locate().write_bytes(TURNED)
    with pytest.raises(WeightsError, match=r"rnet-[0-9a-f]{12}.onnx: wrong checksum, .*; remove it"):
        open_network(MADE, threads=1)


@pytest.mark.parametrize(
    ("held", "convert", "error", "words"),
    [
        (CONTENT, "turn", WeightsError, "net.dat: wrong checksum, .*; reinstall face-models"),
        (TURNED, "turn_badly", WeightsError, "turn_badly: wrong checksum, .*; reinstall facereg_mtcnn"),
        (TURNED, "turn_into_text", PluginError, "turn_into_text to give bytes, got str"),
        (TURNED, "turn_away", PluginError, "turn_away: cannot be imported"),
    ],
    ids=["altered", "another network", "no bytes", "unknown"],
)
def test_a_file_that_is_not_what_was_stated_makes_nothing(
    held: bytes, convert: str, error: type[Exception], words: str, site: Path, tmp_path: Path
) -> None:
    (site / HELD).write_bytes(held)
    installed = InstalledFile("face-models", HELD, sha256_of(TURNED), f"tests.networks.test_weights:{convert}")
    with pytest.raises(error, match=words):
        open_network(spec_of(installed), threads=1)
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_named(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FACEREG_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"cannot be written \(Not a directory\); set FACEREG_CACHE to a folder"):
        open_network(MADE, threads=1)


@pytest.mark.parametrize(
    ("installed", "words"),
    [
        (InstalledFile("../x", HELD, "0" * 64), "installed: expected the name of a distribution, got '../x'"),
        (InstalledFile("face-models", "../net.onnx", "0" * 64), "installed: path: .* without '..'"),
        (InstalledFile("face-models", HELD, "0"), "installed: sha256: expected 64 small hex digits, got '0'"),
        (InstalledFile("face-models", HELD, "0" * 64, "turn"), "installed: convert: expected 'package.module:name'"),
        (InstalledFile("face-models", HELD, "0" * 64), "sha256: expected that of the ONNX file"),
    ],
    ids=["distribution", "path", "sha256", "convert", "two checksums"],
)
def test_a_source_that_cannot_be_is_refused(installed: InstalledFile, words: str) -> None:
    with pytest.raises(PluginError, match=f"mtcnn-rnet: {words}"):
        ModelSpec("model", "detector", "tests.fakes:Factory", networks=(spec_of(installed),))
