"""The versions in a model repository: which are there, whether they are what their number says, and how one goes."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

from facereg.disk.replacing import file_sha256
from facereg.errors import DeviceError, RunnerError
from facereg.networks.spec import weights_version
from facereg.serving.config import gpu_wanted

MODEL = "model.onnx"
NUMBER = re.compile("[1-9][0-9]*|0")  # Triton passes over folders of other names


def version_folders(network: Path) -> dict[int, Path]:
    """Return the folders of a network's versions, by number."""
    if not network.is_dir():
        return {}
    found = (path for path in network.iterdir() if NUMBER.fullmatch(path.name) and path.is_dir())
    return {int(path.name): path for path in sorted(found, key=lambda path: int(path.name))}


def repository_versions(repository: Path) -> dict[str, dict[int, Path]]:
    """Return the networks of a repository that have a version, each with the folders of its versions.

    Raises:
        RunnerError: if it cannot be read, or has none.
    """
    try:
        networks = sorted(path for path in repository.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = {path.name: version_folders(path) for path in networks}
    except FileNotFoundError:
        found = {}
    except OSError as error:
        raise RunnerError(f"{repository}: cannot be read: {error.strerror}; check the path and its rights") from error
    if not any((folder / MODEL).exists() for versions in found.values() for folder in versions.values()):
        raise RunnerError(f"{repository}: no network is there; run 'facereg triton build' first")
    return {name: versions for name, versions in found.items() if versions}


def check_repository(repository: Path) -> None:
    """Check that every version holds the weights that its number stands for, and only them.

    Args:
        repository: as `build_repository` wrote it; models of other origin, without a `model.onnx`, are passed over.
    Raises:
        RunnerError: if it cannot be read, or weights were altered.
    """
    for versions in repository_versions(repository).values():
        for number, folder in versions.items():
            try:
                _check_version(number, folder)
            except OSError as error:
                raise RunnerError(f"{folder}: cannot be read: {error.strerror}; check its rights") from error


def check_processor(repository: Path) -> None:
    """Check that a server which has only the processor can serve a repository as it was built.

    Raises:
        DeviceError: if a network is to run on a GPU.
    """
    for name in repository_versions(repository):
        config = repository / name / "config.pbtxt"
        wanted = gpu_wanted(config.read_text("utf-8", "replace")) if config.is_file() else ""
        if wanted:
            raise DeviceError(
                f"{name}: built for {wanted}, and the server found here runs networks on the processor in float32; "
                "use --engine container or a tritonserver with the ONNX Runtime backend on PATH, or build without "
                "--gpu, --device gpu and --tensorrt"
            )


def _check_version(number: int, folder: Path) -> None:
    if not (folder / MODEL).exists():
        return
    sha256 = file_sha256(folder / MODEL)
    if (found := weights_version(sha256)) != number:
        raise RunnerError(
            f"{folder / MODEL}: expected the weights of version {number}, found those of {found} (sha256 "
            f"{sha256[:12]}...): the file was altered, or an older facereg wrote it; run 'facereg triton build'"
        )
    others = sorted(path.name for path in folder.iterdir() if path.name != MODEL and path.name[0] != ".")
    if others:
        raise RunnerError(
            f"{folder}: expected {MODEL} alone, found {', '.join(others[:3])}; what lies beside it is run or read by "
            "no network of facereg: remove it, or run 'facereg triton build' into a new folder"
        )


def retire(repository: Path, network: str, number: int) -> None:
    """Take a version out of a repository: old weights that nobody asks for any more, or new ones that were a mistake.

    A running server ends the requests that are in flight, then unloads it; other versions go on without a pause.

    Raises:
        RunnerError: if it is not there, is the last one of its network, or cannot be removed.
    """
    folder = check_retirable(repository, network, number)
    try:
        remove_version(folder)
    except OSError as error:
        raise RunnerError(f"{folder}: could not be removed: {error.strerror}; check its rights") from error


def check_retirable(repository: Path, network: str, number: int) -> Path:
    """Return the folder of a version that may go.

    Raises:
        RunnerError: as `retire`.
    """
    versions = repository_versions(repository).get(network, {})
    if number not in versions:
        held = ", ".join(map(str, versions)) or "none"
        raise RunnerError(f"{repository}: {network}: no version {number}; it has: {held}")
    if len(versions) == 1:
        raise RunnerError(
            f"{repository}: {network}: version {number} is the only one, and clients would have none; roll out another "
            "first, or remove the network's folder"
        )
    return versions[number]


def remove_version(folder: Path) -> None:
    """Remove a version's folder; a server sees it whole or not at all."""
    gone = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}")
    folder.rename(gone)
    shutil.rmtree(gone)
