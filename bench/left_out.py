"""How well a map of doubt keeps its promise on pictures that did not calibrate it.

`python -m bench.left_out MODEL CLEAN CORRUPTED`, with few pictures held out: each picture of the
val split is left out in turn, lambda is chosen by the others, and what the map then covers of the
most doubtful quarter of that picture's pixels is printed (its damaged versions and tiles together).
"""

import argparse
from pathlib import Path

import numpy as np

from remint.images.imageset import ImageSet
from remint.metrics.conformal import controlled
from remint.restorer.calibration import FACTORS, HeldOutPairs, missed_shares
from remint.restorer.doubt import Doubt
from remint.restorer.restorer import Restorer


def main() -> None:
    """Leave each picture out in turn; see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "clean", "corrupted"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    restorer = Restorer.load(given.model)
    pairs = HeldOutPairs(ImageSet(given.clean), ImageSet(given.corrupted), None, seed=0)
    losses = missed_shares(Doubt.load(given.model, restorer), restorer, pairs)
    alpha = restorer.card["doubt"]["alpha"]
    covered = covered_of_the_left_out(losses, alpha)
    for share, factor in covered:
        print(f"covered {share:.1%} of a picture left out, lambda {factor:.2f}")
    mean = np.mean([share for share, _ in covered])
    print(f"{len(losses)} pictures: {mean:.1%} on average, promised {1 - alpha:.0%}")


def covered_of_the_left_out(losses: np.ndarray, alpha: float) -> list[tuple[float, float]]:
    """Return, for each picture, the share covered by the lambda of the others, and that lambda.

    losses: as of `missed_shares`. Raises ValueError where those that are left are too few.
    """
    covered = []
    for number, missed in enumerate(losses):
        bound = controlled(np.delete(losses, number, axis=0), alpha)
        if bound is None:
            raise ValueError(f"{len(losses) - 1} pictures allow no statement at {alpha:.0%}")
        covered.append((1 - float(missed[bound]), float(FACTORS[bound])))
    return covered


if __name__ == "__main__":
    main()
