"""Plugins: one that breaks harms no other; names are taken once; messages name what is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from facereg.errors import MissingExtraError, PluginError, UnknownNameError
from facereg.networks.spec import import_object
from facereg.registry import installed as registry_module
from facereg.registry.hooks import ModelSpec, RecipeSpec, hookimpl
from facereg.registry.installed import Registry


class Plugin:
    """A plugin with one aligner under a chosen name."""

    def __init__(self, model: str, factory: str = "facereg.builtin.alignment:FivePointAligner") -> None:
        self._spec = ModelSpec(name=model, role="aligner", factory=factory)

    @hookimpl
    def facereg_models(self) -> list[ModelSpec]:
        return [self._spec]


def test_a_registered_model_can_be_made() -> None:
    registry = Registry()
    registry.register(Plugin("mine"), name="plugin")
    with registry.create("mine", role="aligner") as stage:
        assert stage.role == "aligner"
    assert registry.plugins[0].models == ("mine",)


def test_a_name_taken_twice_names_both_plugins_and_leaves_nothing_of_the_second() -> None:
    registry = Registry()
    registry.register(Plugin("mine"), name="first")
    with pytest.raises(PluginError, match="'mine'.*'first'"):
        registry.register(Plugin("mine"), name="second")
    assert [state.name for state in registry.plugins] == ["first"]
    registry.register(Plugin("other"), name="second")


def test_an_unknown_name_lists_what_there_is_and_a_close_one() -> None:
    registry = Registry()
    registry.register(Plugin("five-point"), name="plugin")
    with pytest.raises(UnknownNameError, match="did you mean 'five-point'.*facereg models"):
        registry.model("five-pont")


def test_a_model_of_another_role_is_refused() -> None:
    registry = Registry()
    registry.register(Plugin("mine"), name="plugin")
    with pytest.raises(UnknownNameError, match="that is the aligner"):
        registry.create("mine", role="detector")


def test_a_factory_that_makes_another_role_is_refused() -> None:
    registry = Registry()
    registry.register(Plugin("mine", "facereg.testing.pictures:photograph"), name="plugin")
    with pytest.raises(PluginError, match="make the aligner"):
        registry.create("mine", role="aligner")


def test_an_option_that_a_model_lacks_is_named() -> None:
    registry = Registry()
    registry.register(Plugin("mine"), name="plugin")
    with pytest.raises(PluginError, match="colour"):
        registry.create("mine", role="aligner", colour="red")


def test_a_broken_plugin_is_listed_and_the_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        EntryPoint("builtin", "facereg.builtin", "facereg"),
        EntryPoint("broken", "facereg_that_is_not_installed", "facereg"),
        EntryPoint("wrong", "facereg.testing.broken:missing", "facereg"),
    ]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: found)
    registry = Registry.load()
    states = {state.name: state for state in registry.plugins}
    assert states["broken"].state == "failed"
    assert "facereg_that_is_not_installed" in states["broken"].reason
    assert states["wrong"].state == "failed"
    assert registry.model("exact").role == "matcher"
    with pytest.raises(UnknownNameError, match="failed to load: broken, wrong"):
        registry.model("nothing")


def test_the_environment_narrows_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREG_LOAD_PLUGINS", "mtcnn, nonsense")
    states = {state.name: state.state for state in Registry.load().plugins}
    assert states["mtcnn"] == "loaded"
    assert states["mobilenetv3"] == "skipped"
    assert states["nonsense"] == "failed"
    assert states["builtin"] == "loaded"


def test_a_hook_that_gives_something_else_is_refused() -> None:
    class Wrong:
        @hookimpl
        def facereg_recipes(self) -> list[str]:
            return ["recipe"]

    with pytest.raises(PluginError, match="RecipeSpec"):
        Registry().register(Wrong(), name="wrong")


def test_recipes_are_found_by_name() -> None:
    class Recipes:
        @hookimpl
        def facereg_recipes(self) -> list[RecipeSpec]:
            return [RecipeSpec("learn", "a.b:c")]

    registry = Registry()
    registry.register(Recipes(), name="recipes")
    assert registry.recipe("learn").run == "a.b:c"
    with pytest.raises(UnknownNameError, match="no recipe named 'lern'; did you mean 'learn'"):
        registry.recipe("lern")


def test_a_missing_extra_gives_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "facereg.training.export", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'facereg-core\[train\]'"):
        import_object("facereg.training.export:export_onnx")


def test_listing_models_and_running_one_imports_no_torch() -> None:
    program = (
        "import sys, numpy as np\n"
        "from facereg import Registry, Faces\n"
        "registry = Registry.load()\n"
        "assert len(registry.models()) >= 5, registry.plugins\n"
        "assert not {'torch', 'cv2', 'onnxruntime'} & set(sys.modules), 'listing imported a model'\n"
        "registry.create('mtcnn', role='detector').detect([np.zeros((40, 40, 3), np.uint8)])\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_import_facereg_is_quick() -> None:
    program = "import sys, facereg; assert not {'torch', 'cv2', 'numpy', 'onnxruntime'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
