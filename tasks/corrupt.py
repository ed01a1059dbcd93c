"""Stage corrupt: the clean set in, fixed pairs of damaged images out.

python -m tasks.corrupt data/clean data/corrupted
"""

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
    parser = stage.parser(
        "corrupt", __doc__, clean="the clean image set", corrupted="folder for the corrupted set"
    )
    given = parser.parse_args(argv)
    config, clean = params.load("corrupt", CorruptConfig, given.params), ImageSet(given.clean)
    with runs.stage_run("corrupt", config, {"clean": clean.fingerprint}) as run:
        counts: Counter[str] = Counter()
        records = corrupted_records(clean, config, config.workers)
        shown = progress(_counted(records, counts), _total(clean, config), "corrupt")
        metadata = set_metadata(clean, config)
        rows = write(given.corrupted, shown, metadata=metadata, extra_fields=FIELDS)
        run.metrics({f"rows_{name}": float(count) for name, count in sorted(counts.items())})
    say(f"corrupt: {rows:,} damaged images of {len(clean):,} clean ones in {given.corrupted}")


def _total(clean: ImageSet, config: CorruptConfig) -> int:
    return sum(1 for _ in planned_rows(clean, config))


def _counted(records: Iterable[Record], counts: Counter[str]) -> Iterator[Record]:
    for record in records:
        counts[record.split] += 1
        yield record


if __name__ == "__main__":
    stage.entry(main)
