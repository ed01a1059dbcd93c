"""Claims about evaluating a restorer: slices, figures, distances, galleries and the stage."""

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage import data

from remint.core.randomness import generator
from remint.corruptions.pairs import FIELDS
from remint.corruptions.registry import corrupt, replay
from remint.images.fitting import fit
from remint.images.imageset import ImageSet, Record, pixel_id, write
from remint.restorer import doubt
from remint.restorer.doubt import DoubtHead
from remint.restorer.networks.catalogue import NetworkConfig, build_network
from remint.restorer.restorer import save_card, save_weights
from remint.restorer.validation import Validation
from remint.restorer_evaluation.distances import SetDistances, Sets, damaged_rows
from remint.restorer_evaluation.evaluation import (
    RESTORED_FIELDS,
    EvaluateRestorerConfig,
    FeaturesConfig,
    Targets,
    evaluate,
    tune_classical,
)
from remint.restorer_evaluation.scoring import Answer, figures_of
from remint.restorer_evaluation.slicing import slice_rows, summary
from tasks import evaluate_restorer
from tasks.page.restorer_verdict import verdict
from tasks.promotion.registry import Registry
from tasks.serving.base64_images import encode
from tasks.tracking import runs

SLICES = (("gaussian_noise", 2), ("gaussian_noise", 4), ("holes", 3))
CONFIG = EvaluateRestorerConfig(
    seed=0, split="test", device="cpu", interpolation=None, ensemble=False, batch=4,
    tile=64, overlap=8, tuning_images=2, resamples=100, confidence=0.9, gallery=2,
    published_weights="present",
    features=FeaturesConfig(images=200, images_per_slice=0, cache="unused"),
)  # fmt: skip


class Same:
    channels = 1

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        return batch

    def overlap(self, tile: int, asked: int | None) -> int:
        return 6 if asked is None else asked


class Blur(Same):
    network = torch.nn.Identity()

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(batch, (1, 1, 1, 1), mode="reflect")
        return torch.nn.functional.avg_pool2d(padded, 3, 1)


def clean_records(count: int) -> Iterator[Record]:
    photo = data.coins()
    for index in range(count):
        top, left = 40 + 40 * (index // 8), 20 + 40 * (index % 8)
        image = photo[top : top + 24, left : left + 24, None]
        split = ("train", "test", "val")[index % 3]
        yield Record(pixel_id(image), image, split, f"{index}.png", 0)


def corrupted_records(clean: ImageSet) -> Iterator[Record]:
    for row, image in clean.images():
        rows = [("clean", 0), *SLICES] if row["split"] != "train" else []
        for kind, severity in rows:
            key = f"{row['id']}.{kind}.{severity}"
            stream = generator(1, "test", key)
            made = replay(image, []) if kind == "clean" else corrupt(image, kind, severity, stream)
            extra = {"clean_id": row["id"], "kind": kind, "severity": severity, "mask": made.mask}
            extra["recipe"] = json.dumps(made.recipe)
            yield Record(f"{key}.0", made.image, row["split"], row["source"], row["label"], extra)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    write(folder / "clean", clean_records(24), metadata={"class_names": ["a"], "channels": 1})
    records = corrupted_records(ImageSet(folder / "clean"))
    metadata = {"class_names": ["a"], "channels": 1}
    write(folder / "corrupted", records, metadata=metadata, extra_fields=FIELDS)
    return folder


def measure(folder: Path, restorer: Same, config: EvaluateRestorerConfig = CONFIG) -> pd.DataFrame:
    corrupted, targets = ImageSet(folder / "corrupted"), Targets(ImageSet(folder / "clean"))
    tuned = tune_classical(corrupted, targets, config)
    rows = corrupted.images(config.split)
    return pd.DataFrame([row for _, row in evaluate(restorer, rows, targets, tuned, config)])


def rows_of(folder: Path, restorer: Same) -> dict[tuple[str, int], dict[str, float]]:
    corrupted, targets = ImageSet(folder / "corrupted"), Targets(ImageSet(folder / "clean"))
    tuned = tune_classical(corrupted, targets, CONFIG)
    rows = slice_rows(measure(folder, restorer), tuned, CONFIG)
    return {(row["kind"], row["severity"]): row for row in rows}


def test_doing_nothing_gains_nothing_and_makes_nothing_worse(folder: Path) -> None:
    for row in rows_of(folder, Same()).values():
        assert row["gain"] == row["gain_low"] == row["gain_high"] == 0
        assert row["worse_share"] == 0
        assert row["psnr"] == row["psnr_input"]


def test_every_slice_of_the_split_has_its_row_with_a_named_rival(folder: Path) -> None:
    rows = rows_of(folder, Same())
    assert set(rows) == {("clean", 0), *SLICES}
    assert rows["gaussian_noise", 2]["classical_method"] == "non-local means"
    assert rows["holes", 3]["classical_method"] == "Telea inpainting"
    assert "psnr_classical" not in rows["clean", 0]
    assert {row["images"] for row in rows.values()} == {8}


def test_slice_psnr_is_the_mean_of_per_image_psnr(folder: Path) -> None:
    frame = measure(folder, Blur())
    row = rows_of(folder, Blur())["gaussian_noise", 4]
    part = frame[(frame["kind"] == "gaussian_noise") & (frame["severity"] == 4)]
    assert row["psnr"] == pytest.approx(np.mean(part["psnr"]))
    assert row["gain_low"] < row["gain"] < row["gain_high"]
    assert row["gain"] == pytest.approx(row["psnr"] - row["psnr_input"])


def test_holes_are_measured_inside_and_outside(folder: Path) -> None:
    rows = rows_of(folder, Same())
    holes = rows["holes", 3]
    assert holes["psnr_inside"] < holes["psnr"] < holes["psnr_outside"] == 50
    assert "psnr_inside" not in rows["gaussian_noise", 2]


def test_figures_do_not_depend_on_the_batch_or_on_tiles_for_a_local_network(folder: Path) -> None:
    whole = measure(folder, Blur())
    for config in (
        dataclasses.replace(CONFIG, batch=1),
        dataclasses.replace(CONFIG, batch=7),
        dataclasses.replace(CONFIG, tile=18, overlap=8),
        dataclasses.replace(CONFIG, tile=18, overlap=None),
    ):
        other = measure(folder, Blur(), config)
        assert list(other["id"]) == list(whole["id"])
        assert np.allclose(other["psnr"], whole["psnr"], atol=0.05)


def test_the_clean_slice_is_capped_image_by_image_at_40_db() -> None:
    image = np.full((16, 16, 1), 100, np.uint8)
    near, far = image.copy(), image + np.uint8(10)
    near[0, 0] += 1
    whole = figures_of(Answer(image, near, image, None, None), "clean")
    assert whole["psnr"] > 40
    assert (whole["gain"], whole["worse"]) == (0.0, 0.0)
    harmed = figures_of(Answer(image, far, image, None, None), "clean")
    assert harmed["gain"] == pytest.approx(28.13 - 40, abs=0.01)
    assert harmed["worse"] == 1.0


def test_the_row_of_whole_images_shows_the_figures_that_its_gain_is_made_of(folder: Path) -> None:
    row = rows_of(folder, Blur())["clean", 0]
    assert row["psnr_input"] == 40 and row["gain"] < 0
    assert row["psnr"] - row["psnr_input"] == pytest.approx(row["gain"])


def test_training_looks_at_held_out_pairs_through_the_evaluations_own_figure(folder: Path) -> None:
    clean, corrupted = ImageSet(folder / "clean"), ImageSet(folder / "corrupted")
    val = dataclasses.replace(CONFIG, split="val")
    seen = Validation(clean, corrupted, 10**6, None, 0).psnr(Blur())
    rows = pd.DataFrame(slice_rows(measure(folder, Blur(), val), {}, val))
    for name in ("psnr", "psnr_input"):
        mean = np.average(rows[name], weights=rows["images"])
        assert seen[f"val_{name}"] == pytest.approx(mean, abs=1e-9)


def test_the_share_of_improved_slices_says_which_slices_it_counts(folder: Path) -> None:
    frame = measure(folder, Same())
    rows = slice_rows(frame, {}, CONFIG)
    assert {row["psnr_input"] < 30 for row in rows} == {True, False}
    rows = [{**row, "gain": 1.0 if row["psnr_input"] < 30 else -1.0} for row in rows]
    assert summary(frame, rows, CONFIG)["improved_slices_below_30db_share"] == 1.0


def test_the_summary_leaves_the_clean_slice_out_of_the_gain(folder: Path) -> None:
    frame = measure(folder, Blur())
    figures = summary(frame, slice_rows(frame, {}, CONFIG), CONFIG)
    damaged = frame[frame["kind"] != "clean"]
    assert figures["psnr_gain"] == pytest.approx(damaged["gain"].mean())
    assert figures["psnr"] - figures["psnr_input"] == pytest.approx(figures["psnr_gain"])
    clean = frame[frame["kind"] == "clean"]["psnr"]
    assert figures["clean_psnr_capped40"] == pytest.approx(np.minimum(clean, 40).mean())
    assert figures["images"] == len(frame)


def test_a_corrupted_set_of_another_clean_set_is_refused(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", clean_records(1), metadata={"class_names": [], "channels": 1})
    corrupted, targets = ImageSet(folder / "corrupted"), Targets(ImageSet(tmp_path / "other"))
    with pytest.raises(ValueError, match="do not belong together"):
        list(evaluate(Same(), corrupted.images(CONFIG.split), targets, {}, CONFIG))


class Pixels:
    """Raw pixels as features: cheap, and equal for equal images."""

    name, version = "efflite0", "pixels-1"

    def __call__(self, images: Iterator[np.ndarray]) -> np.ndarray:
        rows = [image[::2, ::2].ravel() / 64 for image in images]
        return np.array(rows, np.float32)


def restored_sets(folder: Path, restorer: Same, path: Path) -> Sets:
    corrupted, targets = ImageSet(folder / "corrupted"), Targets(ImageSet(folder / "clean"))
    records = [
        record
        for record, _ in evaluate(restorer, corrupted.images(CONFIG.split), targets, {}, CONFIG)
    ]
    write(path, records, metadata={}, extra_fields=RESTORED_FIELDS)
    return Sets(ImageSet(folder / "clean"), corrupted, ImageSet(path), "test")


def test_distances_below_their_least_count_are_absent_with_a_note(
    folder: Path, tmp_path: Path
) -> None:
    sets = restored_sets(folder, Same(), tmp_path / "restored")
    found = SetDistances(sets, Pixels(), tmp_path, 0).compare(
        damaged_rows(sets.corrupted, "test"), 200, "all"
    )
    assert found.figures == {}
    assert "200 images a side" in found.notes[0]


def test_distances_valid_at_their_count_come_with_floor_and_notes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remint.restorer_evaluation.distances.KID_LEAST", 8)
    sets = restored_sets(folder, Same(), tmp_path / "restored")
    rows = damaged_rows(sets.corrupted, "test")
    found = SetDistances(sets, Pixels(), tmp_path, 0).compare(rows, 8, "all")
    assert found.figures["feature_images"] == 8
    assert found.figures["kid_efflite0"] == found.figures["kid_input"]
    assert "kid_floor" in found.figures
    assert not [name for name in found.figures if name.startswith("fd")]
    assert any("no Frechet distance" in note for note in found.notes)
    monkeypatch.setattr("remint.restorer_evaluation.distances.FD_TREND", 8)
    trend = SetDistances(sets, Pixels(), tmp_path, 0).compare(rows, 8, "all")
    assert {"fd_efflite0", "fd_input", "fd_floor"} <= set(trend.figures)
    assert any("is a trend" in note for note in trend.notes)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    config = NetworkConfig("dncnn", 4, (1,), 1, 1, 3)
    torch.manual_seed(0)
    folder = tmp_path / "model"
    folder.mkdir()
    save_weights(folder, "fidelity", build_network(config, 1))
    card = {"network": dataclasses.asdict(config), "channels": 1, "default_interpolation": 0.0}
    save_card(folder, card)
    return folder


@pytest.fixture
def quiet_tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("RANK", "1")  # no run is opened for processes other than the first


def run_stage(
    folder: Path, model: Path, out: Path, config: EvaluateRestorerConfig = CONFIG
) -> tuple[Path, Path]:
    """Run the stage from its command line; return the report and the restored set."""
    values = dataclasses.asdict(config)
    values["features"] |= {"cache": str(out / "cache")}
    (out / "params.yaml").write_text(json.dumps({"evaluate_restorer": values}))
    report, restored = out / "report", out / "restored"
    paths = [model, folder / "clean", folder / "corrupted", report, restored]
    evaluate_restorer.main([*map(str, paths), "--params", str(out / "params.yaml")])
    return report, restored


def test_the_run_the_report_and_the_registry_call_a_model_by_one_fingerprint(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    report, _ = run_stage(folder, model, tmp_path)
    told = json.loads((report / "slices.json").read_text())["model"]["fingerprint"]
    client = mlflow.MlflowClient(runs.tracking_uri())
    found = client.search_runs([runs.experiment_id(client)], "tags.stage = 'evaluate_restorer'")
    example = pd.DataFrame({"image": [encode(np.zeros((8, 8, 1), np.uint8))]})
    registered = Registry("restorer").register(model, example, {})
    assert found[0].data.tags["data.restorer"] == told == registered.tags["fingerprint"]


@pytest.mark.usefixtures("quiet_tracking")
def test_the_stage_writes_the_whole_report_and_the_restored_set(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    report, restored = run_stage(folder, model, tmp_path)
    metrics = json.loads((report / "metrics.json").read_text())
    assert {"psnr", "psnr_input", "psnr_gain", "clean_psnr_capped40", "images"} <= set(metrics)
    assert not any(math.isnan(value) for value in metrics.values())
    slices = json.loads((report / "slices.json").read_text())
    assert len(slices["slices"]) == len(pd.read_csv(report / "slices.csv")) == 4
    assert any("Inception FID" in note for note in slices["notes"])
    frame = pd.read_parquet(report / "per_image.parquet")
    assert list(frame["id"]) == list(ImageSet(restored).frame()["id"])
    entries = json.loads((report / "gallery.json").read_text())
    assert [entry["group"] for entry in entries] == sorted(
        ["best", "median", "worst", "random"] * 2,
        key=["best", "median", "worst", "random"].index,
    )
    for name in ("input", "output", "target", "error", "classical"):
        with Image.open(report / "gallery" / entries[0][name]) as picture:
            assert picture.size == (24, 24)


@pytest.mark.usefixtures("quiet_tracking")
def test_tiles_are_shown_as_the_whole_picture_and_tuning_says_how_far_it_is(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, sets = data.coins()[:72, :48, None], tmp_path / "sets"
    tiles = [
        Record(pixel_id(tile), tile, "test", f"a page.png{where}", 0)
        for where, tile in fit(photo, "tiles", 24, 0)
    ]
    metadata = {"class_names": ["a"], "channels": 1}
    write(sets / "clean", [*clean_records(3), *tiles], metadata=metadata)
    records = corrupted_records(ImageSet(sets / "clean"))
    write(sets / "corrupted", records, metadata=metadata, extra_fields=FIELDS)
    report, _ = run_stage(sets, model, tmp_path)
    *_, entry = json.loads((report / "gallery.json").read_text())
    assert (entry["group"], entry["id"], entry["tiles"]) == ("pages", "a page.png", 6)
    with Image.open(report / "gallery" / entry["target"]) as picture:
        assert np.array_equal(np.array(picture), photo[:, :, 0])
    assert "tune classical methods, by slice: 4 of 4" in capsys.readouterr().out


@pytest.mark.usefixtures("quiet_tracking")
def test_a_map_of_doubt_is_measured_slice_by_slice_and_drawn(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    head = DoubtHead(1)
    head.factor.fill_(5.0)
    save_weights(model, doubt.SECTION, head)
    card = json.loads((model / "restorer.json").read_text())
    save_card(model, {**card, "doubt": {"alpha": 0.1, "interpolation": 0.0}})
    report, _ = run_stage(folder, model, tmp_path)
    slices = json.loads((report / "slices.json").read_text())
    assert slices["doubt"].startswith("on average over pictures damaged like those")
    for row in [*slices["slices"], json.loads((report / "metrics.json").read_text())]:
        assert 0 <= row["doubt_covered"] <= 1 and 15 < row["doubt_levels"] < 30
    entry = json.loads((report / "gallery.json").read_text())[0]
    assert (report / "gallery" / entry["doubt"]).exists()
    (tmp_path / "half").mkdir()
    half = dataclasses.replace(CONFIG, ensemble=True)
    report, _ = run_stage(folder, model, tmp_path / "half", half)
    assert "knows nothing of the self-ensemble" in (report / "slices.json").read_text()


@pytest.mark.usefixtures("quiet_tracking")
def test_the_protocol_prints_every_image_and_the_mean(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(data.camera()[:64, :64]).save(tmp_path / "images" / "01.png")
    options = ["--protocol", "gaussian-denoising", "--images", str(tmp_path / "images")]
    out = tmp_path / "out"
    evaluate_restorer.main([*options, "--sigma", "25", str(model), str(out)])
    printed = capsys.readouterr().out
    assert "01.png" in printed
    assert "mean" in printed
    found = json.loads((out / "protocol.json").read_text())
    assert found["psnr"] == found["images"][0]["psnr"] and not found["self_ensemble"]
    evaluate_restorer.main([*options, "--sigma", "25", "--ensemble", str(model), str(out)])
    assert "x8 self-ensemble" in capsys.readouterr().out
    assert json.loads((out / "protocol.json").read_text())["self_ensemble"]


@pytest.mark.usefixtures("quiet_tracking")
def test_a_self_ensemble_is_named_in_every_report(
    folder: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, _ = run_stage(folder, model, tmp_path, dataclasses.replace(CONFIG, ensemble=True))
    metrics = json.loads((report / "metrics.json").read_text())
    slices = json.loads((report / "slices.json").read_text())
    assert metrics["self_ensemble"] == 8 and "self-ensemble" in slices["notes"][0]
    assert "by x8 self-ensemble" in capsys.readouterr().out
    said = verdict(metrics, slices["slices"]).sentences[0]
    assert said == "All figures are of the x8 self-ensemble, which takes 8 times as long."


def test_missing_paths_and_options_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["a", "b"], "needed 5"),
        (["a", "b", "--protocol", "gaussian-denoising"], "--sigma"),
    ):
        with pytest.raises(SystemExit):
            evaluate_restorer.main(arguments)
        assert words in capsys.readouterr().err
