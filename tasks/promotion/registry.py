"""The registry of models: which version is the champion, and its folder on this disk.

Registered models are `remint-restorer` and `remint-generator` in MLflow, with the aliases champion,
challenger and previous. What is fetched from it is data (safetensors, JSON, CSV, PNG); a model
that holds anything else is refused.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from remint.core.atomic import replaced_folder
from remint.core.fingerprint import model_fingerprint
from tasks.tracking import runs
from tasks.tracking.delivery import one_line
from tasks.tracking.models import mlflow
from tasks.tracking.store import is_begun

ModelName = Literal["restorer", "generator"]
REGISTERED = {"restorer": "remint-restorer", "generator": "remint-generator"}
SCHEME = "models:/"
ALIASES = ("champion", "challenger", "previous")
DATA = {".safetensors", ".json", ".csv", ".png"}


class RegistryError(ValueError):
    """The registry has no such model, or can't be asked."""


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    number: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created: int  # ms since 1970

    @property
    def fingerprint(self) -> str:
        """Of its weights."""
        return self.tags.get("fingerprint", "")


class Registry:
    """The registered model of one kind. Every method raises RegistryError with a sentence."""

    def __init__(self, name: ModelName) -> None:
        self.name, self.registered = name, REGISTERED[name]

    def versions(self) -> list[Version]:
        """Return all versions, the newest first; none where nothing was registered."""
        listed = self._ask("list", lambda c: c.search_model_versions(f"name='{self.registered}'"))
        if not listed:
            return []
        # a listed version does not say its aliases
        named = self._ask("read", lambda c: c.get_registered_model(self.registered)).aliases
        return [
            _version(entry, [alias for alias, number in named.items() if number == entry.version])
            for entry in sorted(listed, key=lambda entry: int(entry.version), reverse=True)
        ]

    def find(self, reference: str) -> Version | None:
        """Return the version with this alias or number; None where there is none."""
        if not is_begun():
            return None
        by = "get_model_version" + ("" if reference.isdigit() else "_by_alias")
        entry = self._ask("read", lambda c: _found(getattr(c, by), self.registered, reference))
        return None if entry is None else _version(entry, entry.aliases)

    def register(self, folder: Path, example: Any, tags: Mapping[str, str]) -> Version:
        """Put a model's folder into the registry, or find it there by its weights."""
        fingerprint = model_fingerprint(folder)
        same = f"name='{self.registered}' AND tag.fingerprint='{fingerprint}'"
        known = self._ask("list", lambda c: c.search_model_versions(same))
        if not known:
            uri = self._logged(folder, fingerprint, example)
            known = [self._ask("register in", lambda _: self._create(uri))]
        version = _version(known[0], ())
        for key, value in {**tags, "fingerprint": fingerprint}.items():
            self.tag(version, key, value)
        registered = self.find(version.number)
        assert registered is not None
        return registered

    def _create(self, uri: str) -> Any:
        mlflow.set_tracking_uri(runs.tracking_uri())
        return mlflow.register_model(uri, self.registered)

    def _logged(self, folder: Path, fingerprint: str, example: Any) -> str:
        """Return the URI of the logged model with these weights; log it where there is none."""
        logged = self._ask("search", lambda c: self._with_weights(c, fingerprint))
        if logged:
            return str(logged[0].model_uri)
        stage = f"register_{self.name}"
        run = runs.open_run(stage, runs.provenance(stage, {self.name: fingerprint}), {})
        run.model(self.name, folder, example)
        run.close("FINISHED")
        logged = self._ask("search", lambda c: self._with_weights(c, fingerprint))
        if not logged:
            raise RegistryError(f"the {self.name} could not be logged to MLflow; see the warning")
        return str(logged[0].model_uri)

    def _with_weights(self, client: Any, fingerprint: str) -> Any:
        wanted = f"name = '{self.name}' AND tags.fingerprint = '{fingerprint}'"
        return client.search_logged_models([runs.experiment_id(client)], filter_string=wanted)

    def tag(self, version: Version, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._ask(
            "write to",
            lambda c: c.set_model_version_tag(self.registered, version.number, key, value),
        )

    def point(self, alias: str, version: Version | None) -> None:
        """Let an alias name this version; None takes the alias away."""
        if version is None:
            self._ask("write to", lambda c: c.delete_registered_model_alias(self.registered, alias))
            return
        self._ask(
            "write to",
            lambda c: c.set_registered_model_alias(self.registered, alias, version.number),
        )

    def folder(self, reference: str) -> Path:
        """Return the folder of a version on this disk, fetched once and kept by its number."""
        version = self.find(reference)
        if version is None:
            raise RegistryError(
                f"MLflow holds no {reference} of {self.registered}; name a model's folder, or "
                f"make one with `python -m tasks.promotion.promote {self.name}`"
            )
        fingerprint = version.fingerprint or "unknown"
        home = runs.repository_root() / "data/cache/models"
        kept = home / f"{self.name}-{version.number}-{fingerprint[:12]}"
        if not kept.is_dir():
            self._fetch(version, kept)
        if model_fingerprint(kept) != version.fingerprint:
            raise RegistryError(f"{kept}: its weights are not those registered; delete the folder")
        return kept

    def _fetch(self, version: Version, kept: Path) -> None:
        uri = f"models:/{self.registered}/{version.number}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            mlflow.set_tracking_uri(runs.tracking_uri())
            fetched = self._ask(
                "fetch from",
                lambda _: mlflow.artifacts.download_artifacts(
                    artifact_uri=f"{uri}/artifacts/{self.name}", dst_path=scratch
                ),
            )
            check_data(Path(fetched))
            with replaced_folder(kept) as fresh:
                shutil.copytree(fetched, fresh, dirs_exist_ok=True)

    def _ask(self, what: str, ask: Callable[[Any], Any]) -> Any:
        try:
            return ask(mlflow.MlflowClient(runs.tracking_uri()))
        except RegistryError:
            raise
        except Exception as error:
            raise RegistryError(
                f"can't {what} the model registry in MLflow: {one_line(error)}; check "
                "MLFLOW_TRACKING_URI and that the server runs"
            ) from error


def _version(entry: Any, aliases: Iterable[str]) -> Version:
    names = tuple(sorted(aliases))
    return Version(str(entry.version), names, entry.tags, entry.creation_timestamp)


def _found(ask: Callable[[str, str], Any], registered: str, reference: str) -> Any:
    """Return a version that MLflow is asked for; None where it has no such model or version."""
    try:
        return ask(registered, reference)
    except mlflow.MlflowException as error:
        # MLflow calls an alias that names nothing an invalid parameter
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def check_data(folder: Path) -> None:
    """Raise RegistryError where a model's folder holds anything but data."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or (path.is_file() and path.suffix not in DATA):
            raise RegistryError(
                f"the registered model holds {path.relative_to(folder)}, needed only "
                f"{', '.join(sorted(DATA))}; it is not used"
            )


def model_folder(text: str, name: ModelName) -> Path:
    """Return the folder that `text` means: a path, an alias or number in the registry.

    champion, challenger, previous, a version's number, or models:/restorer@ALIAS and
    models:/restorer/NUMBER, where MLflow's own remint-restorer does as well. A folder of that name
    wins. Raises RegistryError for what begins like such a reference and is none.
    """
    if Path(text).exists():
        return Path(text)
    if text.startswith(SCHEME):
        return Registry(name).folder(_reference(text, name))
    if text in ALIASES or text.isdigit():
        return Registry(name).folder(text)
    return Path(text)


def _reference(text: str, name: ModelName) -> str:
    """Return the alias or number of models:/NAME@ALIAS or models:/NAME/NUMBER."""
    model, mark, reference = text.removeprefix(SCHEME).replace("@", "/", 1).partition("/")
    if model not in (name, REGISTERED[name]) or not mark or not reference:
        raise RegistryError(
            f"found {text}, needed a {name}: {SCHEME}{name}@champion, or {SCHEME}{name}/3 for a "
            "version"
        )
    return reference
