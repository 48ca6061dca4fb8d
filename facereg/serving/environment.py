"""The server binary that comes through pip, in an environment of its own.

The package nvidia-pytriton carries Triton and its Python backend; only the binary is used. The backend needs
NumPy below 2 (with NumPy 2 it answers with empty tensors), so none of this goes into the environment of facereg.
What is installed is pinned by version and hash in `pins/`, with the ONNX Runtime of our own pins.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facereg.disk.homes import cache_folder
from facereg.disk.replacing import locked, whole_folder
from facereg.errors import RunnerError

CARRIER = "nvidia-pytriton==0.7.0"  # Triton 2.51.0
PINS = Path(__file__).parent / "pins"  # written by 'make pins'
RUNTIME_PINS, CARRIER_PINS = PINS / "runtime.txt", PINS / "carrier.txt"
PYTHONS = ("3.11", "3.12")  # the carrier has a backend for each, and NumPy below 2 a wheel
ASK = (
    "import json, sys, sysconfig; print(json.dumps(['%d.%d' % sys.version_info[:2], "
    "sysconfig.get_config_var('LIBDIR'), sysconfig.get_config_var('INSTSONAME')]))"
)
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that the backend can embed: it comes with a shared library."""

    path: str
    version: str
    libraries: str


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the server lies and what it needs to start."""

    folder: Path
    libraries: str

    @property
    def binary(self) -> Path:
        """The server."""
        return self.folder / "carrier/pytriton/tritonserver/bin/tritonserver"

    @property
    def backends(self) -> Path:
        """The folder of backends."""
        return self.folder / "backends"

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of the server."""
        libraries = f"{self.libraries}:{self.folder / 'carrier/nvidia_pytriton.libs'}"
        return {
            **os.environ,
            "PATH": f"{self.folder / 'python/bin'}:{os.environ.get('PATH', '')}",
            "LD_LIBRARY_PATH": libraries,
            "OMP_NUM_THREADS": "1",
        }


def own_environment(cache: Path | None = None, *, progress: Progress = lambda _: None) -> Environment:
    """Return the environment, made on first use (about 330 MB, half a minute); several processes may ask at once.

    Args:
        cache: folder to keep it in; None takes FACEREG_CACHE, or `facereg` in the user's cache folder.
        progress: is told each step.
    Raises:
        RunnerError: if this machine has no fitting Python, or pip fails.
    """
    cache = cache or cache_folder()
    interpreter = find_interpreter()
    pins = hashlib.sha256(RUNTIME_PINS.read_bytes() + CARRIER_PINS.read_bytes()).hexdigest()
    name = f"triton-{CARRIER.rpartition('=')[2]}-python{interpreter.version}-{pins[:12]}"
    made = Environment(cache / name, interpreter.libraries)
    if made.folder.is_dir():
        return made
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{name}.lock"):
        if not made.folder.is_dir():
            with whole_folder(made.folder) as new:
                new.rmdir()  # who makes the environment makes its folder
                _make(new, interpreter, progress)
    return made


def find_interpreter() -> Interpreter:
    """Return a Python whose backend the carrier has and whose shared library is there.

    Raises:
        RunnerError: if there is none, or this is no Linux on x86-64.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise RunnerError(
            f"the server that pip installs runs on Linux x86_64, this is {platform.system()} {platform.machine()}; "
            "install Docker, or put a tritonserver on PATH"
        )
    own = str(Path(sys.base_prefix) / f"bin/python{sys.version_info.major}.{sys.version_info.minor}")
    for path in (own, *(found for name in PYTHONS if (found := shutil.which(f"python{name}")))):
        answer = subprocess.run([path, "-I", "-c", ASK], capture_output=True, text=True, check=False)
        if answer.returncode:
            continue
        number, libraries, library = json.loads(answer.stdout)
        if number in PYTHONS and ".so" in library and (Path(libraries) / library).exists():
            return Interpreter(path, number, libraries)
    raise RunnerError(
        f"the server that pip installs needs a Python of {', '.join(PYTHONS)} with its shared library (libpython), "
        "found none; install one, or Docker, or put a tritonserver on PATH"
    )


def _make(folder: Path, interpreter: Interpreter, progress: Progress) -> None:
    progress(f"making the server's own Python {interpreter.version} environment, once")
    _run([interpreter.path, "-m", "venv", str(folder / "python")])
    pip = [str(folder / "python/bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    pip += ["--no-cache-dir", "--no-deps", "--only-binary=:all:", "--require-hashes"]  # nothing is built, all is listed
    progress("installing NumPy and ONNX Runtime")
    _run([*pip, "-r", str(RUNTIME_PINS)])
    progress(f"installing {CARRIER}, which carries the server")
    _run([*pip, "--target", str(folder / "carrier"), "-r", str(CARRIER_PINS)])
    backend = folder / "backends/python"
    backend.mkdir(parents=True)
    for name in (
        "backends/python/libtriton_python.so",
        "backends/python/triton_python_backend_utils.py",
        f"python_backend_stubs/{interpreter.version}/triton_python_backend_stub",
    ):
        file = folder / "carrier/pytriton/tritonserver" / name
        if not file.is_file():
            raise RunnerError(f"{CARRIER}: expected the file {name}, found none; report this")
        (backend / file.name).symlink_to(os.path.relpath(file, backend))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise RunnerError(
            f"the server's environment could not be made: '{' '.join(command[1:4])} ...' failed: {last}; "
            "check the network and the space on disk, or put a tritonserver on PATH"
        )
