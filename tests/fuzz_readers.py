"""Feed a reader bytes that atheris invents: `python tests/fuzz_readers.py params|set|table ...`.

What follows are options of libFuzzer, such as -runs=1000 or a folder with inputs to begin with.
A reader may refuse its input with a ValueError; whatever else it raises ends the run with status 77
and leaves the input in a file crash-*.
"""

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tasks.stage.params", "remint.ingest", "remint.images"]):
    from remint.corruptions.config import CorruptConfig
    from remint.images.imageset import COUNTS_FILE, ImageSet
    from remint.ingest.tables import TableConfig, table_source
    from tasks.stage import params

TABLE = TableConfig("images.csv", "file", "kind", "patient", "part")


def read_params(folder: Path, data: bytes) -> None:
    """Read bytes as params.yaml."""
    (folder / "params.yaml").write_bytes(data)
    params.load("corrupt", CorruptConfig, folder / "params.yaml")


def read_set(folder: Path, data: bytes) -> None:
    """Read bytes as the only shard of an image set of three rows."""
    (folder / "part-00000.parquet").write_bytes(data)
    (folder / COUNTS_FILE).write_text('{"shards": 1, "rows": 3}')
    found = ImageSet(folder)
    found.frame()
    list(found.images())


def read_table(folder: Path, data: bytes) -> None:
    """Read bytes as a table of images."""
    (folder / "images.csv").write_bytes(data)
    list(table_source(folder, TABLE).items())


READERS: dict[str, Callable[[Path, bytes], None]] = {
    "params": read_params,
    "set": read_set,
    "table": read_table,
}


def main() -> None:
    """Fuzz the reader named first."""
    reader = READERS[sys.argv.pop(1)]
    with tempfile.TemporaryDirectory() as scratch:

        def once(data: bytes) -> None:
            with suppress(ValueError):
                reader(Path(scratch), data)

        atheris.Setup(sys.argv, once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
