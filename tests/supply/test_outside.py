"""The examples from outside: built as wheels, installed beside the core's, found, checked and served."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from facereg.serving.server import TritonServer
from tests.supply.wheels import built

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.name.removeprefix("facereg-"): path for path in (ROOT / "docs/examples").glob("facereg-*")}
SAME_VECTORS = """
import sys
import numpy as np
from facereg import Registry
from facereg.testing import face_crops

ways = ("onnx", sys.argv[2])
here, there = (Registry.load().create(sys.argv[1], role="embedder", runner=way) for way in ways)
with here, there:
    crops = face_crops(here.crop_size, here.template)
    mine, theirs = here.embed(crops), there.embed(crops)
    assert mine.space == theirs.space
    np.testing.assert_allclose(theirs.vectors, mine.vectors, atol=1e-5)  # a batch may be summed in another order
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheels of the core and of the examples are installed into."""
    place = tmp_path_factory.mktemp("outside")
    wheels = [str(built(project, place)) for project in (ROOT, *EXAMPLES.values())]
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(place / "site")]
    subprocess.run([*install, *wheels], check=True)
    return place / "site"


def python(site: Path, *words: str) -> str:
    """Return what Python prints beside `site`, with nothing of this tree."""
    kept = {"PYTHONPATH": str(site), "FACEREG_LOAD_PLUGINS": ",".join(["builtin", *EXAMPLES])}
    done = subprocess.run(
        [sys.executable, *words], cwd=site.parent, env=os.environ | kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_the_wheels_found_checked_and_tested(name: str, site: Path) -> None:
    package = f"facereg_{name.replace('-', '_')}.plugin"
    for file in python(site, "-c", f"import facereg, {package} as own; print(facereg.__file__, own.__file__)").split():
        assert Path(file).is_relative_to(site)
    for command in ("validate", "check"):
        assert "FAILED" not in python(site, "-m", "facereg", "plugins", command, name)
    rest = ["-k", "not KeepsTheContract", "-o", "pythonpath=", "-p", "no:cacheprovider", str(EXAMPLES[name])]
    python(site, "-m", "pytest", "-q", *rest)


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="the server that pip installs runs on Linux x86_64",
)
def test_the_example_with_a_network_is_served_and_gives_the_same(site: Path, tmp_path: Path) -> None:
    out = python(site, "-m", "facereg", "triton", "build", "--out", str(tmp_path))
    assert out.startswith("built    eigenfaces: ")  # the cascade is no network: there is nothing of it to serve
    assert out.endswith(": 1 network\n")
    with TritonServer(tmp_path, timeout_s=600) as server:
        assert python(site, "-m", "facereg", "triton", "check", "--runner", server.address).startswith("passed")
        python(site, "-c", SAME_VECTORS, "eigenfaces", server.address)
