"""Stage corrupt: the clean set in, fixed pairs of damaged images out.

python -m tasks.corrupt data/clean data/corrupted
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from remint.core.stores import Place
from remint.core.workers import ordered_map
from remint.corruptions.pairs import (
    FIELDS,
    CorruptConfig,
    corrupted_records,
    planned_parts,
    set_metadata,
    work_of,
)
from remint.images.imagerows import set_schema
from remint.images.imageset import ImageSet
from remint.images.parts import PartMaker, merge
from remint.images.stored import made_alone, resumed_folder
from tasks.stage import params, stage
from tasks.stage.console import progress, say
from tasks.tracking import runs

ROW_BYTES = 128  # of a planned row on its way to a worker


def main(argv: Sequence[str] | None = None) -> None:
    """Read the paths and the corrupt section, and write the corrupted set.

    An interrupted run of the same work is gone on with after the parts that it made.
    """
    parser = stage.parser(
        "corrupt", __doc__, clean="the clean image set", corrupted="folder for the corrupted set"
    )
    given = parser.parse_args(argv)
    config = params.load("corrupt", CorruptConfig, given.params)
    clean = ImageSet(given.clean.absolute())
    with runs.stage_run("corrupt", config, {"clean": clean.fingerprint}) as run:
        counts = make_corrupted(clean, config, given.corrupted)
        run.metrics({f"rows_{name}": float(count) for name, count in sorted(counts.items())})
    rows = counts.total()
    say(f"corrupt: {rows:,} damaged images of {len(clean):,} clean ones in {given.corrupted}")


def make_corrupted(clean: ImageSet, config: CorruptConfig, target: Place) -> Counter[str]:
    """Make the corrupted set part by part; return its rows by split.

    Raises ValueError when another process makes this set.
    """
    parts = list(planned_parts(clean, config)) or [()]
    with made_alone(target):
        folder = resumed_folder(target, work_of(clean, config))
        schema = set_schema(set_metadata(clean, config), FIELDS)
        make = PartMaker(folder, schema, partial(corrupted_records, clean, config))
        made = ordered_map(make, enumerate(parts), config.workers, 1, _weight, config.engine)
        return merge(folder, target, list(progress(made, len(parts), "corrupt: parts")))


def _weight(job: tuple[int, tuple[object, ...]]) -> int:
    return ROW_BYTES * len(job[1])


if __name__ == "__main__":
    stage.entry(main)
