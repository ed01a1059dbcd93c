"""What a restorer was trained on, and how far a picture or a result lies from it."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from remint.images.imageset import ImageSet

SAMPLE = 256  # training images that the statistics are taken from, evenly spaced
MARGIN = 16.0  # levels of 0..255 by which damage may move a picture's mean
SIZES = 4  # times that a picture may be larger or smaller than what was trained on
DRIFT = 10.0  # levels of mean brightness that a restorer has no business to change


def training_statistics(clean: ImageSet, patch: int | None) -> dict[str, Any]:
    """Return what a model's card says of its clean training images.

    Levels of 0..255: mean and std over a sample, and the least and largest mean of an image in it.
    largest_side: null where training saw crops (`patch`) or tiles, which stand for any size. Of
    real pairs the damaged halves count among the means too, since they are what is restored, and
    drift is the largest change of mean between two halves.
    """
    frame = clean.frame("train")
    step = max(1, -(-len(frame) // SAMPLE))
    rows = [clean.at(int(position)) for position in frame["position"][::step]]
    sample = [image for _, image in rows]
    means = [float(image.mean()) for image in sample]
    pairs = [
        (float(row["damaged"].mean()), float(image.mean()))
        for row, image in rows
        if row.get("damaged") is not None
    ]
    seen = means + [damaged for damaged, _ in pairs]
    spread = np.mean([np.square(image.astype(np.float32)).mean() for image in sample])
    cut = patch is not None or clean.metadata.get("created", {}).get("fit") == "tiles"
    sides = frame[["height", "width"]]
    return {
        "images": len(frame),
        "mean": float(np.mean(means)),
        "std": float(np.sqrt(max(spread - np.mean(means) ** 2, 0.0))),
        "means": [min(seen), max(seen)],
        "drift": max((abs(damaged - whole) for damaged, whole in pairs), default=0.0),
        "smallest_side": min(patch or 2**31, int(sides.to_numpy().min())),
        "largest_side": None if cut else int(sides.to_numpy().max()),
    }


def warnings_of(card: Mapping[str, Any], image: np.ndarray) -> Iterator[str]:
    """Yield a sentence for each way in which uint8 or uint16 HWC is unlike the training images.

    Nothing is said for models whose card holds no statistics.
    """
    seen = card.get("training_images")
    if not seen:
        return
    low, high = seen["means"]
    mean = mean_level(image)
    if not low - MARGIN <= mean <= high + MARGIN:
        yield (
            f"its mean brightness is {mean:.0f} of 255 and that of the model's training images "
            f"{low:.0f} to {high:.0f}; look at the result twice, or choose another model"
        )
    height, width = image.shape[:2]
    largest = seen["largest_side"] or 2**31
    if max(height, width) > SIZES * largest or SIZES * max(height, width) < seen["smallest_side"]:
        told = [f"{seen['smallest_side']}", f"to {largest} px" if seen["largest_side"] else "px up"]
        yield (
            f"it has {width} x {height} px and the model was trained on sides of {' '.join(told)}; "
            "look at the result twice, or choose another model"
        )


def drift_of(card: Mapping[str, Any], given: np.ndarray, restored: np.ndarray) -> Iterator[str]:
    """Yield a sentence where a result's mean brightness is far from its input's.

    Further than the model's own real pairs changed it, where it learnt from such.
    """
    before, after = mean_level(given), mean_level(restored)
    if abs(after - before) > DRIFT + card.get("training_images", {}).get("drift", 0.0):
        yield (
            f"the result is {'darker' if after < before else 'brighter'} than the picture (mean "
            f"{before:.0f} became {after:.0f} of 255); unless it was faded, the model does not "
            "suit it"
        )


def mean_level(image: np.ndarray) -> float:
    """Return the mean of uint8 or uint16 pixels in levels of 0..255."""
    return float(image.mean()) / (257.0 if image.dtype == np.uint16 else 1.0)
