"""The ingest section of params.yaml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from remint.core.engines import check_engine
from remint.core.ranges import Megabytes, Seed, Share, Workers
from remint.images import imagefile
from remint.images.fitting import Fit
from remint.ingest.dead_leaves import DeadLeavesConfig
from remint.ingest.scenes import PairsConfig
from remint.ingest.sources import Kind, SourceSettings
from remint.ingest.splits import Shares
from remint.ingest.tables import TableConfig

Longest = Annotated[int, Ge(0), Le(65_536)]
Colour = Literal["grey", "colour", "auto"]
NearDuplicates = Literal["group", "ignore"]


@dataclass(frozen=True)
class IngestConfig:
    """The ingest section of params.yaml.

    source (one kind, or several that are mixed), path, name, table, dead_leaves: where images come
    from; leave_out: patterns of names that are not taken; longest: px, to which larger images are
    reduced first (0: none is; several: taken at each of these sizes); pairs: what is asked of their
    halves; fit, size: see `fitting.fit`;
    colour: grey (luma), colour (grey repeated) or auto (colour as soon as one readable file stores
    colour, else grey); background: grey value under transparency and in padding; max_pixels: larger
    files are refused; shares, seed: of the split; near_duplicates: whether pictures that look the
    same are kept in one split; limit: at most that many items, evenly spaced (0: all);
    max_bad_share: of items that may end in quarantine, 0..1; workers: processes (0: all cores);
    engine: see `engines.check_engine`; shard_megabytes: size of a shard, in MiB.
    """

    source: Kind | tuple[Kind, ...]
    path: str
    name: str
    table: TableConfig
    dead_leaves: DeadLeavesConfig
    pairs: PairsConfig
    leave_out: tuple[str, ...]
    longest: Longest | tuple[Longest, ...]
    fit: Fit
    size: Annotated[int, Ge(1), Le(65_536)]
    colour: Colour
    background: Annotated[int, Ge(0), Le(255)]
    max_pixels: Annotated[int, Ge(1), Le(imagefile.PIXEL_CEILING)]
    shares: Shares
    seed: Seed
    near_duplicates: NearDuplicates
    limit: Annotated[int, Ge(0), Le(10**12)]
    max_bad_share: Share
    workers: Workers
    engine: str
    shard_megabytes: Megabytes

    def __post_init__(self) -> None:
        check_engine(self.engine)
        kinds = (self.source,) if isinstance(self.source, str) else self.source
        if not kinds or len(set(kinds)) < len(kinds):
            raise ValueError(f"source is {list(kinds)}; name one kind, or several once each")
        if not self.sides or len(set(self.sides)) < len(self.sides):
            raise ValueError(f"longest is {list(self.sides)}; name one size, or several once each")
        if "torchvision" in kinds and not self.name:
            raise ValueError("source torchvision needs the set's name, such as name: FashionMNIST")
        if "dead_leaves" in kinds and not self.dead_leaves.images:
            raise ValueError("dead_leaves.images is 0; give the number of pictures to draw")

    @property
    def sides(self) -> tuple[int, ...]:
        """The values of `longest`."""
        return (self.longest,) if isinstance(self.longest, int) else self.longest

    @property
    def settings(self) -> SourceSettings:
        """What `open_source` reads beside kind and path."""
        return SourceSettings(self.table, self.name, self.dead_leaves, self.seed)
