"""Which split an image belongs to: decided by a hash, so that it never moves as the set grows."""

import hashlib
import math
from dataclasses import dataclass

from remint.core.ranges import Share


@dataclass(frozen=True)
class Shares:
    """Expected shares of the three splits, each 0..1, together 1."""

    train: Share
    val: Share
    test: Share

    def __post_init__(self) -> None:
        shares = (self.train, self.val, self.test)
        if not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
            raise ValueError(
                f"shares {self.train}, {self.val} and {self.test} add up to {sum(shares):g}; "
                "they must add up to 1"
            )


def split_of(key: str, shares: Shares, seed: int) -> str:
    """Return "train", "val" or "test" for a key: an image's id, or its group's name.

    The key's hash, as a number u in [0, 1), decides: test below the share of test, val in the next
    stretch, else train. So a key moves only when shares or seed do, and raising the share of test
    takes images from the others but gives none back.
    """
    digest = hashlib.blake2b(f"{seed}\x1f{key}".encode(), digest_size=8).digest()
    u = int.from_bytes(digest, "big") / 2**64
    if u < shares.test:
        return "test"
    return "val" if u < shares.test + shares.val else "train"
