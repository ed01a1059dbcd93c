"""params.yaml is read strictly, and what stages write is whole or absent."""

import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt
from torch import AcceleratorError, OutOfMemoryError

from remint.core.atomic import replaced_folder
from remint.core.ranges import Share
from tasks.commands import presets
from tasks.stage import console, params, stage
from tests.sections import SECTIONS


@dataclass(frozen=True)
class Step:
    kind: Literal["blur", "noise"]
    severity: tuple[float, float]
    probability: Share

    def __post_init__(self) -> None:
        if self.severity[0] > self.severity[1]:
            raise ValueError(f"severity is {self.severity}, the lower one comes first")


@dataclass(frozen=True)
class Config:
    seed: Annotated[int, Ge(0)]
    sigma: Annotated[float, Gt(0)]
    patch: int | None
    steps: tuple[Step, ...]


GOOD = "corrupt:\n  seed: 1\n  sigma: 1e-4\n  patch: null\n  steps: []\n"
STEP = "[{kind: blur, severity: [1, 2], probability: 1}]"


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return params.load("corrupt", Config, path)


def test_a_good_section_becomes_the_dataclass_with_tuples_and_floats(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD.replace("[]", STEP))
    assert config == Config(1, 1e-4, None, (Step("blur", (1.0, 2.0), 1.0),))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("sigma:", "sigm:", "corrupt.sigm: unknown key, did you mean sigma?"),
        ("  seed: 1\n", "", "corrupt.seed: missing key"),
        ("seed: 1", "seed: 1.5", "corrupt.seed: must be a valid integer"),
        ("seed: 1", "seed: true", "corrupt.seed: must be a valid integer"),
        ("sigma: 1e-4", "sigma: '3'", "corrupt.sigma: must be a valid number"),
        ("sigma: 1e-4", "sigma: .nan", "corrupt.sigma: must be a finite number, found nan"),
        ("[]", STEP.replace("[1", "[.inf"), "corrupt.steps[0].severity[0]: must"),
        ("[]", STEP.replace("blur", "blr"), "corrupt.steps[0].kind: must be 'blur' or 'noise'"),
        ("[]", STEP.replace("kind", "kid"), "corrupt.steps[0].kid: unknown key, did you mean kind"),
        ("[]", STEP.replace("y: 1", "y: 2"), "steps[0].probability: found 2, needed 1 or less"),
        ("[]", STEP.replace("[1, 2]", "[2, 1]"), "corrupt.steps[0]: severity is (2.0, 1.0), the"),
        ("seed: 1", "seed: -1", "corrupt.seed: found -1, needed 0 or more"),
        ("sigma: 1e-4", "sigma: 0", "corrupt.sigma: found 0, needed above 0"),
        ("corrupt:", "corupt:", "corrupt: missing section"),
    ],
)
def test_what_is_wrong_is_named_with_its_full_key(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    with pytest.raises(params.ParamsError) as error:
        load(tmp_path, GOOD.replace(old, new))
    assert sentence in str(error.value)


@pytest.mark.parametrize("start", ["[x, x, x, x, x, x, x, x, x, x]", "[*a0]"])
def test_aliases_that_explode_are_refused_before_they_do(tmp_path: Path, start: str) -> None:
    lines = [f"a0: &a0 {start}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(params.ParamsError, match="values once its aliases are written"):
        load(tmp_path, "\n".join(lines))


def test_yaml_that_is_none_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(params.ParamsError, match="not valid YAML"):
        load(tmp_path, "corrupt: [1\n")


@pytest.mark.parametrize("section", SECTIONS)
def test_the_defaults_are_what_each_stage_needs(root: Path, section: str) -> None:
    config = params.load(section, SECTIONS[section], root / "params.yaml")
    assert isinstance(config, SECTIONS[section])


def test_make_help_says_how_long_each_preset_takes(root: Path) -> None:
    told = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True)
    lines = dict(line.split(maxsplit=1) for line in told.stdout.splitlines() if " " in line)
    for name in presets.names():
        assert re.search("minute|not measured", lines[name]), name


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_gives_valid_parameters(root: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(root / "params.yaml", tmp_path))
    assert presets.apply_preset(name, path)
    for section, config in SECTIONS.items():
        assert params.load(section, config, path)
    assert presets.apply_preset(name, path) == []


def keys(values: object, at: str = "") -> set[str]:
    """Return the full keys of all plain values and lists inside nested mappings."""
    if not isinstance(values, dict):
        return {at}
    return {key for name, inner in values.items() for key in keys(inner, f"{at}.{name}")}


def covers(told: set[str], key: str) -> bool:
    """Return whether a preset sets `key`, what holds it (to null), or what it holds."""
    return any(f"{key}.".startswith(f"{t}.") or t.startswith(f"{key}.") for t in told)


def test_a_preset_leaves_nothing_of_the_one_before_it(root: Path) -> None:
    files = [
        f for f in (root / "tasks" / "commands" / "presets").glob("*.yaml") if f.stem != "tiny"
    ]
    told = {file.stem: keys(params.read(file)) for file in files}
    for name, found in told.items():
        left = {key for key in set().union(*told.values()) if not covers(found, key)}
        assert not left, f"preset {name} must set them too: {sorted(left)}"


def test_after_tiny_another_preset_asks_for_the_defaults_first(root: Path, tmp_path: Path) -> None:
    target = shutil.copy(root / "params.yaml", tmp_path)
    presets.apply_preset("tiny", target)
    with pytest.raises(ValueError, match=r"follows the preset tiny, of which \d+ values"):
        presets.apply_preset("folder", target)
    assert presets.apply_preset("tiny", target) == []
    shutil.copy(root / "params.yaml", tmp_path)
    assert presets.apply_preset("folder", target)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no mapping"),
        ("a: [1", "is not valid YAML"),
        ("a: 1\na: 2\n", "is not valid YAML"),
        ("- 1\n", "holds no mapping"),
        (None, "there is no .*params.yaml"),
    ],
)
def test_a_preset_says_what_is_wrong_with_the_file_in_one_sentence(
    tmp_path: Path, preset: str, text: str | None, sentence: str
) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        presets.apply_preset(preset, path)


def test_a_preset_keeps_comments_and_untouched_values(tmp_path: Path, preset: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a:\n  b: 1  # why one\n  c: [1, 2]\n  d: keep\n")
    assert presets.apply_preset(preset, path) == ["a.b", "a.c"]
    assert path.read_text() == "a:\n  b: 2  # why one\n  c: [3]\n  d: keep\n"


def test_a_preset_of_another_time_changes_nothing(tmp_path: Path, preset: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a:\n  bb: 1\n")
    with pytest.raises(params.ParamsError, match=r"a\.b: unknown key, did you mean bb\?"):
        presets.apply_preset(preset, path)
    assert path.read_text() == "a:\n  bb: 1\n"


@pytest.fixture
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a preset that sets a.b to 2 and a.c to [3]."""
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "other.yaml").write_text("a: {b: 2, c: [3]}\n")
    monkeypatch.setattr(presets, "FOLDER", tmp_path / "presets")
    return "other"


def test_a_preset_brings_along_what_an_older_file_lacks(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "params.yaml"
    older = (root / "params.yaml").read_text().replace(", sharpening: 6, leak: 0.01}", "}")
    target.write_text(older.replace(", solver: adams}", "}"))
    assert set(presets.apply_preset("folder", target)) >= presets.LATER
    for brought in ("sharpening: 6, leak: 0.01}", "solver: adams}"):
        assert brought in target.read_text()


def test_an_unknown_preset_is_answered_with_those_that_exist(tmp_path: Path, preset: str) -> None:
    with pytest.raises(ValueError, match=f"no preset phots; there are {preset}"):
        presets.apply_preset("phots", tmp_path / "params.yaml")


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "set"
    with pytest.raises(RuntimeError), replaced_folder(target) as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_replaces_the_old_one_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "set"
    for name in ("old", "new"):
        with replaced_folder(target) as folder:
            (folder / name).touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "new"]


def test_a_killed_runs_leavings_are_swept_away(tmp_path: Path) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    names = (f".set.{pid}.partial" for pid in (done.pid, os.getppid()))
    orphan, running = (tmp_path / name for name in names)
    orphan.mkdir()
    running.mkdir()
    with replaced_folder(tmp_path / "set"):
        pass
    assert not orphan.exists() and running.exists()


def test_json_is_sorted_and_rounded(tmp_path: Path) -> None:
    stage.write_json(tmp_path / "m.json", {"b": 1 / 3, "a": [1, (2.0,)]})
    text = (tmp_path / "m.json").read_text()
    assert text.index('"a"') < text.index('"b"')
    assert json.loads(text) == {"a": [1, [2.0]], "b": 0.333333}


def test_a_figure_that_json_cannot_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"m\.json: psnr: clean is inf"):
        stage.write_json(tmp_path / "m.json", {"psnr": {"clean": math.inf}})


def test_an_error_ends_a_stage_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise ValueError("no images\nin data/raw")

    with pytest.raises(SystemExit) as end:
        stage.entry(main)
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: no images in data/raw\n"


@pytest.mark.parametrize("asked", ["", " (asked for 2.50 GiB more)"])
def test_a_full_gpu_ends_a_stage_with_what_to_lower(
    capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    def main() -> None:
        if asked:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a")
        raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")

    with pytest.raises(SystemExit, match="1"):
        stage.entry(main)
    said = capsys.readouterr().err
    assert said.startswith(f"error: the GPU's memory is full{asked}: ") and said.count("\n") == 1
    assert "train_*.loop.accumulate" in said and "evaluate_restorer.batch" in said


def test_a_gpu_that_fails_ends_a_stage_with_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def main() -> None:
        raise AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel")

    with pytest.raises(SystemExit, match="1"):
        stage.entry(main)
    said = capsys.readouterr().err
    assert said.startswith("error: the GPU failed: CUDA error: an illegal memory access")
    assert "goes on from what is kept" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "words", ["CUDA error: device-side assert triggered", "CUDA error: invalid argument"]
)
def test_what_a_gpu_was_wrongly_asked_keeps_its_traceback(words: str) -> None:
    def main() -> None:
        raise AcceleratorError(words)

    with pytest.raises(AcceleratorError):
        stage.entry(main)


def test_any_other_error_of_a_run_keeps_its_traceback() -> None:
    def main() -> None:
        raise RuntimeError("size of tensor a must match size of tensor b")

    with pytest.raises(RuntimeError, match="size of tensor a"):
        stage.entry(main)


def test_a_site_that_is_not_to_be_reached_ends_a_stage_so_that_it_is_tried_again() -> None:
    def main() -> None:
        try:
            socket.create_connection(("127.0.0.1", closed), timeout=5)
        except OSError as error:
            raise ValueError("the set could not be downloaded") from error

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
        with pytest.raises(SystemExit) as end:
            stage.entry(main)
    assert end.value.code == os.EX_TEMPFAIL


def test_progress_in_a_log_is_one_line_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(console.progress([1, 2, 3], label="corrupting")) == [1, 2, 3]
    assert capsys.readouterr().out == "corrupting: 3 of 3 in 0 s\n"


@pytest.mark.parametrize(("old", "new"), params.RENAMED.items())
def test_a_key_of_an_earlier_version_is_refused_with_its_new_name(old: str, new: str) -> None:
    said = params.unknown(f"train_generator.{old}", old.rsplit(".", 1)[1], [])
    assert said.endswith(f"this key has a new name, {new}; write that")
