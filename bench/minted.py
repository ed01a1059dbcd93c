"""What benches of minting share: a part of a known image set, and what minted images teach."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.processes import run_stage
from remint.images import imageset
from remint.images.imageset import ImageSet, Record


def chosen(whole: ImageSet, path: Path, wanted: Callable[[Mapping[Any, Any], int], bool]) -> None:
    """Write the rows that are wanted, of the classes that are left.

    wanted: takes a row, and how many of its split and class came before.
    """
    seen: Counter[tuple[str, int]] = Counter()
    rows = whole.frame().to_dict("records")
    left = sorted({row["label"] for row in rows if wanted(row, 0)})

    def records() -> Iterator[Record]:
        for row, image in whole.images():
            kind = row["split"], row["label"]
            if wanted(row, seen[kind]):
                label = left.index(row["label"])
                yield Record(row["id"], image, row["split"], row["source"], label=label)
            seen[kind] += 1

    names, channels = whole.class_names, whole.metadata["channels"]
    about = {"class_names": [names[k] for k in left], "channels": channels}
    imageset.write(path, records(), metadata=about)


def minted_and_used(params: Path, model: Path, clean: Path, folder: Path) -> Path:
    """Mint a generator's images, ask what they teach, and return that report's folder."""
    synthetic, withheld, report = folder / "synthetic", folder / "withheld", folder / "use"
    export = (model, clean, synthetic, folder / "export")
    run_stage("export_synthetic", params, *export, "--withheld", withheld)
    run_stage("evaluate_synthetic", params, clean, synthetic, report, "--withheld", withheld)
    return report
