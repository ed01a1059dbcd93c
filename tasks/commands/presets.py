"""Presets: small YAML files whose values go into params.yaml, comments and layout kept."""

import argparse
import io
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, RoundTripRepresenter, ScalarNode

from remint.core.dotted import dotted
from tasks.stage import params, stage
from tasks.stage.console import say

TINY = "tiny"  # sets what no other preset does
FOLDER = Path(__file__).with_name("presets")
# Settings that a params file from before them lacks; a preset brings them along
LATER = {
    "train_restorer.network.sharpening",
    "train_restorer.network.leak",
    "train_generator.network.solver",
}


def names() -> list[str]:
    """Return the names of the presets that exist."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def apply_preset(name: str, path: str | Path = "params.yaml") -> list[str]:
    """Write the preset's values into the params file and return the full keys that changed.

    A mapping is merged key by key, a list or plain value replaces what stood there. Raises
    ValueError for a preset, or a key in it, that does not exist; the file then stays as it was.
    """
    if name not in names():
        raise ValueError(f"no preset {name}; there are {', '.join(names())}")
    preset = _preset(name)
    if name != TINY and TINY in names():
        _refuse_after_tiny(path, preset)
    return change(path, preset)


def _preset(name: str) -> Any:
    return round_trip().load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def _refuse_after_tiny(path: str | Path, preset: Mapping[str, Any]) -> None:
    """Raise ValueError where the file holds what the preset tiny wrote and this one leaves."""
    standing, written, over = map(dotted, (_read(path), _preset(TINY), preset))
    left = {key: value for key, value in written.items() if key not in over}
    if left and all(standing.get(key) == value for key, value in left.items()):
        raise ValueError(
            f"{path} follows the preset {TINY}, of which {len(left)} values would stay, such as "
            f"{', '.join(list(left)[:3])}; take the defaults first (git checkout {path})"
        )


def _read(path: str | Path) -> dict[str, Any]:
    if not Path(path).is_file():
        raise ValueError(
            f"there is no {path}; change to the folder that has it, or name the file by --params"
        )
    return params.read(path)


def change(path: str | Path, values: Mapping[str, Any]) -> list[str]:
    """Write values into a params file, merged as a preset is; return the full keys that changed.

    Raises ValueError for a file that can't be read, and for a key that it does not have; it then
    stays as it was.
    """
    _read(path)
    target, yaml = Path(path), round_trip()
    document = yaml.load(target.read_text(encoding="utf-8"))
    changed = merge(document, values)
    text = io.StringIO()
    yaml.dump(document, text)
    stage.write_text(target, text.getvalue())
    return changed


def round_trip() -> YAML:
    """Return a reader and writer that keeps comments, quotes and the form of lists."""
    yaml = YAML()
    yaml.width = 4096  # never breaks a line
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _null)
    return yaml


def _null(representer: RoundTripRepresenter, _value: None) -> ScalarNode:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def merge(values: MutableMapping[str, Any], changes: Mapping[str, Any], at: str = "") -> list[str]:
    """Put `changes` into `values` in place and return the keys that changed; `at`: key so far.

    A key that a file from before does not have is added if it is one of LATER.
    """
    changed: list[str] = []
    for key, new in changes.items():
        full = f"{at}{key}"
        if key not in values and full not in LATER:
            raise params.ParamsError(params.unknown(full, key, values))
        if isinstance(new, Mapping) and isinstance(values.get(key), MutableMapping):
            changed += merge(values[key], new, f"{full}.")
        elif key not in values or values[key] != new:
            values[key] = new
            changed.append(full)
    return changed


def main(argv: Sequence[str] | None = None) -> None:
    """Apply a preset to a params file; see --help."""
    parser = argparse.ArgumentParser(prog="python -m tasks.commands.presets", description=__doc__)
    parser.add_argument("name", help=f"one of {', '.join(names())}")
    parser.add_argument("--params", default="params.yaml", help="the file to change")
    given = parser.parse_args(argv)
    follow(given.name, given.params)


def follow(name: str, path: str) -> None:
    """Apply a preset and say what changed."""
    if changed := apply_preset(name, path):
        say(f"{path} now follows preset {name}; changed: {', '.join(changed)}")
    else:
        say(f"{path} followed preset {name} already")


if __name__ == "__main__":
    stage.entry(main)
