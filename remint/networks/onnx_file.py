"""Networks as ONNX files: one file that runs where torch does not.

errors:
    ValueError   the packages of the extra `onnx` are absent, or the file answers otherwise
"""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from remint.core.atomic import replaced_file

OPSET = 20
KEY = "remint"  # of the metadata: a JSON text
NEEDED = ("onnx", "onnxscript", "onnxruntime")
CLOSE = 1e-4  # of values in 0..1: a hundredth of a grey level
Inputs = Mapping[str, torch.Tensor]


def need_packages() -> None:
    """Raise ValueError with the command that installs them where packages are absent."""
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise ValueError(
            f"ONNX needs {', '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not "
            "installed: pip install 'remint[onnx]'"
        )


def write_onnx(
    path: Path,
    network: nn.Module,
    traced: Inputs,
    other: Inputs,
    free: Mapping[str, tuple[int, ...]],
    output: str,
    about: Mapping[str, Any],
) -> float:
    """Write `network` as one ONNX file and return how far its answer lies from torch's at most.

    traced: float32 or int64 example inputs by name, in the order of the network's arguments;
    other: inputs of other shapes, on which both answers are compared; free: axes of each input that
    may have any length; about: JSON, kept in the file's metadata under KEY. Raises ValueError where
    packages are absent or the answers differ by more than CLOSE; then no file is left.
    """
    need_packages()
    network = network.eval()
    dynamic = {name: dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for name, axes in free.items()}
    program = torch.onnx.export(
        network,
        tuple(traced.values()),
        input_names=list(traced),
        output_names=[output],
        dynamic_shapes=dynamic,
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # of the dynamo exporter
    program.model.metadata_props[KEY] = json.dumps(about, sort_keys=True)
    with replaced_file(path) as made:
        program.save(made)
        difference = _difference(made, network, other)
        if not difference <= CLOSE:
            raise ValueError(
                f"{path}: its answer lies {difference:.2g} from torch's, needed {CLOSE:.0e} at "
                "most; nothing was written, and this model can't be had as ONNX"
            )
    return difference


@torch.inference_mode()
def _difference(path: Path, network: nn.Module, inputs: Inputs) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    answer = session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]
    return float(np.abs(answer - network(*inputs.values()).numpy()).max())
