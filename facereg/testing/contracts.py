"""The checks of every role, and how they run without pytest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from facereg.errors import words_of
from facereg.networks.weights import find_weights
from facereg.registry.hooks import ModelSpec
from facereg.registry.installed import Registry
from facereg.roles import RoleName, Stage
from facereg.testing.aligners import AlignerContract
from facereg.testing.checking import CheckFailedError, CheckSkippedError, Contract
from facereg.testing.detectors import DetectorContract
from facereg.testing.embedders import EmbedderContract
from facereg.testing.every_role import StageContract
from facereg.testing.matchers import MatcherContract

CONTRACTS: Mapping[RoleName, type[StageContract]] = {
    "detector": DetectorContract,
    "aligner": AlignerContract,
    "embedder": EmbedderContract,
    "matcher": MatcherContract,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check of one model, or one plugin: passed, failed, or skipped with the reason as its message."""

    model: str
    check: str
    passed: bool
    message: str = ""
    skipped: bool = False

    @property
    def failed(self) -> bool:
        """Return whether the model does not do what its role demands."""
        return not (self.passed or self.skipped)


def checks_of(contract: type[Contract]) -> list[str]:
    """Return the names of a contract's checks, its first one first."""
    names = sorted(name for name in dir(contract) if name.startswith("test_") and name != contract.first)
    return [contract.first, *names]


def sentence_of(check: str) -> str:
    """Return a check's name as a sentence."""
    return check.removeprefix("test_").replace("_", " ")


def run_contract(name: str, registry: Registry, *, weights: str | Path | None = None) -> Iterator[Outcome]:
    """Run the checks on a model, or on every model of a plugin, and yield what came out.

    Args:
        weights: folder or file that stands in for the models' own.
    Raises:
        UnknownNameError: if there is neither a plugin nor a model of that name.
    """
    states = {state.name: state for state in registry.plugins}
    own = states[name].models if name in states else ()
    models = [tag for model in own for tag in _tags_here(registry.model(model), weights)] or [name]
    for model in models:
        role = registry.model(model).role
        yield from run_checks(_with_make(CONTRACTS[role], model, role, registry, weights), model)


def _tags_here(model: ModelSpec, weights: str | Path | None) -> list[str]:
    """Return the names of a plugin's model, with each tag whose weights are here and that no others stand in for."""
    if weights is not None:
        return [model.name]
    tagged = [model.tagged(one) for one in model.weights]
    return [model.name, *(one.full_name for one in tagged if all(map(find_weights, one.networks)))]


def run_checks(contract: Contract, model: str) -> Iterator[Outcome]:
    """Run every check of a contract, and yield what came out; one that cannot run is skipped, never passed."""
    first, *others = checks_of(type(contract))
    outcome = run_check(contract, first, model)
    yield outcome
    for check in others:
        if outcome.failed:
            nothing = f"nothing to look at, as {outcome.check!r} failed"
            yield Outcome(model, sentence_of(check), passed=False, message=nothing, skipped=True)
        else:
            yield run_check(contract, check, model)


def run_check(contract: Contract, check: str, model: str) -> Outcome:
    """Run one check by the name of its method."""
    sentence = sentence_of(check)
    try:
        getattr(contract, check)()
    except CheckSkippedError as reason:
        return Outcome(model, sentence, passed=False, message=str(reason), skipped=True)
    except CheckFailedError as error:
        return Outcome(model, sentence, passed=False, message=str(error))
    except (Exception, SystemExit) as error:  # of a check that a subclass added: whatever it raises is an outcome
        message = f"{type(error).__name__}: {words_of(error)}"
        return Outcome(model, sentence, passed=False, message=message)
    return Outcome(model, sentence, passed=True)


def _with_make(
    contract: type[StageContract], model: str, role: RoleName, registry: Registry, weights: str | Path | None
) -> StageContract:
    def make(_: object) -> Stage:
        if role == "matcher":
            return registry.create(model, role=role, threshold=0.5)
        return registry.create(model, role=role, weights=weights)

    return cast(StageContract, type(f"{contract.__name__}Of", (contract,), {"make": make})())
