"""Ranges of numbers stand in the types of configurations: Annotated[int, Ge(1), Le(64)].

params.yaml is held to them by pydantic (tasks/stage/params.py); what comes from elsewhere, such as
a model's card, by `check`. Either way the sentence is the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Annotated, Any, get_args, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

Seed = Annotated[int, Ge(0), Le(2**53)]
Workers = Annotated[int, Ge(0), Le(1024)]  # processes; 0 has a meaning of its own
Images = Annotated[int, Ge(1), Le(10**12)]  # a number of images, seen or asked for
Resamples = Annotated[int, Ge(100), Le(10**6)]  # of a bootstrap
Threads = Annotated[int, Ge(1), Le(1024)]
Steps = Annotated[int, Ge(1), Le(10**8)]
Width = Annotated[int, Ge(1), Le(4096)]  # channels of a layer
Share = Annotated[float, Ge(0), Le(1)]
InnerShare = Annotated[float, Gt(0), Lt(1)]  # without its ends
Weight = Annotated[float, Ge(0), Le(10**6)]  # of a term in a sum, or a limit that may be 0
Limit = Annotated[float, Gt(0), Le(10**9)]  # beyond which something happens
Rate = Annotated[float, Gt(0), Le(10)]  # of learning
Megabytes = Annotated[int, Ge(1), Le(2**20)]


@dataclass(frozen=True)
class CardShape:
    """What a model's card says of its images; size: px a side, None where any will do."""

    channels: Annotated[int, Ge(1), Le(4)]
    size: Annotated[int, Ge(1), Le(65_536)] | None = None


NEEDED = {"ge": "{} or more", "gt": "above {}", "le": "{} or less", "lt": "below {}"}


def refusal(key: str, value: Any, bound: Mapping[str, Any]) -> str:
    """Return the sentence for a value outside a bound such as {"ge": 0}."""
    needed = ((form, bound[name]) for name, form in NEEDED.items() if name in bound)
    words = (form.format(int(end) if end == int(end) else end) for form, end in needed)
    return f"{key}: found {value!r}, needed {' and '.join(words)}"


def check(config: Any, prefix: str = "") -> None:
    """Raise ValueError for the first number of a dataclass that is outside its type's range.

    config: an instance, with dataclasses and tuples inside; prefix: of its fields in sentences.
    """
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        _check(getattr(config, name), hint, f"{prefix}{name}")


def _check(value: Any, hint: Any, key: str) -> None:
    if is_dataclass(value):
        check(value, f"{key}.")
    elif isinstance(value, tuple):
        for number, part in enumerate(value):
            _check(part, hint, f"{key}[{number}]")
    elif value is not None and not isinstance(value, str):
        for bound in _bounds(hint):
            if not _holds(value, bound):
                raise ValueError(refusal(key, value, bound))


def _bounds(hint: Any) -> Iterator[dict[str, Any]]:
    """Yield the bounds in a type, also those inside of unions and tuples."""
    for part in get_args(hint):
        if isinstance(part, (Ge, Gt, Le, Lt)):
            yield asdict(part)
        else:
            yield from _bounds(part)


def _holds(value: Any, bound: Mapping[str, Any]) -> bool:
    """Compare; a NaN is outside of every range."""
    ((name, end),) = bound.items()
    return {"ge": value >= end, "gt": value > end, "le": value <= end, "lt": value < end}[name]
