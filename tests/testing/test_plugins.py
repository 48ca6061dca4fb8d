"""Faults planted in a plugin's distribution that is right without them, and what `plugins validate` says of it."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Mapping
from importlib import invalidate_caches
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from facereg.cli.app import app
from facereg.errors import PluginError, UnknownNameError
from facereg.testing import PluginContract, validate
from facereg.testing.contracts import checks_of, run_check
from tests.testing.planting import require_told

HOOKS, NAMED = "its hooks give specs", "what its specs name is there"
IMPORT, TRAINING = "importing it is quick and silent", "inference imports no library of training"
WEIGHTS, CARD = "its weights are those stated", "its weights have a licence and a card"
LICENCE, ALONE = "its distribution has a licence and a summary", "it brings its own packages alone"
DEPENDS = "it depends on facereg core and on no library of training"

PLUGIN = """\
from facereg import CommandSpec, ModelSpec, NetworkSpec, RecipeSpec, hookimpl

NETWORK = NetworkSpec("net", (), (), package="facereg_planted", file="net.onnx", sha256="SHA256")

@hookimpl
def facereg_models():
    return [ModelSpec("planted", "aligner", "facereg_planted.stage:Stage", options_from="facereg_planted.stage:Options",
                      networks=(NETWORK,), licence="MIT", card="the README", thresholds={})]

@hookimpl
def facereg_recipes():
    return [RecipeSpec("planted", "facereg_planted.stage:train")]

@hookimpl
def facereg_commands():
    return [CommandSpec("planted-convert", "facereg_planted.stage:convert")]
""".replace("SHA256", hashlib.sha256(b"weights").hexdigest())
STAGE = """\
from dataclasses import dataclass
from facereg.builtin.alignment import FivePointAligner

@dataclass(frozen=True)
class Options:
    margin: float = 0.5

class Stage(FivePointAligner):
    def __init__(self, networks, options): ...

def train(data, out, resume, settings): ...
convert = None
"""
METADATA = """\
Metadata-Version: 2.4
Name: facereg-planted
Version: 1.0
Summary: an aligner
License-Expression: MIT
License-File: LICENSE
Requires-Dist: facereg-core>=0.1
Requires-Dist: torch>=2.9; extra == "train"
"""
INFO, CODE, FILE = "facereg_planted-1.0.dist-info", "facereg_planted/stage.py", "facereg_planted/weights/net.onnx"
HONEST: Mapping[str, str] = {
    "facereg_planted/__init__.py": "",
    "facereg_planted/plugin.py": PLUGIN,
    CODE: STAGE,
    FILE: "weights",
    f"{INFO}/METADATA": METADATA,
    f"{INFO}/entry_points.txt": "[facereg]\nplanted = facereg_planted.plugin\n",
}


class PluginFault(NamedTuple):
    """One fault: its name, the check meant for it, a piece of its message, and what is another in a file."""

    name: str
    check: str
    says: str
    file: str
    before: str = ""
    after: str = ""


def hooks(name: str, says: str, before: str, after: str) -> PluginFault:
    return PluginFault(name, HOOKS, says, "facereg_planted/plugin.py", before, after)


def said(name: str, check: str, says: str, before: str, after: str) -> PluginFault:
    return PluginFault(name, check, says, "facereg_planted/plugin.py", before, after)


def metadata(name: str, check: str, says: str, before: str, after: str) -> PluginFault:
    return PluginFault(name, check, says, f"{INFO}/METADATA", before, after)


FIRST = "from facereg import CommandSpec"  # the plugin's first line
FAULTS = (
    PluginFault("no entry point", HOOKS, "an entry point of the group", f"{INFO}/entry_points.txt", "[facereg]", "[x]"),
    hooks("a misspelt hook", "did you mean facereg_models", "facereg_models", "facereg_modles"),
    hooks("an unmarked hook", "facereg_models is not marked", "@hookimpl\ndef facereg_models", "def facereg_models"),
    hooks("no hooks", "it has no hooks", PLUGIN, ""),
    hooks("a hook that gives nothing", "a list of ModelSpec, got None", "return [ModelSpec", "[ModelSpec"),
    hooks("a hook that gives something else", "ModelSpec values, got int", "[ModelSpec", "[3, ModelSpec"),
    hooks("a hook that fails", "KeyError: 'x'", "return [ModelSpec", "{}['x']; return [ModelSpec"),
    hooks("a hook with arguments", "registry", "facereg_models()", "facereg_models(registry)"),
    hooks("a module that ends the program", "it ends the program", FIRST, f"import sys; sys.exit()\n{FIRST}"),
    hooks("a module that fails", "ValueError: no screen", FIRST, f"raise ValueError('no screen')\n{FIRST}"),
    hooks("a module that is no Python", "SyntaxError", FIRST, f"def (:\n{FIRST}"),
    hooks("a module that needs what is not there", "ModuleNotFoundError", FIRST, f"import facereg_nowhere\n{FIRST}"),
    hooks("a newer contract", "written for contract 2", FIRST, f"FACEREG_CONTRACT = 2\n{FIRST}"),
    hooks("a dropped contract", "which was dropped", FIRST, f"FACEREG_CONTRACT = 0\n{FIRST}"),
    hooks("a contract that is no number", "a whole number", FIRST, f"FACEREG_CONTRACT = '1'\n{FIRST}"),
    hooks("a command of the library's name", "got 'detect'", "planted-convert", "detect"),
    hooks("a command of another's name", "begins with the plugin's", "planted-convert", "convert"),
    hooks("a name that comes twice", "comes twice", "return [RecipeSpec", "return 2 * [RecipeSpec"),
    hooks("an unknown role", "role: expected one of", '"aligner"', '"oracle"'),
    hooks("an empty name", "name: expected small letters", 'ModelSpec("planted"', 'ModelSpec(""'),
    hooks("a factory that is no reference", "expected 'package.module:name'", "stage:Stage", "stage.Stage"),
    hooks("a threshold of 37", "got 0.01: 37", "thresholds={}", "thresholds={0.01: 37}"),
    hooks("weights without sha256", "ships without a checksum", ", sha256=", ") or dict(x="),
    hooks("a sha256 that is none", "64 small hex digits", ', sha256="', ', sha256="x'),
    hooks("a file of weights elsewhere", "the name of a file in weights/", '"net.onnx"', '"../net.onnx"'),
    hooks("two lines in a summary", "one line of text", 'licence="MIT"', 'licence="MIT\\n2"'),
    said("a factory that is not there", NAMED, "cannot be imported", "stage:Stage", "stage:Stages"),
    said("a factory of another role", NAMED, "to make the detector", '"aligner"', '"detector"'),
    said("a factory that is no callable", NAMED, "to make the aligner", "stage:Stage", "stage:convert"),
    said("options that are not there", NAMED, "cannot be imported", "stage:Options", "settings:Options"),
    said("a recogniser that is not there", NAMED, "cannot be imported", "thresholds={}", "recognises='json:mine'"),
    said("a recipe that is not there", NAMED, "cannot be imported", "stage:train", "recipe:train"),
    said("a command that is not there", NAMED, "cannot be imported", "stage:convert", "stage:app"),
    said("slow to import", IMPORT, "in 0.4 s, got", FIRST, f"import time; time.sleep(0.7)\n{FIRST}"),
    said("prints when imported", IMPORT, "prints nothing, got 'welcome'", FIRST, f"print('welcome')\n{FIRST}"),
    PluginFault("a model that imports torch", TRAINING, "got torch", CODE, "from data", "import torch\nfrom data"),
    said("no licence", CARD, "the licence of planted", ', licence="MIT"', ""),
    said("neither card nor paper", CARD, "a card or a paper of planted", ', card="the README"', ""),
    PluginFault("other weights than stated", WEIGHTS, "net.onnx of sha256", FILE, "weights", "others"),
    PluginFault("weights that no spec names", WEIGHTS, "got old.onnx", "facereg_planted/weights/old.onnx"),
    metadata("a licence not stated", LICENCE, "License-Expression in its", "License-Expression: MIT\n", ""),
    metadata("a licence without its text", LICENCE, "License-File in its", "License-File: LICENSE\n", ""),
    metadata("no summary", LICENCE, "Summary in its", "Summary: an aligner\n", ""),
    metadata("the dependency of another project", DEPENDS, "a dependency on facereg-core", "facereg-core", "facereg"),
    metadata("another project beside the library", DEPENDS, "got facereg;", 'torch>=2.9; extra == "train"', "facereg"),
    metadata("torch for everybody", DEPENDS, "got torch", '; extra == "train"', ""),
    PluginFault("tests that are installed too", ALONE, "got tests beside it", "tests/__init__.py"),
)  # fmt: skip


def written(folder: Path, fault: PluginFault | None) -> None:
    """Write the distribution, with one fault or none, and a torch for it to import."""
    files = dict(HONEST)
    if fault is not None:
        text = files.get(fault.file, "")
        assert fault.before in text, "nothing to change"
        files[fault.file] = text.replace(fault.before, fault.after)
    files[f"{INFO}/RECORD"] = "".join(f"{name},,\n" for name in files)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


class Planted(PluginContract):
    plugin = "facereg-planted"
    import_s = 0.4


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that distributions are found in, and `torch`; what is imported of it is forgotten."""
    (tmp_path / "torch.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "facereg_planted"]:
        monkeypatch.delitem(sys.modules, name)
    invalidate_caches()
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name.replace(" ", "-") for fault in FAULTS])
def test_a_planted_fault_is_caught(fault: PluginFault, site: Path) -> None:
    written(site, fault)
    require_told(run_check(Planted(), f"test_{fault.check.replace(' ', '_')}", "planted"), fault.says)


def test_without_a_fault_it_passes_as_distribution_plugin_and_wheel(site: Path) -> None:
    written(site, None)
    for name in ("facereg-planted", "Facereg_Planted", "planted"):
        assert [outcome for outcome in validate(name) if not outcome.passed] == []
    assert {one.message for one in validate("facereg_planted.plugin") if not one.passed} == {
        "it is a module of no installed distribution"
    }


def test_a_wheel_is_looked_at_where_it_is_not_installed(tmp_path: Path) -> None:
    written(tmp_path / "right", None)
    written(tmp_path / "wrong", next(fault for fault in FAULTS if fault.name == "other weights than stated"))
    for kind in ("right", "wrong"):
        with zipfile.ZipFile(tmp_path / f"{kind}.whl", "w") as wheel:
            for file in (tmp_path / kind).rglob("*.*"):
                wheel.write(file, file.relative_to(tmp_path / kind))
            wheel.write(tmp_path / kind / INFO / "METADATA", f"{INFO}/METADATA")
            wheel.write(tmp_path / kind / INFO / "RECORD", f"{INFO}/RECORD")
    run = CliRunner().invoke
    done = run(app, ["plugins", "validate", str(tmp_path / "right.whl"), "--json"])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.exit_code, len(rows)) == (0, len(checks_of(PluginContract)))
    assert all(row["passed"] and row["model"] == "facereg-planted" for row in rows)
    done = run(app, ["plugins", "validate", str(tmp_path / "wrong.whl")])
    assert done.exit_code == 1
    assert "FAILED facereg-planted its weights are those stated: expected net.onnx of sha256" in done.stdout


def test_what_is_no_plugin_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="expected a wheel, or an installed distribution.*got 'nowhere'"):
        validate("nowhere")
    (tmp_path / "cut.whl").write_bytes(b"PK")
    with pytest.raises(PluginError, match=r"cut.whl: cannot be read as a wheel"):
        list(validate(str(tmp_path / "cut.whl")))


def test_our_own_plugins_are_right() -> None:
    done = CliRunner().invoke(app, ["plugins", "validate", "builtin"])
    assert done.exit_code == 0, done.stdout
    assert "0 failed" in done.stderr
