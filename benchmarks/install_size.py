"""Install facereg and its two model plugins for inference in a new environment and add up what lies on disk."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECTS = (".", "plugins/facereg-mtcnn", "plugins/facereg-mobilenetv3")


def main() -> None:
    """Write results/install-size.json: whole megabytes (10^6 bytes) of site-packages, without pip itself."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        install = [str(python), "-m", "pip", "install", "-q"]
        pinned = ["--require-hashes", "-r", str(ROOT / "requirements/inference.txt")]
        ours = ["--no-deps", "--no-build-isolation", *(str(ROOT / project) for project in PROJECTS)]
        subprocess.run([*install, *pinned], check=True)
        subprocess.run([*install, *ours], check=True)
        torch = subprocess.run([str(python), "-c", "import torch"], capture_output=True, check=False)
        if torch.returncode == 0:
            sys.exit("torch was installed; inference must not need it")
        subprocess.run([str(python), "-m", "facereg", "--help"], check=True, capture_output=True)
        subprocess.run([str(python), "-m", "pip", "uninstall", "-q", "-y", "setuptools", "pip"], check=True)
        total = sum(path.lstat().st_size for path in Path(folder).rglob("*") if path.is_file())
    result = {"megabytes": round(total / 1e6), "command": "make install-size"}
    (ROOT / "results" / "install-size.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(f"{result['megabytes']} MB")  # noqa: T201


if __name__ == "__main__":
    main()
