"""The copy check put together: thresholds from val, false alarms on test, planted copies, pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remint.copies.copycheck import authentic, compare_distances, excess_p, suspicion
from remint.copies.planting import Alteration, plant
from remint.core.randomness import generator
from remint.images.labelled import Labelled
from remint.metrics.spaces import Space, same_levels
from remint.metrics.suspects import Alarm, Lookup, calibrate, look

LEAST_HELD_OUT = 50  # images of val, and of test, below which a threshold is a guess
HELD_OUT_PAIRS = 5
CERTAIN = 0.01
Z_NEARER = -3.0
LEAST_POWER = 0.8  # share of planted copies below which "found none" says nothing
SEARCHED = ("exact", "noisy", "shifted")  # kinds of planted copies that the check tries out


@dataclass(frozen=True)
class Groups:
    """training: all of it; validation sets thresholds; test is what synthetic is compared with."""

    training: Labelled
    validation: Labelled
    test: Labelled
    synthetic: Labelled

    def check(self) -> None:
        """Raise ValueError where there is too little to compare with."""
        held = min(len(self.validation), len(self.test))
        if held < LEAST_HELD_OUT or len(self.training) < LEAST_HELD_OUT:
            raise ValueError(
                f"The copy check needs {LEAST_HELD_OUT} images in train, val and test each, found "
                f"{len(self.training)}, {len(self.validation)} and {len(self.test)}."
            )


@dataclass(frozen=True)
class Pair:
    """pictures: an image and its nearest training image in every space, uint8 HWC; facts: JSON."""

    facts: dict[str, Any]
    pictures: list[np.ndarray]


class CopyStudy:
    """Everything the report says of copies."""

    def __init__(self, groups: Groups, spaces: Sequence[Space], false_alarms: float) -> None:
        groups.check()
        self.groups, self.spaces, self.false_alarms = groups, spaces, false_alarms
        self.validation = look(spaces, groups.validation.images)
        self.test = look(spaces, groups.test.images)
        self.synthetic = look(spaces, groups.synthetic.images)
        self.alarm: Alarm = calibrate(self.validation, false_alarms)

    def space_rows(self) -> list[dict[str, Any]]:
        """Return a row a space: C_T's z, distances, neighbour ratios, authenticity, suspects."""
        return [self._space_row(space) for space in self.spaces]

    def _space_row(self, space: Space) -> dict[str, Any]:
        synthetic, test = (f.by_space[space.name] for f in (self.synthetic, self.test))
        labels = [data.labels for data in (self.groups.synthetic, self.groups.test)]
        if (labels[1] < 0).all():  # held-out images without a class are of any
            labels = [np.zeros_like(known) for known in labels]
        compared = compare_distances(synthetic.nearest, test.nearest, *labels)
        row: dict[str, Any] = {"space": space.name, "unit": space.unit}
        row |= {"z": compared.z, "nearer_share": compared.nearer_share}
        for name, neighbours, lookup in (
            ("synthetic", synthetic, self.synthetic),
            ("held_out", test, self.test),
        ):
            row[f"distance_median_{name}"] = float(np.median(neighbours.nearest))
            row[f"ratio_median_{name}"] = float(np.median(neighbours.ratio))
            row[f"authentic_{name}"] = float(authentic(neighbours, space).mean())
            row[f"suspected_{name}"] = float(self.alarm.in_space(lookup, space.name).mean())
        return row

    def suspects(self, identical_rms: float) -> dict[str, float]:
        """Return how many are suspected among synthetic and among held-out images, and p.

        identical: how many lie within `identical_rms` grey levels of a training image, or a tenth
        of their own contrast. identical_p: that real held-out ones would as often; 0 where none of
        those does, for then one minted image is news enough.
        """
        minted, real = self.alarm(self.synthetic), self.alarm(self.test)
        same = self._identical(self.synthetic, self.groups.synthetic, identical_rms)
        held_out = self._identical(self.test, self.groups.test, identical_rms)
        usual = excess_p(same, len(minted), held_out, len(real)) if held_out else float(not same)
        return {
            "images": len(minted),
            "suspected": int(minted.sum()),
            "suspected_share": float(minted.mean()),
            "identical": same,
            "identical_p": usual,
            "held_out_images": len(real),
            "held_out_suspected_share": float(real.mean()),
            "held_out_identical": held_out,
            "p": excess_p(int(minted.sum()), len(minted), int(real.sum()), len(real)),
        }

    def _identical(self, lookup: Lookup, data: Labelled, levels: float) -> int:
        near = lookup.by_space["pixels"].nearest <= same_levels(data.images, levels)
        return int(near.sum())

    def selftest(
        self, count: int, kinds: Mapping[str, Alteration], seed: int
    ) -> list[dict[str, Any]]:
        """Plant copies of training images; return a row a kind: which share is detected, where."""
        rows = []
        for name, alteration in kinds.items():
            copies = plant(self.groups.training.images, count, alteration, seed)
            lookup = look(self.spaces, copies)
            row: dict[str, Any] = {"kind": name, "description": alteration.words()}
            row |= {"planted": len(copies), "detected_share": float(self.alarm(lookup).mean())}
            for space in self.spaces:
                flags = self.alarm.in_space(lookup, space.name)
                row[f"detected_share_{space.name}"] = float(flags.mean())
            rows.append(row)
        return rows

    def pairs(self, count: int) -> list[Pair]:
        """Return the `count` most copy-like synthetic images, and a few held-out ones beside."""
        groups = (
            ("synthetic", self.synthetic, self.groups.synthetic, count),
            ("held_out", self.test, self.groups.test, min(HELD_OUT_PAIRS, count)),
        )
        return [
            self._pair(name, lookup, data, int(row))
            for name, lookup, data, number in groups
            for row in self._ranked(lookup)[:number]
        ]

    def _ranked(self, lookup: Lookup) -> np.ndarray:
        """Most suspicious first; among equals the lowest product of neighbour ratios."""
        ratios = [neighbours.ratio for neighbours in lookup.by_space.values()]
        return np.lexsort((np.prod(ratios, axis=0), suspicion(lookup, self.validation)))

    def _pair(self, group: str, lookup: Lookup, data: Labelled, row: int) -> Pair:
        facts: dict[str, Any] = {"group": group, "id": data.ids[row]}
        facts["label"] = int(data.labels[row])
        facts["suspected"] = bool(self.alarm(lookup)[row])
        pictures = [data.images[row]]
        for name, neighbours in lookup.by_space.items():
            nearest = int(neighbours.indices[row, 0])
            facts[f"train_id_{name}"] = self.groups.training.ids[nearest]
            facts[f"distance_{name}"] = float(neighbours.nearest[row])
            facts[f"ratio_{name}"] = float(neighbours.ratio[row])
            pictures.append(self.groups.training.images[nearest])
        return Pair(facts, pictures)


def some(data: Labelled, count: int, seed: int, name: str) -> Labelled:
    """Return up to `count` images, drawn without replacement (all for 0), in their order."""
    if count == 0 or len(data) <= count:
        return data
    drawn = generator(seed, "copies", name).permutation(len(data))[:count]
    return data.take(np.sort(drawn))


def verdict(
    suspects: Mapping[str, float],
    selftest: Sequence[Mapping[str, Any]],
    spaces: Sequence[Mapping[str, Any]],
) -> str:
    """Say the outcome in words: suspects against false alarms, nearness, what it can see.

    Where the check found too few of the planted copies, finding none among minted images says
    nothing, and the verdict says so.
    """
    share, usual = suspects["suspected_share"], suspects["held_out_suspected_share"]
    counts = (
        f"{suspects['suspected']:,} of {suspects['images']:,} synthetic images ({share:.1%}) lie "
        f"suspiciously near to one training image, against {usual:.1%} of real held-out images"
    )
    if suspects["identical"] and suspects["identical_p"] < CERTAIN:
        first = f"Copies: {suspects['identical']:,} images all but equal a training image; {counts}"
    elif suspects["p"] < CERTAIN:
        first = f"Possible copies: {counts}; look at the pairs"
    elif unseen := unseen_kinds(selftest):
        first = (
            f"Can't tell whether any is a copy: of planted copies the check finds too few of the "
            f"{' and of the '.join(unseen)} ones (less than {LEAST_POWER:.0%}); {counts}"
        )
    else:
        first = f"No more near-copies than among real images: {counts}"
    return " ".join([first + ".", *_nearer(spaces), _power(selftest)])


def unseen_kinds(selftest: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the planted copies, in words, of which the check finds too few to rely on it.

    Those that it does not try out (turned ones) do not count.
    """
    return [
        str(row["description"])
        for row in selftest
        if row["kind"] in SEARCHED and row["detected_share"] < LEAST_POWER
    ]


def _nearer(spaces: Sequence[Mapping[str, Any]]) -> list[str]:
    near = [f"{row['space']} (z {row['z']:.1f})" for row in spaces if row["z"] < Z_NEARER]
    if not near:
        return []
    return [
        "On the whole synthetic images lie nearer to training images than real ones do in "
        f"{' and '.join(near)}: a sign of copying, or of images more typical than real ones are."
    ]


def _power(selftest: Sequence[Mapping[str, Any]]) -> str:
    seen = [f"{row['detected_share']:.0%} of {row['description']} ones" for row in selftest]
    return f"Of planted copies the check found {', '.join(seen)}."
