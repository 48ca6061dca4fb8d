"""Published ONNX files as a pipeline file: which installed model takes each, and with which options."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from facereg.disk.replacing import write_atomically, writing
from facereg.errors import ContractError, PluginError, UnknownNameError, WeightsError
from facereg.networks.published import fitting_copy, read_published
from facereg.networks.spec import PublishedFile, import_object
from facereg.pipeline.composer import Pipeline
from facereg.pipeline.composition import NETWORK_ROLES
from facereg.registry.hooks import ModelSpec
from facereg.registry.installed import Registry
from facereg.roles import RoleName
from facereg.types import Image

ANY_BATCH = "-any-batch.onnx"  # end of the name of a copy
Recognised: TypeAlias = Mapping[str, tuple[object, str]]  # options: each its value, and how it is known


@dataclass(frozen=True, slots=True)
class DescribedFile:
    """A published file and the model that takes it.

    Args:
        path: of the file.
        model: as `facereg models` lists it.
        options: of the model, each as its value and how it is known: what the file shows, or a guess.
        copy: what to use in the file's place, as its batch has one size; None where the file will do.
        note: what else there is to say.
    """

    path: Path
    model: ModelSpec
    options: Recognised
    copy: bytes | None
    note: str = ""

    @property
    def role(self) -> RoleName:
        """Return the role of the model."""
        return self.model.role

    def weights_in(self, folder: Path) -> Path:
        """Return the file to use, from a pipeline file in `folder`."""
        return folder / f"{self.path.stem}{ANY_BATCH}" if self.copy is not None else self.path


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file that no installed model takes, or that cannot be used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What a pipeline made of a photograph: how many faces, the best score, and of how many numbers its vectors are.

    `refused` are faces that the aligner refused.
    """

    faces: int
    score: float | None
    refused: int
    dim: int


def describe_files(places: Sequence[Path], registry: Registry) -> list[DescribedFile | PassedOver]:
    """Return what each ONNX file is, but for copies beside their files; a folder stands for the files in it.

    Raises:
        WeightsError: if a folder has none, or no installed model takes any of the files.
    """
    files: list[Path] = []
    for place in places:
        inside = sorted(place.glob("*.onnx")) if place.is_dir() else [place]
        if not inside:
            raise WeightsError(f"{place}: expected a folder with ONNX files, found none")
        files += inside
    copies = {path.with_name(f"{path.stem}{ANY_BATCH}") for path in files}
    found = [_describe(path, registry) for path in files if path not in copies]
    if not any(isinstance(each, DescribedFile) for each in found):
        raise WeightsError("; ".join(f"{each.path}: {each.reason}" for each in found if isinstance(each, PassedOver)))
    return found


def write_pipeline(found: Sequence[DescribedFile | PassedOver], out: Path) -> str:
    """Write files as a pipeline file, copies of those whose batch has one size beside it, and return its text.

    Where the files hold a detector and an embedder, a landmark network is written as comments: published embedders
    are trained on crops by the detector's five points.

    Raises:
        ContractError: if two files are of one role, or `out` is there already or cannot be written.
    """
    described = [each for each in found if isinstance(each, DescribedFile)]
    by_role: dict[RoleName, DescribedFile] = {}
    for each in described:
        if (other := by_role.setdefault(each.role, each)) is not each:
            raise ContractError(f"expected one {each.role}, got {other.path} and {each.path}; name the files to take")
    if out.exists():
        raise ContractError(f"{out}: is there already, and may have been changed; remove it, or name another --out")
    lines = [f"# Written by 'facereg models describe'; a pipeline file, as in --pipeline {out.name}."]
    lines += [f"# Passed over: {each.path.name}: {each.reason}" for each in found if isinstance(each, PassedOver)]
    for role in NETWORK_ROLES:
        if role in by_role:
            spare = role == "aligner" and {"detector", "embedder"} <= set(by_role)
            lines += ["", *_table(by_role[role], out.parent, spare=spare)]
    text = "\n".join(lines) + "\n"
    with writing(out, ContractError):
        for each in described:
            if each.copy is not None:
                write_atomically(each.weights_in(out.parent), each.copy)
        write_atomically(out, text.encode())
    return text


def try_pipeline(path: Path, image: Image, registry: Registry) -> Tried:
    """Run the pipeline that a file describes on a photograph.

    Raises:
        FaceregError: if it cannot be made, or fails.
    """
    with Pipeline.from_file(path, registry=registry) as pipeline:
        [result] = pipeline.run([image])
        score = float(result.faces.scores[0]) if len(result.faces) else None
        return Tried(len(result.faces), score, sum(map(bool, result.refused)), pipeline.embedder.dim)


def _describe(path: Path, registry: Registry) -> DescribedFile | PassedOver:
    try:
        file, content = read_published(path)
        model, options = _recognised(file, registry)
    except (WeightsError, UnknownNameError) as error:
        return PassedOver(path, str(error).removeprefix(f"{path}: "))
    try:
        return DescribedFile(path, model, options, fitting_copy(content, model.networks[0], path))
    except WeightsError as error:
        return DescribedFile(path, model, options, None, note=str(error).removeprefix(f"{path}: "))


def _recognised(file: PublishedFile, registry: Registry) -> tuple[ModelSpec, Recognised]:
    for model in registry.models():
        if model.recognises:
            options = import_object(model.recognises)(file)
            if options is not None:
                if not isinstance(options, Mapping):
                    raise PluginError(f"{model.name}: expected {model.recognises} to give a mapping, got {options!r}")
                return model, options
    raise UnknownNameError(f"no installed model takes {file}")


def _table(file: DescribedFile, folder: Path, *, spare: bool) -> list[str]:
    """Return the lines of a stage's table; of a spare one as comments."""
    weights = file.weights_in(folder)
    whole = Path(os.path.relpath(weights, folder)).as_posix()
    lines = [f"[{file.role}]", f"name = {json.dumps(file.model.name)}", f"weights = {json.dumps(whole)}"]
    if file.copy is not None:
        lines[-1] += f"  # {file.path.name}, its batch made one of any size"
    if file.note:
        lines[-1] += f"  # {file.note}"
    if file.options:
        lines += [f"[{file.role}.options]"]
    lines += [f"{name} = {json.dumps(value)}  # {known}" for name, (value, known) in file.options.items()]
    if not spare:
        return lines
    return [
        "# Crops are made by the detector's five points; by this network instead:",
        *(f"# {line}" for line in lines),
    ]
