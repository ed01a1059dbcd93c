"""Passing files: a part is as it was written, or it is written anew."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from remint.images.passing import Told, made_part, read_rows

SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("value", pa.float64())])
ROWS = [{"id": str(number), "value": number / 3} for number in range(5)]


class Maker:
    """Makes ROWS and counts how often."""

    def __init__(self, path: Path) -> None:
        self.path, self.times = path, 0

    def __call__(self) -> list[Told]:
        made_part(self.path, SCHEMA, self.right, self.rows, lambda row: 8)
        return list(read_rows(self.path))

    def right(self, rows: Iterator[Told]) -> bool:
        return [row["id"] for row in rows] == [row["id"] for row in ROWS]

    def rows(self) -> Iterable[Told]:
        self.times += 1
        return ROWS


def test_no_bit_of_a_part_flips_into_other_rows(tmp_path: Path) -> None:
    make = Maker(tmp_path / "part")
    assert make() == make() == ROWS and make.times == 1
    good = make.path.read_bytes()
    for place in range(len(good)):
        make.path.write_bytes(
            good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :]
        )
        assert make() == ROWS, place
    assert make.times > len(good) / 3
