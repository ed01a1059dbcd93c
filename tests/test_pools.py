"""Work pools on other machines: what a job becomes, and what a run may change of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError, validate
from prefect.utilities.templating import apply_values, find_placeholders

GIVEN = {
    "kubernetes": {"image": "registry.example.org/remint:1", "gpus": 2},
    "docker": {"repository": "/srv/remint", "gpus": 2},
}


def template(root: Path, kind: str) -> dict[str, Any]:
    return dict(json.loads((root / f"deploy/pools/{kind}.json").read_text()))


def job(root: Path, kind: str) -> Any:
    """Return what the template becomes with the values given, as Prefect fills it in."""
    made = template(root, kind)
    variables = made["variables"]
    validate(GIVEN[kind], variables)
    properties = variables["properties"].items()
    defaults = {name: how["default"] for name, how in properties if "default" in how}
    filled = apply_values(made["job_configuration"], {**defaults, **GIVEN[kind]})
    assert not find_placeholders(filled)
    return filled


@pytest.mark.parametrize("kind", GIVEN)
def test_variables_are_those_used_and_none_starts_another_program(root: Path, kind: str) -> None:
    made = template(root, kind)
    Draft202012Validator.check_schema(made["variables"])
    used = {found.name for found in find_placeholders(made["job_configuration"])}
    assert used == set(made["variables"]["properties"])
    for foreign in ("command", "env", "privileged", "job_manifest"):
        with pytest.raises(ValidationError):
            validate({**GIVEN[kind], foreign: "x"}, made["variables"])


def test_a_job_of_kubernetes_asks_for_gpus_and_mounts_the_repository(root: Path) -> None:
    manifest = job(root, "kubernetes")["job_manifest"]
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "Job")
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2  # a limit is also the request
    assert container["image"] == GIVEN["kubernetes"]["image"] and pod["restartPolicy"] == "Never"
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "remint-repository"


def test_a_container_of_docker_asks_for_gpus_and_mounts_the_repository(root: Path) -> None:
    made = job(root, "docker")
    (device,) = made["container_create_kwargs"]["device_requests"]
    assert device == {"driver": "nvidia", "count": 2, "capabilities": [["gpu"]]}
    assert made["volumes"] == ["/srv/remint:/repository"] and made["image"] == "remint:local"
