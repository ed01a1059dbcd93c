"""Stage corrupt: the clean set in, fixed pairs of damaged images out.

python -m tasks.corrupt data/clean data/corrupted
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from remint.corruptions.pairs import (
    FIELDS,
    CorruptConfig,
    corrupted_records,
    planned_rows,
    set_metadata,
)
from remint.images.imageset import ImageSet, Record, write
from tasks.stage import params, stage
from tasks.stage.console import progress, say
from tasks.tracking import runs


def main(argv: Sequence[str] | None = None) -> None:
    """Read the paths and the corrupt section, and write the corrupted set."""
    arguments = _arguments(argv)
    config = params.load("corrupt", CorruptConfig, arguments.params)
    clean = ImageSet(arguments.clean)
    with runs.stage_run("corrupt", config, {"clean": clean.fingerprint}) as run:
        counts: Counter[str] = Counter()
        records = corrupted_records(clean, config, config.workers)
        shown = progress(_counted(records, counts), _total(clean, config), "corrupt")
        rows = write(
            arguments.corrupted, shown, metadata=set_metadata(clean, config), extra_fields=FIELDS
        )
        run.metrics({f"rows_{name}": float(count) for name, count in sorted(counts.items())})
    say(f"corrupt: {rows:,} damaged images of {len(clean):,} clean ones in {arguments.corrupted}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tasks.corrupt", description=__doc__)
    parser.add_argument("clean", help="folder of the clean image set")
    parser.add_argument("corrupted", help="folder to write the corrupted set to")
    parser.add_argument("--params", default="params.yaml", help="file with the corrupt section")
    return parser.parse_args(argv)


def _total(clean: ImageSet, config: CorruptConfig) -> int:
    return sum(1 for _ in planned_rows(clean, config))


def _counted(records: Iterable[Record], counts: Counter[str]) -> Iterator[Record]:
    for record in records:
        counts[record.split] += 1
        yield record


if __name__ == "__main__":
    stage.entry(main)
