"""`remint export-model`: a trained model as one ONNX file, which runs without torch."""

import argparse
from pathlib import Path

from tasks.commands.model_choice import MODEL_HELP, chosen_model, chosen_restorer


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    export = subparsers.add_parser(
        "export-model",
        help="a model as an ONNX file, for use without torch",
        description="Write a restorer or a generator as one ONNX file and compare its answer with "
        "torch's. A restorer takes `image` and gives `restored`, float32 N,C,H,W in 0..1 of any "
        "size; a generator takes `latent` (normal numbers) and `label` and gives `image`. The "
        "model's card stands in the file's metadata. Needs remint[onnx].",
    )
    export.set_defaults(run=run)
    export.add_argument(
        "model", metavar="MODEL", help=f"{MODEL_HELP}; or a name of `remint models`"
    )
    export.add_argument("out", metavar="OUT", type=Path, help="the file to write, such as m.onnx")
    export.add_argument("--format", choices=["onnx"], default="onnx", help="of the file")
    export.add_argument("--interpolation", type=float, help="of a restorer; None: the model's own")
    export.add_argument("--force", action="store_true", help="overwrite OUT")


def run(given: argparse.Namespace) -> None:
    """Write the file; ValueError with a sentence where that can't be done."""
    from remint.networks.onnx_file import need_packages
    from tasks.stage.console import say

    need_packages()
    if given.out.is_dir():
        raise ValueError(f"{given.out} is a folder; name a file in it, such as m.onnx")
    if given.out.exists() and not given.force:
        raise ValueError(f"{given.out} exists; name another file, or say --force")
    if not given.out.parent.is_dir():
        raise ValueError(f"{given.out.parent} is no folder; make it, or name another file")
    wanted = given.model.startswith(("models:/generator", "models:/remint-generator"))
    folder = chosen_model(given.model, "generator") if wanted else chosen_restorer(given.model)
    difference = _write(folder, given.out, given.interpolation)
    size = given.out.stat().st_size / 2**20
    say(f"{given.out}: {size:.1f} MiB, at most {difference:.1g} from torch's answer")


def _write(folder: Path, out: Path, interpolation: float | None) -> float:
    from remint.generator import generator
    from remint.restorer.restorer import Restorer

    if (folder / generator.CARD).exists():
        if interpolation is not None:
            raise ValueError(f"{folder} is a generator; --interpolation is a restorer's")
        from remint.generator.exported import export_generator

        return export_generator(generator.Minter.load(folder, device="cpu"), out)
    from remint.restorer.exported import export_restorer

    restorer = Restorer.load(folder, interpolation=interpolation, device="cpu")
    return export_restorer(restorer, out)
