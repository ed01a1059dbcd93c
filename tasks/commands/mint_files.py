"""`remint mint`: labelled images from a trained generator, as files, outside the pipeline."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.commands.model_choice import MODEL_HELP, chosen_model

FORMATS = ("set", "imagefolder", "webdataset")
FILES = ("imagefolder",)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    mint = subparsers.add_parser(
        "mint",
        help="make new labelled images",
        description="Mint images with a trained generator into a new folder, filtered as the "
        "export_synthetic section of params.yaml says, marked as synthetic, with a manifest and a "
        "card. Nothing is ever overwritten. Programs that re-save an image drop its mark (XMP); "
        "a signature (C2PA) at least shows the change.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    mint.set_defaults(run=run)
    add = mint.add_argument
    add("out", metavar="OUT", type=Path, help="a folder that does not exist yet")
    add(
        "--class", dest="classes", nargs="+", default=[], metavar="NAME", help="these classes alone"
    )
    count = mint.add_mutually_exclusive_group()
    count.add_argument("--count", "--per-class", type=int, default=100, help="images of each class")
    count.add_argument(
        "--balance",
        action="store_true",
        help="so many that real and minted images together are as many as in the largest class",
    )
    add("--seed", type=int, default=1, help="other seeds give other images")
    add("--model", default="data/models/generator", help=MODEL_HELP)
    add("--clean", type=Path, default=Path("data/clean"), help="the set that it was trained on")
    add("--params", type=Path, default=Path("params.yaml"), help="holds the filters' limits")
    add("--unfiltered", action="store_true", help="no real set, no filters but exact duplicates")
    add("--formats", nargs="+", choices=FORMATS, default=FILES, help="what to write")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where it runs")
    add("--license", default="unknown", help="of the images: cc-by-4.0, or an address")
    add("--published", default="", metavar="DAY", help="for the Croissant file: 2026-01-31")
    add("--certificate", default="", help="PEM chain to sign with (C2PA); needs remint[c2pa]")
    add("--key", default="", help="PEM private key of the certificate")
    add("--algorithm", default="es256", help="of the key: es256, ps256, ed25519, ...")


def run(given: argparse.Namespace) -> None:
    """Mint as the options say; ValueError with a sentence where that is impossible."""
    from remint.core import ranges
    from remint.export.export import export
    from remint.export.minting import ExportConfig
    from remint.generator.generator import Minter
    from remint.images.imageset import ImageSet
    from tasks.export_synthetic import ingested, shown, tell

    config = ExportConfig(**_options(given), **_limits(given))
    ranges.check(config)
    model = chosen_model(given.model, "generator")
    inputs = [model, given.clean]
    inputs += ingested(given.params) if given.params.is_file() else []
    clean = None if given.unfiltered else ImageSet(given.clean)
    minter = Minter.load(model, device=given.device)
    tell(export(minter, clean, config, given.out, inputs, shown), given.out)


def _options(given: argparse.Namespace) -> dict[str, Any]:
    from remint.export.card import PapersConfig
    from remint.export.marking import SigningConfig

    return {
        "seed": given.seed,
        "device": given.device,
        "classes": tuple(given.classes),
        "per_class": 0 if given.balance else given.count,
        "balance": given.balance,
        "formats": tuple(given.formats),
        "c2pa": SigningConfig(given.certificate, given.key, given.algorithm),
        "papers": PapersConfig(given.license, given.published),
    }


def _limits(given: argparse.Namespace) -> Mapping[str, Any]:
    """Return what params.yaml says of filters, or what lets all but exact duplicates through."""
    from remint.export.filters import FilterConfig
    from remint.export.minting import ExportConfig
    from tasks.stage import params

    if given.unfiltered:
        filters = FilterConfig(None, True, None, None, None, None)
        return {"attempts": 2.0, "filters": filters, "reals": None, "shard_megabytes": 256}
    if not given.params.is_file():
        raise ValueError(
            f"there is no {given.params} to say how to filter; name one with --params, or mint "
            "with --unfiltered"
        )
    section = params.load("export_synthetic", ExportConfig, given.params)
    return {k: getattr(section, k) for k in ("attempts", "filters", "reals", "shard_megabytes")}
