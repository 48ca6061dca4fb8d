"""The Kubernetes manifests: valid by Kubernetes' own schemas, and true to facereg's commands and ports."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from facereg.cli.app import app
from facereg.serving.launch import CLOSED, HEADER, IMAGE, Ports

FOLDER = Path(__file__).parents[1] / "docs/how-to/kubernetes"
VERSION = "1.29"  # the oldest that the manifests are for
Manifest = dict[str, Any]


def manifests() -> dict[str, Manifest]:
    return {path.name: yaml.safe_load(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.yaml"))}


def deployed() -> Manifest:
    spec: Manifest = manifests()["deployment.yaml"]["spec"]["template"]["spec"]
    return spec


def test_there_are_three_manifests() -> None:
    assert {name: manifest["kind"] for name, manifest in manifests().items()} == {
        "autoscaler.yaml": "HorizontalPodAutoscaler",
        "deployment.yaml": "Deployment",
        "service.yaml": "Service",
    }


@pytest.mark.parametrize("version", [VERSION, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("name", manifests())
def test_a_manifest_is_valid(name: str, version: str) -> None:
    kubernetes_validate.validate(manifests()[name], version, strict=True)


@pytest.mark.parametrize("name", manifests())
def test_a_misspelt_manifest_is_refused(name: str) -> None:
    broken = copy.deepcopy(manifests()[name])
    broken["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSION, strict=True)


def test_the_init_container_calls_a_command_that_exists() -> None:
    [build] = deployed()["initContainers"]
    command = typer.main.get_command(app)
    for word in build["args"][:2]:
        command = command.get_command(None, word)  # type: ignore[attr-defined]
    context = command.make_context("build", list(build["args"][2:]))
    assert Path(context.params["out"]) == Path("/models")  # typer turns it into a path here or later
    assert context.params["instances"] == 2


def test_the_server_is_the_one_that_serve_starts() -> None:
    [server] = deployed()["containers"]
    assert server["image"] == IMAGE
    assert [port["containerPort"] for port in server["ports"]] == [Ports().http, Ports().grpc, Ports().metrics]
    assert f"--model-repository={server['volumeMounts'][0]['mountPath']}" in server["args"]


def test_the_server_is_closed_as_serve_closes_it() -> None:
    [server] = deployed()["containers"]
    assert "--model-control-mode=none" in server["args"]
    variables = {each["name"]: each["value"] for each in server["env"]}
    assert variables["CLOSED"] == CLOSED
    keys = set()
    for _ in range(2):
        words = [*server["command"], "printf", "%s\\n", *server["args"][1:]]
        done = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
        *_, http, grpc = done.stdout.splitlines()
        assert http.startswith(f"--http-restricted-api={CLOSED}:{HEADER}=")
        assert grpc == http.replace("--http-restricted-api", "--grpc-restricted-protocol")
        keys.add(http.rpartition("=")[2])
    assert len(keys) == 2
    assert all(len(key) == 36 for key in keys)


def test_nothing_runs_as_root_or_may_become_it() -> None:
    template = manifests()["deployment.yaml"]["spec"]["template"]["spec"]
    assert template["securityContext"]["runAsNonRoot"] is True
    assert template["automountServiceAccountToken"] is False
    for container in (*template["initContainers"], *template["containers"]):
        rights = container["securityContext"]
        assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (False, True)
        assert rights["capabilities"] == {"drop": ["ALL"]}
    lines = (FOLDER / "Dockerfile").read_text("utf-8").splitlines()
    assert "USER 1000:1000" in lines


def test_names_that_must_agree_agree() -> None:
    held = manifests()
    labels = held["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    assert held["deployment.yaml"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert held["service.yaml"]["spec"]["selector"].items() <= labels.items()
    target = held["autoscaler.yaml"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", held["deployment.yaml"]["metadata"]["name"])
    names = {port["name"] for port in deployed()["containers"][0]["ports"]}
    assert {port["targetPort"] for port in held["service.yaml"]["spec"]["ports"]} == names
