"""Training pairs by number: image k of a run is the same whoever asks for it, and when.

errors:
    ValueError   the sets do not belong together, hold no training pair, or need a patch size
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le

from remint.core.arrays import scale
from remint.core.randomness import counter_uniform, generator
from remint.core.ranges import Share, Workers
from remint.corruptions.pairs import draw_training_recipe, training_config
from remint.corruptions.windows import replay_window
from remint.images.decoded import DecodedImages, decoded
from remint.images.imageset import ImageSet
from remint.training.feeding import keeps_in_memory

Images = list[np.ndarray] | np.ndarray | DecodedImages
FLAT = 4.0  # levels of 0..255: what deviates less is shown as often as this


@dataclass(frozen=True)
class NoiseConfig:
    """Gaussian noise added to clean crops in float, neither clipped nor rounded.

    sigma: least and most, in levels of 0..255, drawn evenly for each crop; share: of the crops
    that get it instead of the corrupted set's damage.
    """

    sigma: tuple[Annotated[float, Ge(0), Le(255)], Annotated[float, Ge(0), Le(255)]]
    share: Annotated[float, Gt(0), Le(1)]

    def __post_init__(self) -> None:
        if self.sigma[0] > self.sigma[1]:
            raise ValueError(f"noise.sigma: found {list(self.sigma)}, needed the lower one first")

    @property
    def alone(self) -> bool:
        """Whether no other damage is shown."""
        return self.share == 1.0


@dataclass(frozen=True)
class DataConfig:
    """How pairs are fed.

    batch: images a round, over all processes; patch: side of the crops (null: whole images, which
    must then be of one size); augment: flips or all eight turns and flips; noise: shown beside or
    instead of the corrupted set's pairs; workers: 0 reads in the training process; memory_share:
    decoded images are kept in memory up to this share of what is free, larger sets and those that
    processes share in a mapped file; detail: above 0, images are
    not shown equally often but in proportion to this power of the deviation of their pixels, so
    that sky and blurred ground, of which photographs are full, don't fill the training.
    """

    batch: Annotated[int, Ge(1), Le(65_536)]
    patch: Annotated[int, Ge(8), Le(8192)] | None
    augment: Literal["none", "flip", "dihedral"]
    noise: NoiseConfig | None
    workers: Workers
    memory_share: Share
    detail: Annotated[float, Ge(0), Le(4)]


class PairSource:
    """The training pairs of one run, addressed by the count of images seen.

    Member k is number k % N of an order drawn anew for every epoch k // N: a permutation, or with
    `detail` N weighted draws; its crop, flips, noise and damage on the fly follow from (seed, k).
    """

    def __init__(self, clean: ImageSet, corrupted: ImageSet, config: DataConfig, seed: int) -> None:
        self.clean, self.corrupted, self.config, self.seed = clean, corrupted, config, seed
        self.draw_seed: int = corrupted.metadata["seed"]
        if corrupted.metadata["clean_fingerprint"] != clean.fingerprint:
            raise ValueError(
                f"{corrupted.path} was made from other images than {clean.path} holds now; "
                "run the corrupt stage again"
            )
        self.training = training_config(corrupted.metadata["training"]) if self._drawn else None
        self.rows = _training_rows(clean, corrupted, self.on_the_fly)
        self._check_sizes()
        self.stacks = self._decode() if self._keeps_in_memory() else self._mapped()
        self.shares = self._shares() if config.detail else None

    @property
    def on_the_fly(self) -> bool:
        """Whether damage is drawn here, not read from the corrupted set."""
        return self._drawn or self._only_noise

    @property
    def _drawn(self) -> bool:
        """Whether the corrupt stage left its damage to be drawn here."""
        if self._only_noise or "damaged" in self.clean.schema.names:
            return False
        return self.corrupted.metadata["training"]["draws"] == 0

    @property
    def _only_noise(self) -> bool:
        return self.config.noise is not None and self.config.noise.alone

    def __len__(self) -> int:
        """Return the number of pairs in an epoch."""
        return len(self.rows)

    @property
    def side(self) -> int:
        """The smallest side of what training sees, in px."""
        if self.config.patch is not None:
            return self.config.patch
        return int(min(min(row["height"], row["width"]) for row in self.rows))

    def _check_sizes(self) -> None:
        sizes = {(row["height"], row["width"]) for row in self.rows}
        patch = self.config.patch
        if patch is None and len(sizes) > 1:
            raise ValueError(
                f"data.patch: found null with {len(sizes)} different image sizes in training; "
                "set a patch size, or a fit that makes images equal"
            )
        small = sum(min(size) < patch for size in sizes) if patch else 0
        if small:
            raise ValueError(
                f"data.patch: found {patch} with training images as small as "
                f"{min(map(min, sizes))} px; lower the patch, or set ingest to leave those out"
            )

    def _keeps_in_memory(self) -> bool:
        copies = 1 if self.on_the_fly else 2
        need = sum(r["height"] * r["width"] * r["channels"] for r in self.rows) * copies
        return keeps_in_memory(need, self.config.memory_share, self.config.workers)

    def _mapped(self) -> tuple[DecodedImages, DecodedImages] | None:
        """Return damaged and clean images by member, from files; the clean ones twice as below."""
        clean = decoded(self.clean, "train")
        damaged = clean if self.on_the_fly else decoded(self.corrupted, "train")
        if clean is None or damaged is None:
            return None
        clean = clean.at(np.array([row["clean_position"] for row in self.rows]))
        if self.on_the_fly:
            return clean, clean
        return damaged.at(np.array([row["position"] for row in self.rows])), clean

    def _decode(self) -> tuple[Images, Images]:
        wanted = {row["clean_position"] for row in self.rows}
        every = self.clean.images("train")
        images = {row["position"]: image for row, image in every if row["position"] in wanted}
        clean = [images[row["clean_position"]] for row in self.rows]
        if self.on_the_fly:
            return clean, clean
        damaged = {r["position"]: i for r, i in self.corrupted.images("train")}
        return _stacked([damaged[row["position"]] for row in self.rows]), _stacked(clean)

    @lru_cache(maxsize=2)  # noqa: B019 - one source lives as long as its run
    def _order(self, epoch: int) -> np.ndarray:
        drawn = generator(self.seed, "order", "train", epoch)
        if self.shares is None:
            return drawn.permutation(len(self))
        return drawn.choice(len(self), len(self), p=self.shares)

    def _shares(self) -> np.ndarray:
        """Return float64 [N], of sum 1: how often each member is shown, by the detail it has."""
        images = (self._load(member)[1] for member in range(len(self)))
        weights = np.array([max(float(i.std()), FLAT) ** self.config.detail for i in images])
        return weights / weights.sum()

    def __getitem__(self, counters: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (damaged, clean), float32 [len(counters)],C,H,W in [-1, 1]."""
        total = len(self)
        members = [self._order(int(k) // total)[int(k) % total] for k in counters]
        config = self.config
        whole = config.patch is None and config.augment == "none" and config.noise is None
        if whole and self.stacks and not (self.on_the_fly or isinstance(self.stacks[0], list)):
            damaged, clean = (stack[np.array(members)] for stack in self.stacks)
        else:
            draws = counter_uniform(self.seed, "crops", counters, 5)
            numbered = zip(counters, members, draws, strict=True)
            pairs = [self._pair(int(k), member, drawn) for k, member, drawn in numbered]
            damaged, clean = (np.stack(side) for side in zip(*pairs, strict=True))
        return _to_float(damaged), _to_float(clean)

    def _pair(self, k: int, member: int, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        damaged, clean = self._load(member)
        window = self._window(clean.shape, draws)
        level = self._noise_level(k)
        if level is not None:
            damaged = clean[window]
        elif self.training is not None:
            who = self.rows[member]["id"], self.training, self.draw_seed
            draw = k if self.shares is not None else k // len(self)
            recipe = draw_training_recipe(clean.shape, *who, draw=draw)
            damaged = replay_window(clean, recipe, *window)
        else:
            damaged = damaged[window]
        clean = clean[window]
        damaged, clean = (self._turned(image, draws) for image in (damaged, clean))
        if level is not None:
            noise = generator(self.seed, "noise", str(k)).standard_normal(clean.shape, np.float32)
            damaged = clean + np.float32(level) * noise
        return damaged, clean

    def _noise_level(self, k: int) -> float | None:
        """Return the sigma of member k's plain noise, None where it shows the set's damage."""
        if self.config.noise is None:
            return None
        share, position = counter_uniform(self.seed, "noise", np.array([k]), 2)[0]
        low, high = self.config.noise.sigma
        return float(low + position * (high - low)) if share < self.config.noise.share else None

    def _load(self, member: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the whole images of a pair; the clean one twice where damage is drawn here."""
        if self.stacks:
            return self.stacks[0][member], self.stacks[1][member]
        row = self.rows[member]
        clean = self.clean.at(row["clean_position"])[1]
        return clean if self.on_the_fly else self.corrupted.at(row["position"])[1], clean

    def _window(self, shape: tuple[int, ...], draws: np.ndarray) -> tuple[slice, slice]:
        """Return the rows and columns of an image that are shown."""
        patch = self.config.patch
        if patch is None:
            return slice(0, shape[0]), slice(0, shape[1])
        top, left = (int(draws[axis] * (shape[axis] - patch + 1)) for axis in (0, 1))
        return slice(top, top + patch), slice(left, left + patch)

    def _turned(self, image: np.ndarray, draws: np.ndarray) -> np.ndarray:
        if self.config.augment != "none" and draws[2] < 0.5:
            image = image[:, ::-1]
        if self.config.augment == "dihedral":
            image = image[::-1] if draws[3] < 0.5 else image
            square = image.shape[0] == image.shape[1]
            image = image.swapaxes(0, 1) if draws[4] < 0.5 and square else image
        return image


def _training_rows(clean: ImageSet, corrupted: ImageSet, fly: bool) -> list[dict[str, Any]]:
    kept = clean.frame("train").rename(columns={"position": "clean_position"})
    if not fly:
        where = kept[["id", "clean_position"]].rename(columns={"id": "clean_id"})
        kept = corrupted.frame("train").merge(where, on="clean_id", validate="many_to_one")
    if kept.empty:
        raise ValueError(f"{clean.path}: found no training image, needed at least one")
    names = ("id", "position", "clean_position", "height", "width", "channels")
    rows: Any = kept[[name for name in names if name in kept]].to_dict("records")
    return rows


def _stacked(images: list[np.ndarray]) -> list[np.ndarray] | np.ndarray:
    return np.stack(images) if len({image.shape for image in images}) == 1 else images


def _to_float(images: np.ndarray) -> torch.Tensor:
    """uint8, or float32 on the same 0..255 scale, N,H,W,C to float32 N,C,H,W in [-1, 1]."""
    return scale(torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3))))
