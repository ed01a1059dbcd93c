"""Claims about the map of doubt: taught, calibrated, kept, drawn and refused."""

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from remint.core.fingerprint import model_fingerprint
from remint.restorer import calibration, doubt
from remint.restorer.calibration import FACTORS, HeldOutPair, HeldOutPairs, calibrate, missed_share
from remint.restorer.doubt import Doubt, DoubtHead, bounds, errors_of, most_doubtful
from remint.restorer.doubt_training import DoubtConfig, pinball_loss, train_doubt
from remint.restorer.restorer import Restorer, save_card, save_weights
from remint.restorer_evaluation.coverage import coverage_of
from remint.training.health import HealthConfig
from remint.training.objective import LoopConfig
from tasks.commands import doubt_files
from tests.restoring import restore, scene, small_model

CPU = torch.device("cpu")
LOOP = LoopConfig(1, 1.0, 200, 10**6, 10**6, 10**6, 1, HealthConfig(10.0, 1e6, 0.9, None, 1, 0.5))


class Identity(torch.nn.Module):
    multiple = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def leaving_all(channels: int = 1) -> Restorer:
    """Return a restorer that changes nothing, so that its error is the damage."""
    card = {"channels": channels, "network": {"name": "dncnn"}, "default_interpolation": 0.0}
    return Restorer(Identity(), card, CPU)


def half_noisy(number: int) -> HeldOutPair:
    """Return a picture damaged on its bright right half alone: doubt that can be seen."""
    rng = np.random.default_rng(number)
    clean = np.full((16, 32, 1), 60, np.uint8)
    clean[:, 16:] = 180
    noise = rng.normal(0, 30, (16, 16, 1)) * (1 + number % 3)
    damaged = clean.copy()
    damaged[:, 16:] = np.clip(180 + noise, 0, 255).astype(np.uint8)
    return HeldOutPair(f"picture {number}", damaged, clean)


class Toy(HeldOutPairs):
    def __init__(self, numbers: range) -> None:
        self.numbers = numbers
        self.rows = [{"id": str(number)} for number in numbers]
        self.clean_rows = {row["id"]: {"source": f"picture {row['id']}"} for row in self.rows}

    def __iter__(self) -> Iterator[HeldOutPair]:
        return map(half_noisy, self.numbers)


class ToySource:
    """Numbered pairs for the loop."""

    seed = 0
    config = type("C", (), {"batch": 8, "workers": 0})

    def __getitem__(self, counters: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        pairs = [half_noisy(1000 + int(k)) for k in counters]
        planes = [
            torch.from_numpy(np.stack([getattr(p, name) for p in pairs])).permute(0, 3, 1, 2)
            for name in ("damaged", "clean")
        ]
        damaged, clean = (plane.float() / 127.5 - 1 for plane in planes)
        return damaged, clean


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Doubt:
    """Return a head taught on the toy and calibrated on 30 of its pictures."""
    restorer = leaving_all()
    given = DoubtConfig(1600, 0.1), restorer, ToySource(), LOOP, tmp_path_factory.mktemp("c"), {}
    *_, last = train_doubt(*given)  # type: ignore[arg-type]
    assert last.progress.finished
    section = calibrate(last.doubt, restorer, Toy(range(30)), 0.1)
    assert section["pictures"] == 30 and section["factor"] == float(last.doubt.head.factor)
    return last.doubt


def covered(map_of_doubt: Doubt, numbers: range) -> dict[str, float]:
    rows = [coverage_of(map_of_doubt, p.damaged, p.damaged, p.clean) for p in Toy(numbers)]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def test_a_taught_head_knows_where_errors_are_and_keeps_the_promise(taught: Doubt) -> None:
    pair = half_noisy(77)
    levels = taught.map_of(pair.damaged, pair.damaged)
    assert levels[:, 20:].mean() > 10 * levels[:, :12].mean()
    figures = covered(taught, range(100, 160))
    assert figures["doubt_covered_quarter"] >= 0.87 and figures["doubt_covered"] > 0.9


def test_a_taught_head_is_narrower_than_one_width_for_all_pixels(taught: Doubt) -> None:
    constant = Doubt(DoubtHead(1), 1, CPU)  # as it is drawn, its ending is constant
    calibrate(constant, leaving_all(), Toy(range(30)), 0.1)
    ours, theirs = (covered(one, range(100, 160)) for one in (taught, constant))
    assert ours["doubt_levels"] < 0.75 * theirs["doubt_levels"]


def test_the_objective_is_least_at_the_quantile() -> None:
    error = torch.linspace(0, 1, 1001).view(1, 1, 1, -1)
    tried = [pinball_loss(torch.full_like(error, u), error, 0.9) for u in (0.8, 0.9, 0.95)]
    assert tried[1] < tried[0] and tried[1] < tried[2]


def test_a_pixel_s_share_is_missed_just_where_its_drawn_bound_is_too_small() -> None:
    rng = np.random.default_rng(2)
    scales = rng.gamma(2.0, 3.0, (12, 12)).astype(np.float32)
    errors = rng.integers(0, 40, (12, 12)).astype(np.uint8)
    kept = most_doubtful(scales)
    shares = missed_share(scales, errors)
    for number in (300, 700, 900):
        drawn = (errors > bounds(scales, FACTORS[number]))[kept].mean()
        assert shares[number] == pytest.approx(drawn, abs=0.03)
    assert (np.diff(shares) <= 0).all() and shares[-1] == 0


def test_a_head_that_finds_all_pixels_alike_answers_for_all_of_them() -> None:
    assert most_doubtful(np.ones((4, 4), np.float32)).all()
    assert most_doubtful(np.arange(16, dtype=np.float32).reshape(4, 4)).sum() == 4


def test_an_error_is_that_of_a_pixel_s_worst_channel() -> None:
    clean = np.full((1, 2, 3), 100, np.uint8)
    off = clean + np.array([0, 7, 2], np.uint8)
    off[0, 1] = (90, 100, 101)
    assert errors_of(off, clean).tolist() == [[7, 10]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strips_give_the_map_of_the_whole_picture(
    monkeypatch: pytest.MonkeyPatch, dtype: type
) -> None:
    torch.manual_seed(3)
    head = DoubtHead(3)
    torch.nn.init.normal_(head.ending.weight)
    mapping = Doubt(head, 3, CPU)
    pictures = [(scene(37, 29) * (1 + k)).astype(dtype) for k in range(2)]
    whole = mapping.scales(*pictures)
    monkeypatch.setattr(doubt, "STRIP_PIXELS", 29 * 5)
    np.testing.assert_allclose(mapping.scales(*pictures), whole, rtol=1e-4)
    assert whole.shape == (37, 29) and whole.std() > 0


def test_too_few_pictures_are_refused_with_the_number_needed() -> None:
    section = calibrate(Doubt(DoubtHead(1), 1, CPU), leaving_all(), Toy(range(8)), 0.1)
    assert section == {
        "refused": "the val split has pairs of 8 pictures, and a promise for 90% needs 9 or more"
    }


def test_tiles_and_versions_of_one_picture_are_one_case() -> None:
    pairs = Toy(range(12))
    pairs.clean_rows = {str(n): {"source": f"a.png#xywh={n},0,8,8"} for n in range(12)}
    assert pairs.pictures == 1 and calibration.too_few(pairs, 0.1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a small colour model with a head whose lambda is 2."""
    folder = small_model(tmp_path / "model")
    torch.manual_seed(1)
    head = DoubtHead(3)
    torch.nn.init.normal_(head.ending.weight, std=0.3)
    head.factor.fill_(2.0)
    save_weights(folder, doubt.SECTION, head)
    card = json.loads((folder / "restorer.json").read_text())
    save_card(folder, {**card, "doubt": {"alpha": 0.1, "interpolation": 0.0, "pictures": 30}})
    return folder


def test_a_head_comes_back_from_its_folder_with_its_lambda(model: Path) -> None:
    restorer = Restorer.load(model, device="cpu")
    assert float(Doubt.load(model, restorer).head.factor) == 2.0
    before = model_fingerprint(model)
    head = DoubtHead(3)
    head.load_state_dict(Doubt.load(model, restorer).head.state_dict())
    head.factor.fill_(3.0)
    save_weights(model, doubt.SECTION, head)
    assert model_fingerprint(model) != before


def test_a_damaged_head_is_refused(model: Path) -> None:
    (model / doubt.WEIGHTS).write_bytes(b"x")
    with pytest.raises(ValueError, match="no map of doubt for this model"):
        Doubt.load(model, Restorer.load(model, device="cpu"))


def test_remint_restore_writes_the_map_beside_the_picture_and_says_what_it_promises(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    assert restore(model, tmp_path / "a.png", tmp_path / "b.png", "--doubt") == 0
    with Image.open(tmp_path / "b.png.doubt.png") as image, Image.open(tmp_path / "b.png") as b:
        assert image.mode == "L" and image.size == (32, 24)
        drawn, restored = np.array(image), np.array(b)
    mapping = Doubt.load(model, Restorer.load(model, device="cpu"))
    np.testing.assert_allclose(drawn, mapping.map_of(scene(), restored), atol=1)
    assert "at least 90% of the most doubtful quarter" in capsys.readouterr().out
    assert restore(model, tmp_path / "a.png", tmp_path / "b.png", "--doubt") == 1
    assert "b.png exists already" in capsys.readouterr().err


def test_16_bits_and_pages_have_maps_too(model: Path, tmp_path: Path) -> None:
    pages = [Image.fromarray(scene(20 + 4 * page, 30)) for page in range(2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert restore(model, tmp_path / "a.tif", tmp_path / "out", "--doubt") == 0
    with Image.open(tmp_path / "out" / "a.tif.doubt.png") as image:
        assert image.size == (30, 20 + 24)
    Image.fromarray(scene()[:, :, 0].astype(np.uint16) * 257).save(tmp_path / "d.png")
    assert restore(model, tmp_path / "d.png", tmp_path / "out", "--doubt") == 0
    with Image.open(tmp_path / "out" / "d.png.doubt.png") as image:
        assert image.size == (32, 24) and image.mode == "L"


def test_without_its_map_no_picture_is_written_either(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> np.ndarray:
        raise OSError(errno.ENOSPC, "No space left on device")

    Image.fromarray(scene()).save(tmp_path / "a.png")
    monkeypatch.setattr(doubt_files, "_stacked", full)
    assert restore(model, tmp_path / "a.png", tmp_path / "out/a.png", "--doubt") == 1
    assert "No space left" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_no_map_takes_the_place_of_another_picture(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a.png.doubt.png"):
        Image.fromarray(scene()).save(tmp_path / "in" / name)
    assert restore(model, tmp_path / "in", tmp_path / "out", "--doubt", "--force") == 1
    assert "not restored: a.png: its map of doubt would lie where" in capsys.readouterr().err
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["a.png.doubt.png", "a.png.doubt.png.doubt.png"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--ensemble"], "--doubt and --ensemble do not go together"),
        (["--mask", "m.png"], "--doubt and --mask do not go together"),
    ],
)
def test_what_the_map_knows_nothing_of_is_refused(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    sentence: str,
) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    assert restore(model, tmp_path / "a.png", tmp_path / "b.png", "--doubt", *options) == 1
    assert sentence in capsys.readouterr().err and not (tmp_path / "b.png").exists()


def test_another_blend_of_weights_is_refused(model: Path) -> None:
    restorer = Restorer.load(model, device="cpu")
    restorer.interpolation = 0.5
    with pytest.raises(ValueError, match=r"made for interpolation 0 and 0\.5 was asked for"):
        Doubt.load(model, restorer)


@pytest.mark.parametrize("section", [{}, {"doubt": {"refused": "the val split is small"}}])
def test_a_model_without_a_head_says_so_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: dict[str, object]
) -> None:
    folder = small_model(tmp_path / "model")
    save_card(folder, {**json.loads((folder / "restorer.json").read_text()), **section})
    Image.fromarray(scene()).save(tmp_path / "a.png")
    assert restore(folder, tmp_path / "a.png", tmp_path / "b.png", "--doubt") == 1
    told = capsys.readouterr().err
    assert "this model has no map of doubt" in told
    assert ("the val split is small" in told) == bool(section)
