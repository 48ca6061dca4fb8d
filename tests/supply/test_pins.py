"""What is installed is named by version and hash; what projects ask for is declared, and the pins fulfil it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from facereg.serving import environment

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "constraints.txt", *sorted((ROOT / "requirements").glob("*.txt")), *sorted(environment.PINS.glob("*"))]
EVERYTHING, APP, INFERENCE = "constraints.txt", "requirements/app.txt", "requirements/inference.txt"
FIRST_PARTY = {"facereg", "tests", "benchmarks", "conftest", "triton_python_backend_utils"}
# Found where a user installed it, or for one comparison of `make bench` alone: nothing here requires it.
NOT_REQUIRED = {"cuda", "facenet_pytorch", "openvino"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def pins(name: str) -> dict[str, tuple[Requirement, frozenset[str]]]:
    """Return each pin of a file with its hashes, by name."""
    found: dict[str, tuple[Requirement, frozenset[str]]] = {}
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        wanted, *hashes = re.split(r"\s+--hash=", line)
        requirement = Requirement(wanted)
        found[canonicalize_name(requirement.name)] = (requirement, frozenset(hashes))
    return found


def version_of(pin: Requirement) -> str:
    [specifier] = pin.specifier
    assert specifier.operator == "=="
    assert "*" not in specifier.version
    return specifier.version


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_everything_is_pinned_by_version_and_hash(path: Path) -> None:
    found = pins(name_of(path))
    assert found
    for pin, hashes in found.values():
        assert version_of(pin)
        assert hashes, f"{pin}: no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_pins_name_no_host_and_no_option_of_pip(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if "://" in line or (line.startswith("-") and "--hash" not in line)] == []


@pytest.mark.parametrize("name", [APP, INFERENCE])
def test_a_part_has_the_pins_of_the_whole_and_no_torch(name: str) -> None:
    whole, part = pins(EVERYTHING), pins(name)
    assert {key: (version_of(pin), hashes) for key, (pin, hashes) in part.items()} == {
        key: (version_of(whole[key][0]), whole[key][1]) for key in part
    }
    assert not {"torch", "torchvision", "lightning"} & set(part)


@cache
def project(path: Path = ROOT / "pyproject.toml") -> dict[str, dict[str, list[str]]]:
    tables: dict[str, dict[str, list[str]]] = tomllib.loads(path.read_text("utf-8"))["project"]
    return tables


def required(extra: str) -> Iterator[Requirement]:
    """Yield what an extra asks for, extras within it followed."""
    for line in project()["optional-dependencies"][extra] if extra else project()["dependencies"]:
        requirement = Requirement(str(line))
        if requirement.name == "facereg-core":
            for other in requirement.extras:
                yield from required(other)
        else:
            yield requirement


@pytest.mark.parametrize(
    ("name", "extras"), [(EVERYTHING, ["", "dev"]), (APP, ["", "app", "triton"]), (INFERENCE, [""])]
)
def test_the_pins_fulfil_what_the_project_asks_for(name: str, extras: list[str]) -> None:
    for extra in extras:
        for requirement in required(extra):
            pin, _ = pins(name)[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(Version(version_of(pin))), f"{pin}: {requirement}; run 'make pins'"


def test_every_requirement_has_a_floor() -> None:
    every = [*required(""), *(one for extra in project()["optional-dependencies"] for one in required(extra))]
    assert [str(one) for one in every if not any(part.operator in (">=", "==") for part in one.specifier)] == []


def imported(folder: Path) -> set[str]:
    """Return the packages of others that the modules below a folder import."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    ours = {name for name in names if name in FIRST_PARTY or name.startswith("facereg_")}
    return names - set(sys.stdlib_module_names) - ours - NOT_REQUIRED


@pytest.mark.parametrize("folder", ["facereg", "tests", "benchmarks", "plugins"])
def test_what_is_imported_is_declared(folder: str) -> None:
    distributions = packages_distributions()
    declared = {canonicalize_name(one.name) for extra in ("", "dev") for one in required(extra)}
    brought = {"google", "grpc"}  # by tritonclient, which speaks through them
    missing = []
    for name in sorted(imported(ROOT / folder)):
        ways = {canonicalize_name(one) for one in distributions.get(name, [name])}
        if name in brought:
            assert "tritonclient" in declared
        elif not ways & declared:
            missing.append(name)
    assert missing == []


def test_a_server_runs_the_onnx_runtime_of_our_pins() -> None:
    runtime = pins("facereg/serving/pins/runtime.txt")
    assert version_of(runtime["onnxruntime"][0]) == version_of(pins(EVERYTHING)["onnxruntime"][0])
    assert Version(version_of(runtime["numpy"][0])) < Version("2")  # else its Python backend answers with nothing


def test_the_carrier_is_the_one_that_the_code_names() -> None:
    [(pin, _)] = pins("facereg/serving/pins/carrier.txt").values()
    assert str(pin) == environment.CARRIER


def test_pip_installs_from_pins_alone() -> None:
    texts = {name: (ROOT / name).read_text("utf-8") for name in ("Makefile", "docs/how-to/kubernetes/Dockerfile")}
    for name, text in texts.items():
        for line in text.replace("\\\n", " ").splitlines():
            if re.search(r"\binstall -q|pip install", line):
                assert "--require-hashes" in line or "--no-deps" in line or "lowest-direct" in line, f"{name}: {line}"


@pytest.mark.parametrize(
    "path",
    [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("docs/examples/*/pyproject.toml")],
    ids=name_of,
)
def test_a_distribution_carries_its_licence(path: Path) -> None:
    tables = tomllib.loads(path.read_text("utf-8"))
    named = tables["project"]["license-files"]
    assert "LICENSE" in named
    assert tables["project"]["license"].startswith("MIT")
    assert (path.parent / "LICENSE").read_text("utf-8") == (ROOT / "LICENSE").read_text("utf-8")
    weights = list(path.parent.glob("facereg_*/weights/*.onnx"))
    assert bool(weights) == ("LICENSE-WEIGHTS" in named) == (path.parent / "LICENSE-WEIGHTS").is_file()
    requires = {Requirement(line).name: Requirement(line) for line in tables["build-system"]["requires"]}
    assert not requires["setuptools"].specifier.contains("76")  # the first that knows these fields is 77
