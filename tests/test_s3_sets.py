"""Image sets in an S3 store: what a local folder does, at an address there.

moto's server stands in for a store: it speaks the protocol, and says nothing of a real store's
speed.
"""

import json
import os
import pickle
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from PIL import Image
from ruamel.yaml import YAML

from remint.core.stores import StoreError, StorePath, located
from remint.images.decoded import decoded
from remint.images.imagerows import set_schema
from remint.images.imageset import ImageSet, ImageSetError, Record, pixel_id, resplit, write
from remint.images.parts import PartMaker, merge
from remint.images.stored import resumed_folder
from tasks import corrupt, ingest
from tests.processes import LAST_SECONDS, Spawner
from tests.servers import Server, free_port
from tests.test_corrupt_stage import SECTION
from tests.test_ingest_stage import PARAMS

KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SMALL = 10_000  # bytes of a shard, so that a test's set has several
DYING = """
import os, sys
from tests.test_s3_sets import SMALL, records, write

def dying():
    yield from records(600, seed=1)
    os.kill(os.getpid(), 9)

write(sys.argv[1], dying(), metadata={}, shard_bytes=SMALL)
"""


def records(count: int, seed: int = 5) -> Iterator[Record]:
    rng = np.random.default_rng(seed)
    for row in range(count):
        image = rng.integers(0, 256, (6, 5, 1), dtype=np.uint8)
        split = ("train", "val", "test")[row % 3]
        yield Record(pixel_id(image), image, split, f"{row}.png", label=row % 4 or None)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server with a bucket."""
    get_reusable_executor().shutdown(wait=True)  # workers keep the environment they began with
    spawn, port = Spawner(), free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = tmp_path_factory.mktemp("moto") / "s3.log"
    try:
        Server(command, f"{address}/moto-api/", log, spawn).start()
        asked(f"{address}/bucket", "PUT")
        yield address
    finally:
        spawn.end()


def asked(address: str, method: str, body: bytes | None = None) -> None:
    kind = {"Content-Type": "text/plain"}
    request = urllib.request.Request(address, body, kind, method=method)
    urllib.request.urlopen(request, timeout=LAST_SECONDS).close()


@pytest.fixture
def there(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a set that is not there yet."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/{tmp_path.name}/set"


def objects(address: str) -> list[str]:
    """Return the names of all objects of a set, its own folder left out."""
    from pyarrow.fs import FileSelector

    from remint.core.stores import _filesystem

    place = located(address)
    assert isinstance(place, StorePath)
    found = _filesystem().get_file_info(FileSelector(place.key, recursive=True))
    return sorted(info.base_name for info in found if info.is_file)


def test_what_is_written_comes_back_as_from_a_local_set(there: str, tmp_path: Path) -> None:
    for place in (there, tmp_path / "set"):
        write(place, records(900), metadata={"class_names": ["a"]}, shard_bytes=SMALL)
    far, near = ImageSet(there), ImageSet(tmp_path / "set")
    assert far.fingerprint == near.fingerprint and far.metadata == near.metadata
    assert far.frame().equals(near.frame()) and len(far) == 900
    for (row, image), (near_row, near_image) in zip(
        far.images("val"), near.images("val"), strict=True
    ):
        assert row == near_row and np.array_equal(image, near_image)
    assert np.array_equal(far.at(899)[1], near.at(899)[1])
    assert objects(there) == ["_tally.json"] * 2 + [f"part-{n:05d}.parquet" for n in range(4)]


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_set_reads_in_a_worker_process(there: str, method: str) -> None:
    write(there, records(30), metadata={})
    found = ImageSet(there)
    found.at(3)
    assert np.array_equal(pickle.loads(pickle.dumps(found)).at(3)[1], found.at(3)[1])
    with ProcessPoolExecutor(1, get_context(method)) as pool:
        assert np.array_equal(pool.submit(found.at, 7).result(120)[1], found.at(7)[1])


def test_a_failing_write_leaves_the_old_set_and_no_litter(there: str) -> None:
    write(there, records(5), metadata={})

    def failing() -> Iterator[Record]:
        yield from records(600, seed=1)
        assert len(ImageSet(there)) == 5  # while the new one is being written
        raise RuntimeError("the disk is on fire")

    before = objects(there)
    with pytest.raises(RuntimeError):
        write(there, failing(), metadata={}, shard_bytes=SMALL)
    assert len(ImageSet(there)) == 5 and objects(there) == before


def test_a_killed_write_leaves_the_old_set_and_goes_with_the_next(there: str, root: Path) -> None:
    kill = partial(subprocess.run, [sys.executable, "-c", DYING, there], cwd=root)
    assert kill().returncode == -9
    with pytest.raises(ImageSetError, match="not an image set"):
        ImageSet(there)
    write(there, records(5), metadata={})
    assert kill().returncode == -9
    assert len(ImageSet(there)) == 5 and len(objects(there)) > 3
    write(there, records(7), metadata={})
    assert len(ImageSet(there)) == 7 and len(objects(there)) == 3


def test_of_two_writes_at_once_one_is_refused_and_one_holds(there: str) -> None:
    def overtaken() -> Iterator[Record]:
        yield from records(600, seed=1)
        write(there, records(5), metadata={})

    with pytest.raises(StoreError, match="another process wrote there"):
        write(there, overtaken(), metadata={}, shard_bytes=SMALL)
    assert len(ImageSet(there)) == 5


def test_what_is_settled_before_a_set_appears_is_in_it(there: str) -> None:
    splits = ["val"] * 600
    moved = dict(enumerate(splits))
    write(there, records(600), metadata={}, settle=lambda folder: resplit(folder, moved))
    assert list(ImageSet(there).frame()["split"]) == splits


def test_a_copied_folder_is_a_set_and_is_replaced_whole(there: str, tmp_path: Path) -> None:
    write(tmp_path / "set", records(600), metadata={}, shard_bytes=SMALL)
    from remint.core.stores import _filesystem

    for file in (tmp_path / "set").iterdir():
        with _filesystem().open_output_stream(f"{there[5:]}/{file.name}") as out:
            out.write(file.read_bytes())
    assert ImageSet(there).fingerprint == ImageSet(tmp_path / "set").fingerprint
    write(there, records(5), metadata={})
    assert len(ImageSet(there)) == 5 and len(objects(there)) == 3


def test_a_set_made_in_parts_goes_on_where_it_was_interrupted(there: str, tmp_path: Path) -> None:
    schema = set_schema({}, [])
    merged = []
    for place in (located(there), tmp_path / "set"):
        made: list[int] = []

        def drawn(seed: int, made: list[int] = made) -> Iterator[Record]:
            yield from records(20, seed)
            if seed == 1 and not made.count(1):
                made.append(1)
                raise KeyboardInterrupt
            made.append(seed)

        for attempt in range(2):
            folder = resumed_folder(place, "0123456789abcdef")
            make = PartMaker(folder, schema, drawn)
            counts = []
            try:
                counts = [make((seed, seed)) for seed in range(3)]
            except KeyboardInterrupt:
                assert attempt == 0
        merge(folder, place, counts)
        assert made == [0, 1, 1, 2]
        merged.append(ImageSet(place).fingerprint)
    assert merged[0] == merged[1] and len(objects(there)) == 5


def test_decoded_images_are_kept_in_the_users_cache(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    write(there, records(30), metadata={})
    kept = decoded(ImageSet(there), "val")
    assert kept is not None and np.array_equal(kept[0], ImageSet(there).at(1)[1])
    assert (tmp_path / "home/remint/bucket").is_dir()


@pytest.mark.parametrize("use", [ImageSet, partial(write, records=[], metadata={})])
def test_a_bucket_that_is_missing_gets_one_sentence(there: str, use) -> None:
    with pytest.raises(StoreError, match=r"no bucket elsewhere at 127\.0\.0\.1:\d+; make it"):
        use("s3://elsewhere/set")


@pytest.mark.parametrize("use", [ImageSet, partial(write, records=[], metadata={})])
def test_a_store_that_is_not_reached_gets_one_sentence(
    there: str, use, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"at 127\.0\.0\.1:9 is not to be reached") as told:
        use(there)
    assert isinstance(told.value.__cause__, ConnectionError)


@pytest.mark.parametrize("use", [ImageSet, partial(write, records=[], metadata={})])
def test_keys_without_the_right_get_one_sentence(there: str, use) -> None:
    write(there, records(5), metadata={})
    found = ImageSet(there)
    asked(f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth", "POST", b"0")
    try:
        for act in (lambda: use(there), lambda: found.at(0), lambda: found.fingerprint):
            with pytest.raises(StoreError, match="refuses these keys"):
                act()
    finally:
        asked(f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth", "POST", b"inf")


def test_what_is_no_set_gets_one_sentence(there: str) -> None:
    with pytest.raises(ImageSetError, match=f"no image set at {there}"):
        ImageSet(there)
    for address in ("s3://bucket", "s3://bucket/", "s3:///set", "s3://bucket//set"):
        with pytest.raises(StoreError, match="names no folder"):
            ImageSet(address)


def test_a_set_whose_shards_have_gone_is_told_as_broken(there: str) -> None:
    write(there, records(5), metadata={})
    found = ImageSet(there)
    write(there, records(6), metadata={})
    with pytest.raises(ImageSetError, match="is broken"):
        found.at(0)


def test_nothing_of_s3_is_loaded_for_a_local_set(tmp_path: Path, root: Path) -> None:
    script = """
import sys
from tests.test_s3_sets import ImageSet, records, write
write(sys.argv[1], records(5), metadata={})
list(ImageSet(sys.argv[1]).images())
from remint.core.stores import _connected
assert _connected.cache_info().currsize == 0
assert not {"boto3", "botocore", "s3fs", "fsspec", "aiobotocore"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "set"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of pictures and a params.yaml beside it."""
    for number in range(24):
        seed, twin = divmod(number, 2)  # near-duplicates, which are settled at the end
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 10), dtype=np.uint8) ^ twin
        path = tmp_path / "photos" / "ab"[seed % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    sections = {**YAML(typ="safe").load(PARAMS), "corrupt": {**SECTION, "workers": 2}}
    YAML().dump(sections, tmp_path / "params.yaml")
    return tmp_path / "photos"


def test_stages_write_to_a_store_what_they_write_here(there: str, photos: Path) -> None:
    home = photos.parent
    params = ["--params", str(home / "params.yaml")]
    for place in (there.removesuffix("/set"), str(home)):
        clean, corrupted = f"{place}/clean", f"{place}/corrupted"
        ingest.main([str(photos), clean, str(home / "report"), *params])
        corrupt.main([clean, corrupted, *params])
    for name in ("clean", "corrupted"):
        far, near = ImageSet(there.removesuffix("set") + name), ImageSet(home / name)
        assert far.fingerprint == near.fingerprint and len(far) > 0
        assert far.frame().equals(near.frame())
    assert json.loads((home / "report/metrics.json").read_text())["near_duplicates_moved"] > 0


def test_parts_that_other_machines_make_lie_in_the_store_until_the_set_does(
    there: str, photos: Path
) -> None:
    from distributed import LocalCluster

    home, bad = photos.parent, photos / "a" / "bad.png"
    params = ["--params", str(home / "params.yaml")]
    bad.touch()
    with LocalCluster(1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        sections = YAML(typ="safe").load(PARAMS)
        sections["ingest"] |= {"engine": cluster.scheduler_address, "max_bad_share": 0.0}
        YAML().dump(sections, home / "params.yaml")
        with pytest.raises(ValueError, match=r"bad\.png is empty"):
            ingest.main([str(photos), there, str(home / "report"), *params])
        assert len(objects(f"{there}.items")) == 4 and not objects(there)
        bad.unlink()
        ingest.main([str(photos), there, str(home / "report"), *params])
    assert len(ImageSet(there)) == 24 and not objects(f"{there}.items")


def test_a_store_is_refused_for_what_is_no_set(
    there: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tasks import evaluate_restorer  # brings torch, which the processes above need not

    for main, paths in (
        (ingest.main, [there, "clean", "report"]),
        (ingest.main, ["photos", "clean", there]),
        (evaluate_restorer.main, ["model", there, there, there, there]),
    ):
        with pytest.raises(SystemExit):
            main(paths)
        assert "lies in a store, where only image sets" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        corrupt.main(["clean", "s3://bucket"])
    assert "s3://bucket names no folder" in capsys.readouterr().err
