"""Strict reading of params.yaml: one section, validated against one frozen dataclass."""

import dataclasses
import difflib
import json
import math
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from ruamel.yaml import YAML

from remint.core.ranges import NEEDED, refusal

T = TypeVar("T")
# Keys of earlier versions, by their last parts, and what they are called now.
RENAMED = {
    "train_generator.looks": "snapshots",
    "network.judge_width": "discriminator_width",
    "filters.judge": "discriminator",
    "utility.judge": "classifier",
    "snapshots.copy_limit": "copy_share_limit (the share of images suspected as copies)",
    "classifier.steps": "most_steps (how many are made is measured)",
    "reals.space": "shift (a share of the side)",
}
UNION_MEMBER = re.compile(r"constrained-\w+|literal\[.*\]")
LARGEST = 100_000  # values in the file, aliases written out


class ParamsError(ValueError):
    """params.yaml, or a section of it, is not what the code needs."""


def load(section: str, config_class: type[T], path: str | Path = "params.yaml") -> T:
    """Return `section` of the YAML file at `path` as an instance of a standard frozen dataclass.

    Nothing is converted but lists to tuples and whole numbers to floats. Raises ParamsError with
    the full key for a key that is unknown (and a guess at what was meant), missing, of a wrong
    type or out of range.
    """
    values = read(path)
    if section not in values:
        raise ParamsError(f"{section}: missing section in {path}{_guess(section, values)}")
    for key, number in _infinite(values[section], section):
        raise ParamsError(f"{key}: must be a finite number, found {number}")
    try:
        text = json.dumps({section: values[section]}, allow_nan=False)
        checked = _model(section, config_class).model_validate_json(text, strict=True)
    except (TypeError, ValueError) as error:
        raise ParamsError(_sentences(error, section, config_class)) from None
    config: T = getattr(checked, section)
    return config


def read(path: str | Path) -> dict[str, Any]:
    """Return the YAML 1.2 mapping at `path` (as DVC reads it: 1e-4 is a number, `no` a string)."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not UTF-8 text: {error}") from None
    try:
        values = YAML(typ="safe", pure=True).load(text)
        size = _size(values, {})
    except Exception as error:  # beside its own errors it raises what odd keys and dates bring
        reason = str(error) or type(error).__name__
        raise ParamsError(f"{path} is not valid YAML: {reason}") from None
    if not isinstance(values, dict):
        raise ParamsError(f"{path} holds no mapping of sections; each stage needs its own")
    if size > LARGEST:
        raise ParamsError(
            f"{path}: found {size:.3g} values once its aliases are written out, needed {LARGEST} "
            "or less; write out what they stand for"
        )
    return values


def _size(value: Any, known: dict[int, float]) -> float:
    """Count the values below one, those behind an alias once for every use; inf for a circle."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]


def unknown(key: str, name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Return the sentence for a key (full: `key`, last part: `name`) that nobody knows."""
    now = next((new for old, new in RENAMED.items() if key.endswith(old)), None)
    if now is not None:
        return f"{key}: this key has a new name, {now}; write that"
    return f"{key}: unknown key{_guess(name, known)}"


def _guess(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    names = [str(key) for key in known]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f", did you mean {close[0]}?"
    return f"; known here: {', '.join(names)}" if names else ""


def _infinite(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """Yield the full key and the value of every number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        yield key, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _infinite(part, f"{key}.{name}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _infinite(part, f"{key}[{number}]")


def _model(section: str, config_class: type) -> type[BaseModel]:
    """Wrap the dataclass: `extra="forbid"` of the model reaches every dataclass inside it."""
    fields: dict[str, Any] = {section: (config_class, ...)}
    return create_model("Params", __config__=ConfigDict(extra="forbid"), **fields)


def _sentences(error: Exception, section: str, config_class: type) -> str:
    if not isinstance(error, ValidationError):
        return f"{section}: {error}; use plain numbers, words, lists and mappings"
    items = [dict(item) for item in error.errors()]
    ranges = {_key(item) for item in items if _bound(item)}
    told = [item for item in items if _bound(item) or _key(item) not in ranges]
    return "; ".join(_sentence(item, config_class) for item in told)


def _sentence(item: dict[str, Any], config_class: type) -> str:
    location: tuple[str | int, ...] = item["loc"]
    key = _key(item)
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return unknown(key, str(location[-1]), _keys_at(config_class, location[1:-1]))
    if item["type"] == "missing":
        return f"{key}: missing key"
    if _bound(item):
        return refusal(key, item["input"], _bound(item))
    text = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"{key}: {text}"
    text = text.removeprefix("Input ").replace("should be", "must be")
    return f"{key}: {text}, found {item['input']!r}"


def _bound(item: dict[str, Any]) -> dict[str, Any]:
    """Return the end of a range that an error is about, such as {"ge": 0}; else nothing."""
    return {name: end for name, end in item.get("ctx", {}).items() if name in NEEDED}


def _key(item: dict[str, Any]) -> str:
    """Return the full key of an error; pydantic ends it with the member of a union, if any."""
    location: tuple[str | int, ...] = item["loc"]
    if UNION_MEMBER.fullmatch(str(location[-1])):
        location = location[:-1]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def _keys_at(hint: Any, location: Sequence[str | int]) -> list[str]:
    """Return the field names of the dataclass that stands at `location` inside `hint`."""
    for part in location:
        inner = _dataclass_in(hint)
        if isinstance(part, str) and inner is not None:
            hint = get_type_hints(inner).get(part)
    inner = _dataclass_in(hint)
    return [] if inner is None else [field.name for field in dataclasses.fields(inner)]


def _dataclass_in(hint: Any) -> Any:
    """Return the dataclass inside Optional, unions and containers, or None."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    if get_origin(hint) in (tuple, list, dict, Union, types.UnionType, Mapping, Sequence):
        return next(filter(None, map(_dataclass_in, get_args(hint))), None)
    return None
