"""What the distribution of a plugin must be; no model is run: `facereg plugins validate`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from facereg.disk.replacing import file_sha256
from facereg.errors import MissingExtraError, PluginError, UnknownNameError, words_of
from facereg.networks.spec import TRAINING, NetworkSpec, import_object
from facereg.networks.weights import file_with_plugin
from facereg.registry.factories import known_options
from facereg.registry.hooks import GROUP, ModelSpec
from facereg.registry.installed import CLASS_OF
from facereg.registry.loading import Brought, load_plugin
from facereg.testing.checking import CheckFailedError, CheckSkippedError, Contract, check, require
from facereg.testing.contracts import Outcome, run_checks
from facereg.testing.importing import require_quick_import, training_libraries_of

CORE = "facereg-core"
IN_A_PROCESS = """\
import json, sys
from dataclasses import asdict
from facereg.testing.plugins import validate
print(json.dumps([asdict(outcome) for outcome in validate(sys.argv[1])]))
"""


@dataclass(frozen=True, slots=True)
class FoundPlugin:
    """The entry points of a plugin, and their distribution; None where it is a module alone."""

    entries: tuple[EntryPoint, ...]
    distribution: Distribution | None


def find_plugin(name: str) -> FoundPlugin:
    """Return what is installed under the name of a distribution, an entry point or a module.

    Raises:
        UnknownNameError: if there is none.
    """
    for distribution in distributions():
        entries = tuple(distribution.entry_points.select(group=GROUP))
        if _spelt(name) == _spelt(distribution.name) or name in {entry.name for entry in entries}:
            return FoundPlugin(entries, distribution)
    try:
        known = find_spec(name) is not None
    except (ImportError, ValueError):
        known = False
    if not known:
        raise UnknownNameError(
            f"expected a wheel, or an installed distribution, plugin or module, got {name!r:.200}; "
            "see 'facereg plugins list'"
        )
    own = name.partition(".")[0].removeprefix("facereg_").replace("_", "-")
    return FoundPlugin((EntryPoint(own, name, GROUP),), None)


def validate(target: str) -> Iterator[Outcome]:
    """Run the checks on a plugin, and yield what came out.

    Args:
        target: a wheel's path, or the name of an installed distribution, entry point or module. A wheel is unpacked
            and looked at in a process of its own.
    Raises:
        UnknownNameError: if there is no such plugin.
        PluginError: if the wheel cannot be read.
    """
    if target.endswith(".whl"):
        return _validate_wheel(Path(target))
    find_plugin(target)
    return run_checks(type("Validated", (PluginContract,), {"plugin": target})(), target)


class PluginContract(Contract):
    """What every plugin's distribution must be; a subclass states `plugin`, the name of it."""

    plugin: ClassVar[str]
    first = "test_its_hooks_give_specs"
    import_s: ClassVar[float] = 2.0  # that its module may take to import, beyond what facereg itself does

    @check(
        catches="no entry point; a module that fails or ends the program; hooks that are misspelt, unmarked or without "
        "specs; specs with wrong fields; another contract; commands under names that are not its own; weights without "
        "sha256",
        change="mend what it names; facereg.registry.hooks says what a plugin gives",
    )
    def test_its_hooks_give_specs(self) -> None:
        require(find_plugin(self.plugin).entries, expected=f"an entry point of the group {GROUP!r}", got="none")
        self._brought()

    @check(
        catches="factories, options, recognisers, recipes, commands and stores that are not where the specs say; a "
        "factory of another role; options that cannot be read",
        change="write 'package.module:name' of what is there; a factory makes a stage of the spec's role",
    )
    def test_what_its_specs_name_is_there(self) -> None:
        for model in self._models():
            made = import_object(model.factory)
            right = callable(made) and (not isinstance(made, type) or issubclass(made, CLASS_OF[model.role]))
            require(right, expected=f"{model.factory} to make the {model.role}", got=repr(made))
            known_options(model)
            if model.recognises:
                import_object(model.recognises)
        absent = []
        for brought in self._brought():
            named = [each for one in brought.recipes for each in (one.run, one.settings_from) if each]
            named += [one.app for one in brought.commands] + [one.factory for one in brought.stores]
            for reference in named:
                try:
                    import_object(reference)
                except MissingExtraError as error:
                    absent.append(str(error))
        if absent:
            raise CheckSkippedError(absent[0])

    @check(
        catches="a module that takes long to import, prints when it is imported, or starts threads then",
        change="import what is heavy inside the functions that use it, and print nothing: every command pays for it",
    )
    def test_importing_it_is_quick_and_silent(self) -> None:
        for entry in find_plugin(self.plugin).entries:
            require_quick_import(entry.module, self.import_s)

    @check(
        catches="torch and other libraries of training that are imported where a model is only run",
        change="import them in the recipe's module: who identifies people needs no torch",
    )
    def test_inference_imports_no_library_of_training(self) -> None:
        references = {each for one in self._models() for each in (one.factory, one.options_from) if each}
        modules = {reference.partition(":")[0] for reference in references}
        modules |= {entry.module for entry in find_plugin(self.plugin).entries}
        libraries = training_libraries_of(*sorted(modules))
        require(not libraries, expected="no library of training to be imported", got=", ".join(libraries))

    @check(
        catches="networks whose weights have no licence stated, or of which nothing says where they come from",
        change="write licence= and card= or paper= in its ModelSpec or WeightsSpec",
    )
    def test_its_weights_have_a_licence_and_a_card(self) -> None:
        for model in self._models():
            if model.networks:
                stated = model.licence not in ("", "not stated")
                require(stated, expected=f"the licence of {model.full_name}", got=repr(model.licence))
                require(model.card or model.paper, expected=f"a card or a paper of {model.full_name}", got="neither")

    @check(
        catches="weights that are not those of the sha256 stated, and files of weights that no spec names",
        change="write what 'sha256sum FILE' prints as sha256= in its NetworkSpec; leave other files out of weights/",
    )
    def test_its_weights_are_those_stated(self) -> None:
        named: dict[Path, NetworkSpec] = {}
        for network in (network for model in self._models() for network in model.networks):
            if (path := file_with_plugin(network)) is not None:
                named[path] = network
        for path, network in named.items():
            if path.is_file():
                got = file_sha256(path)
                require(got == network.sha256, expected=f"{path.name} of sha256 {network.sha256}", got=got)
        packages = [find_spec(entry.module.partition(".")[0]) for entry in find_plugin(self.plugin).entries]
        places = [place for one in packages for place in (one and one.submodule_search_locations) or []]
        shipped = {path.name for place in places for path in Path(place, "weights").glob("*.onnx")}
        others = shipped - {path.name for path in named}
        require(not others, expected="no file of weights that no spec names", got=", ".join(sorted(others)))
        nowhere = [path.name for path, one in named.items() if not (path.is_file() or one.addresses or one.installed)]
        if nowhere:
            raise CheckSkippedError(f"no weights ship, and no address is stated, of {', '.join(nowhere)}")

    @check(
        catches="a distribution without licence, licence file or summary",
        change="write license, license-files and description in pyproject.toml: whoever installs it wants to know",
    )
    def test_its_distribution_has_a_licence_and_a_summary(self) -> None:
        metadata = self._distribution().metadata
        for what in ("Summary", "License-Expression", "License-File"):
            there = metadata.get_all(what) or (what == "License-Expression" and metadata.get_all("License"))
            require(there, expected=f"{what} in its metadata", got="none")

    @check(
        catches="a dependency on 'facereg', another project's name, none on facereg-core, and torch without an extra",
        change="write dependencies = ['facereg-core>=0.1']; what training needs goes into an extra, train",
    )
    def test_it_depends_on_facereg_core_and_on_no_library_of_training(self) -> None:
        distribution = self._distribution()
        always = [line for line in distribution.requires or [] if "extra ==" not in line]
        needed = {_spelt(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]) for line in always}
        own = _spelt(distribution.name) == CORE
        require(own or CORE in needed, expected=f"a dependency on {CORE}", got=", ".join(sorted(needed)) or "none")
        wrong = needed & {"facereg", *map(_spelt, TRAINING - {"onnx"})}  # onnx: weights may be converted on first use
        require(not wrong, expected="no dependency of another project or of training", got=", ".join(sorted(wrong)))

    @check(
        catches="packages of other names that come along, as tests, and stand in the way of other distributions' own",
        change="list its own package alone, as packages = ['facereg_mine'] of [tool.setuptools] does",
    )
    def test_it_brings_its_own_packages_alone(self) -> None:
        files = [file for file in self._distribution().files or [] if file.suffix != ".pyc"]
        if not files or any(file.name.startswith("__editable__") for file in files):
            raise CheckSkippedError("it is installed in editable mode; build a wheel, and validate that")
        tops = {file.parts[0].removesuffix(".py") for file in files}
        own = {entry.module.partition(".")[0] for entry in find_plugin(self.plugin).entries}
        others = {top for top in tops - own if not top.endswith((".dist-info", ".data")) and top != ".."}
        require(not others, expected=f"{', '.join(sorted(own))} alone", got=", ".join(sorted(others)) + " beside it")

    def _brought(self) -> list[Brought]:
        try:
            with redirect_stdout(sys.stderr):
                return [load_plugin(entry, lambda line: None) for entry in find_plugin(self.plugin).entries]
        except PluginError as error:
            raise CheckFailedError(f"expected a plugin that loads, got one that does not: {error}") from error

    def _models(self) -> list[ModelSpec]:
        """Return its models, each followed by itself with its other weights."""
        found = [model for brought in self._brought() for model in brought.models]
        return [each for model in found for each in (model, *map(model.tagged, model.weights))]

    def _distribution(self) -> Distribution:
        distribution = find_plugin(self.plugin).distribution
        if distribution is None:
            raise CheckSkippedError("it is a module of no installed distribution")
        return distribution


def _validate_wheel(path: Path) -> Iterator[Outcome]:
    with TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
            name = next(iter(distributions(path=[folder]))).name
        except (OSError, zipfile.BadZipFile, StopIteration, ValueError) as error:
            reason = words_of(error) or "it has no metadata"
            raise PluginError(f"{path}: cannot be read as a wheel ({reason}); build it with 'pip wheel'") from error
        done = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS, name],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [folder, *sys.path]))},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode:
        raise PluginError(f"{path}: {' '.join((done.stderr.splitlines() or ['no answer'])[-1].split())}")
    yield from (Outcome(**outcome) for outcome in json.loads(done.stdout.splitlines()[-1]))


def _spelt(name: str) -> str:
    """Return the one spelling of a distribution's name (packaging.python.org, name normalization)."""
    return re.sub(r"[-_.]+", "-", name).lower()
