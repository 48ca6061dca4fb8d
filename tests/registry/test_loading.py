"""A plugin that is wrong in whatever way is listed as failed with its reason, in one line, and the others work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from typer.testing import CliRunner

import facereg
from facereg.builtin.alignment import FivePointAligner
from facereg.cli.app import app
from facereg.errors import ContractError, PluginError
from facereg.networks.spec import NetworkSpec, TensorSpec
from facereg.registry import installed as registry_module
from facereg.registry import loading
from facereg.registry.hooks import CommandSpec, ModelSpec, RecipeSpec
from facereg.registry.installed import PluginState, Registry
from facereg.roles import Detector, RoleName
from facereg.types import Crops, Faces, Image

HERE = "tests.registry.test_loading"
HEAD = "from facereg.registry.hooks import CommandSpec, ModelSpec, RecipeSpec, hookimpl\n"
MODEL = 'ModelSpec(name="mine", role="aligner", factory="facereg.builtin.alignment:FivePointAligner")'
GOOD = f"{HEAD}@hookimpl\ndef facereg_models():\n    return [{MODEL}]\n"


def loaded(
    monkeypatch: pytest.MonkeyPatch, folder: Path, text: str, *, name: str = "planted"
) -> tuple[PluginState, Registry]:
    """Return what becomes of a plugin of this text beside the library's own."""
    (folder / f"module_{name}.py").write_text(dedent(text), encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, f"module_{name}", raising=False)
    found = [EntryPoint(name, f"module_{name}", "facereg"), EntryPoint("builtin", "facereg.builtin", "facereg")]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: found)
    registry = Registry.load()
    assert registry.model("exact").role == "matcher", "the library's own models work"
    [state] = [state for state in registry.plugins if state.name == name]
    return state, registry


# an error that is no Exception, whose message raises it again
LINE, INDENTED = "\n", "\n    "
MUTE = "class Mute(BaseException):\n    def __str__(self):\n        raise Mute\n"


def hooked(body: str, hook: str = "facereg_models") -> str:
    return f"{HEAD}@hookimpl\ndef {hook}():\n    {body}\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.replace("facereg_models", "facereg_modles"), "no hook named facereg_modles; did you mean facereg_models"),
        (GOOD.replace("@hookimpl\n", ""), "facereg_models is not marked as a hook; write @hookimpl above it"),
        (GOOD.replace("():", "(registry):"), "registry"),
        ("x = 1\n", "it has no hooks; expected at least one of facereg_models"),
        (hooked("pass"), "facereg_models: expected a list of ModelSpec, got None"),
        (hooked(f"return {MODEL}"), "facereg_models: expected a list of ModelSpec, got ModelSpec"),
        (hooked("return ['mine']"), "facereg_models: expected ModelSpec values, got str"),
        (hooked("raise SystemExit(0)"), "SystemExit: 0 (it ends the program"),
        (hooked("import itertools; return (ModelSpec(name=f'm{n}', role='aligner', factory='a:b') "
                "for n in itertools.count())"), "expected at most 1000 specs"),
        (hooked(f"return [{MODEL}, {MODEL}]"), "the name 'mine' comes twice"),
        (hooked("return [CommandSpec('planted-x', 'a:b')]"), "expected ModelSpec values, got CommandSpec"),
        (hooked("return [CommandSpec('detect', 'a:b')]", "facereg_commands"), "begins with the plugin's, as "
         "'planted-convert', got 'detect'"),
        (hooked("return [CommandSpec('plantedx', 'a:b')]", "facereg_commands"), "got 'plantedx'"),
        (hooked("return [CommandSpec('other-planted', 'a:b')]", "facereg_commands"), "got 'other-planted'"),
        ("import sys\nsys.exit()\n", "SystemExit:"),
        ("raise BaseException('away')\n", "BaseException: away"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt:"),
        ("raise ValueError('two\\nlines \\x1b[31m')\n", "ValueError: two lines \\x1b[31m"),
        (f"{MUTE}raise Mute\n", "Mute: its message cannot be printed"),
        (hooked(f"{MUTE.replace(LINE, INDENTED)}raise Mute"), "Mute: its message cannot be printed"),
        ("def (:\n", "SyntaxError"),
        ("import facereg_that_is_nowhere\n", "ModuleNotFoundError"),
        (f"FACEREG_CONTRACT = 2\n{GOOD}", "it was written for contract 2, facereg 0.1.0 has 1; upgrade"),
        (f"FACEREG_CONTRACT = 0\n{GOOD}", "it was written for contract 0, which was dropped; the oldest is 1"),
        (f"FACEREG_CONTRACT = '1'\n{GOOD}", "FACEREG_CONTRACT: expected a whole number, got '1'"),
    ],
)  # fmt: skip
def test_a_fault_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, reason: str) -> None:
    state, _ = loaded(monkeypatch, tmp_path, text)
    assert state.state == "failed"
    assert reason in state.reason
    assert state.reason.isprintable()


def test_a_contract_that_will_be_dropped_works_and_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(facereg, "CONTRACT", 2)
    monkeypatch.setattr(loading, "SLOW_S", 30.0)
    state, registry = loaded(monkeypatch, tmp_path, f"FACEREG_CONTRACT = 1\n{GOOD}")
    assert (state.state, state.reason) == ("loaded", "written for contract 1, which will be dropped; the newest is 2")
    assert registry.model("mine").role == "aligner"
    monkeypatch.setattr(loading, "OLDEST_CONTRACT", 2)
    monkeypatch.setattr("facereg.builtin.FACEREG_CONTRACT", 2)
    assert loaded(monkeypatch, tmp_path, GOOD)[0].state == "failed", "a plugin that states none was written for 1"


def test_a_plugin_that_sleeps_is_named_and_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loading, "NOTICE_S", 0.05)
    monkeypatch.setattr(loading, "LIMIT_S", 0.2)
    state, _ = loaded(monkeypatch, tmp_path, f"import time\ntime.sleep(3)\n{GOOD}", name="sleeper")
    assert state.reason.startswith("it was not loaded within 0.2 s")
    assert "facereg: waiting for plugin 'sleeper' (module_sleeper)" in capsys.readouterr().err


def test_a_slow_plugin_works_and_its_time_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(loading, "SLOW_S", 0.05)
    state, _ = loaded(monkeypatch, tmp_path, f"import time\ntime.sleep(0.2)\n{GOOD}", name="slow")
    assert (state.state, state.models) == ("loaded", ("mine",))
    assert state.reason.startswith("took 0.")


def test_of_ten_plugins_those_that_fail_or_dawdle_are_listed_with_their_reasons(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("facereg.cli.installed.default_registry", Registry.load)
    monkeypatch.syspath_prepend(tmp_path)
    wrong = ["raise ValueError('broken')", "import time; time.sleep(0.4)", "import sys; sys.exit(3)"]
    for number, line in enumerate([*wrong, *[""] * 7]):
        (tmp_path / f"ten{number}.py").write_text(f"{line}\n{GOOD.replace('mine', f'model{number}')}")
        info = tmp_path / f"ten{number}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ten{number}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[facereg]\nten{number} = ten{number}\n")
    done = CliRunner().invoke(app, ["plugins", "list", "--json"])
    listed = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    states = [listed[f"ten{number}"]["state"] for number in range(10)]
    assert (done.exit_code, states) == (0, ["failed", "loaded", "failed", *["loaded"] * 7])
    assert listed["ten0"]["reason"] == "ValueError: broken"
    assert listed["ten1"]["reason"].startswith("took 0.")
    assert listed["ten2"]["reason"] == "SystemExit: 3 (it ends the program when it is loaded)"
    assert [listed[f"ten{number}"]["models"] for number in range(3, 10)] == [[f"model{n}"] for n in range(3, 10)]


def test_what_a_plugin_prints_goes_to_stderr(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loaded(monkeypatch, tmp_path, f"print('hello')\n{GOOD}")[0].state == "loaded"
    assert capsys.readouterr() == ("", "hello\n")


def test_a_package_may_ask_for_the_plugins_while_it_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "asking"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from facereg.registry.installed import Registry\nSTATES = Registry.load().plugins\n"
    )
    (package / "plugin.py").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [EntryPoint("asking", "asking.plugin", group)])
    program = (
        "from importlib.metadata import EntryPoint\nimport facereg.registry.installed as r\n"
        "r.entry_points = lambda group: [EntryPoint('asking', 'asking.plugin', group)]\n"
        "import asking; print(asking.STATES[0].state)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20, cwd=tmp_path
    )
    assert done.stdout == "loaded\n"


def test_help_of_our_commands_imports_no_plugin() -> None:
    program = (
        "import sys\nfrom facereg.cli.app import app\n"
        "app(['detect', '--help'], standalone_mode=False)\n"
        "assert not [name for name in sys.modules if name.startswith('facereg_')], 'a plugin was imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_the_names_of_our_commands_are_kept_from_plugins() -> None:
    ours = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    ours |= {group.name for group in app.registered_groups}
    assert ours <= loading.BUILT_IN_COMMANDS, "write the new command into BUILT_IN_COMMANDS"


NETWORK = NetworkSpec("net", (TensorSpec("x", "uint8", (None,)),), (), package="tests", file="net.onnx")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "name: expected small letters"),
        ({"name": "two words"}, "name: expected small letters"),
        ({"name": "up\nand"}, "name: expected small letters"),
        ({"name": "../up"}, "name: expected small letters"),
        ({"name": None}, "name: expected small letters"),
        ({"role": "oracle"}, "role: expected one of detector, aligner, embedder, matcher, got 'oracle'"),
        ({"factory": "package.module"}, "factory: expected 'package.module:name', got 'package.module'"),
        ({"factory": "package.module:"}, "factory: expected"),
        ({"factory": 3}, "factory: expected"),
        ({"options_from": "options"}, "options_from: expected 'package.module:name'"),
        ({"recognises": "mine"}, "recognises: expected 'package.module:name'"),
        ({"recognises": "a:b"}, "recognises: expected a model of one network, got 0"),
        ({"summary": "two\nlines"}, "summary: expected one line of text"),
        ({"licence": None}, "licence: expected one line of text"),
        ({"thresholds": {0.01: 37}}, "expected cosines in -1..1 by false accept rates in 0..1, got 0.01: 37"),
        ({"thresholds": {2: 0.3}}, "got 2: 0.3"),
        ({"thresholds": {0.1: float("nan")}}, "got 0.1: nan"),
        ({"thresholds": [0.3]}, "thresholds: expected cosines by false accept rate"),
        ({"square": (0.0, 0.0)}, "square: expected a factor 0.1 to 10 and a shift -1 to 1, got (0.0, 0.0)"),
        ({"square": 1.2}, "square: expected a factor 0.1 to 10 and a shift -1 to 1, got 1.2"),
        ({"networks": [NETWORK]}, "networks: expected a tuple of NetworkSpec"),
        ({"networks": (NETWORK, NETWORK)}, "networks: a name comes twice"),
        ({"networks": (NetworkSpec("net", (), (), "tests", "../net.onnx"),)}, "file: expected the name of a file"),
        (
            {"networks": (NetworkSpec("net", (), (), "tests", "net.onnx", sha256="abc"),)},
            "expected 64 small hex digits",
        ),
    ],
)
def test_a_spec_with_a_bad_field_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(PluginError) as caught:
        ModelSpec(**{"name": "mine", "role": "aligner", "factory": "a:b", **fields})  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_recipes_and_commands_are_checked_too() -> None:
    with pytest.raises(PluginError, match="run: expected 'package.module:name'"):
        RecipeSpec("learn", "run")
    with pytest.raises(PluginError, match="settings_from: expected"):
        RecipeSpec("learn", "a:b", settings_from="a")
    with pytest.raises(PluginError, match="CommandSpec: name"):
        CommandSpec("", "a:b")


def test_weights_that_ship_have_a_checksum(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "weighty" / "weights"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    network = "NetworkSpec('net', (), (), package='weighty', file='net.onnx')"
    model = f"ModelSpec(name='mine', role='aligner', factory='a:b', networks=({network},))"
    text = f"from facereg.networks.spec import NetworkSpec\n{hooked(f'return [{model}]')}"
    assert loaded(monkeypatch, tmp_path, text)[0].state == "loaded", "none ship"
    (folder / "net.onnx").write_bytes(b"weights")
    state, _ = loaded(monkeypatch, tmp_path, text)
    assert state.reason.startswith("mine: net.onnx ships without a checksum; write sha256=")


def buggy(networks: object = None) -> object:
    return len(3)  # type: ignore[arg-type]


class MuteError(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]


def mute() -> object:
    raise MuteError


class Muttering(FivePointAligner):
    def _align(self, images: object, faces: object, size: int, *more: object) -> Crops:
        raise MuteError


def ending() -> object:
    sys.exit(0)


class Forgetful(FivePointAligner):
    """Does not call the library's __init__."""

    def __init__(self) -> None:
        pass


class Named(FivePointAligner):
    @property
    def name(self) -> str:  # type: ignore[override]
        return "mine"


def test_a_stage_that_forgets_our_init_works_and_one_with_a_fixed_name_is_refused() -> None:
    from facereg.registry.hooks import hookimpl

    class Plugin:
        @hookimpl
        def facereg_models(self) -> list[ModelSpec]:
            return [
                ModelSpec(name.lower(), "aligner", f"tests.registry.test_loading:{name}")
                for name in ("Forgetful", "Named")
            ]

    registry = Registry()
    registry.register(Plugin(), name="plugin")
    with registry.create("forgetful", role="aligner") as stage:
        assert (stage.networks.specs, stage.in_flight) == ({}, 1)
    with pytest.raises(PluginError, match="named: expected a stage whose name can be set"):
        registry.create("named", role="aligner")


def test_a_stages_error_without_a_message_is_named() -> None:
    stage = Muttering()
    stage.name = "mine"
    with pytest.raises(PluginError, match="aligner 'mine' failed: MuteError: its message cannot be printed"):
        stage.align([], [], size=112)


class Endless(Detector):
    def _detect(self, images: Sequence[Image]) -> Iterator[Faces]:  # type: ignore[override]
        while True:
            yield Faces.empty(landmarks=5)


def test_a_detector_that_never_ends_is_refused() -> None:
    with pytest.raises(ContractError, match="Endless: expected 1 results, got 2"):
        Endless().detect([np.zeros((8, 8, 3), np.uint8)])


def needing(colour: str) -> object:
    return colour


@pytest.mark.parametrize(
    ("factory", "role", "words"),
    [
        (
            "buggy",
            "aligner",
            rf"mine: {HERE}:buggy failed: TypeError: object of type 'int' has no len\(\)",
        ),
        ("mute", "aligner", f"mine: {HERE}:mute failed: MuteError: its message cannot be printed"),
        ("ending", "aligner", "mine: tests.registry.test_loading:ending failed: SystemExit: 0"),
        ("needing", "aligner", "mine: tests.registry.test_loading:needing cannot be called with nothing .*'colour'"),
        ("nothing", "aligner", "tests.registry.test_loading:nothing: cannot be imported"),
    ],
)
def test_a_factorys_own_error_is_told_with_the_models_name(factory: str, role: RoleName, words: str) -> None:
    from facereg.registry.hooks import hookimpl

    class Plugin:
        @hookimpl
        def facereg_models(self) -> list[ModelSpec]:
            return [ModelSpec("mine", role, f"tests.registry.test_loading:{factory}")]

    registry = Registry()
    registry.register(Plugin(), name="plugin")
    with pytest.raises(PluginError, match=words):
        registry.create("mine", role=role)
