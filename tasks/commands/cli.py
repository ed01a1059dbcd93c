"""The command `remint`: thin, and quick to answer, since each verb imports what it needs."""

import argparse
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tasks.commands import export_model, mint_files, web
from tasks.commands.limits import MAX_PIXELS, MAX_SECONDS, TILE
from tasks.commands.model_choice import MODEL_HELP, TRAINED, chosen_restorer
from tasks.stage import stage

MARKS = ("restored", "filled")


class _NoScale(argparse.Action):
    """Say why there is no such option, in place of argparse's "unrecognized"."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        parser.error(
            "there is no --scale: a picture is restored at its own size, and no super-resolution "
            "is promised"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exit status 0, 1 for errors, 2 for wrong usage."""
    arguments = build_parser().parse_args(argv)
    stage.entry(lambda: arguments.run(arguments))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; each verb is added by a function of its own."""
    parser = argparse.ArgumentParser(
        prog="remint",
        description="Restore damaged images, or mint new labelled ones, with a model trained by "
        "Remint.",
    )
    parser.add_argument("--version", action="version", version=f"remint {_version()}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_restore(verbs)
    _add_inbox(verbs)
    mint_files.add_parser(verbs)
    listing = verbs.add_parser("models", help="list the restorers that are there")
    listing.set_defaults(run=_models)
    export_model.add_parser(verbs)
    web.add_parser(verbs)
    _add_preset(verbs)
    return parser


def _add_restore(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    restore = verbs.add_parser(
        "restore",
        help="restore one's own images",
        description="Restore an image, or every image below a folder. Names, formats, EXIF "
        "and transparency are kept; originals are never touched. Exit status 1 when an image could "
        "not be restored.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    restore.set_defaults(run=_restore)
    add = restore.add_argument
    add("source", metavar="IN", type=Path, help="an image, or a folder of images")
    add("out", metavar="OUT", type=Path, help="a file or a folder; outside IN")
    own = (
        f"{MODEL_HELP}; or a name of `remint models`; None: {TRAINED}, else what comes with Remint"
    )
    add("--model", help=own)
    add("--interpolation", type=float, help="0 true to the pixels .. 1 most detail; None: model's")
    add("--ensemble", action="store_true", help="mean over eight turns and flips; 8 times as long")
    add("--doubt", action="store_true", help="a map of doubt too: OUT.doubt.png, levels of 255")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where it runs")
    add(
        "--precision", choices=["auto", "fp32", "bf16"], default="auto", help="auto: bf16 if faster"
    )
    add("--tile", type=int, default=TILE, help="largest side of the tiles of larger images, px")
    add("--overlap", type=int, help="overlap of tiles, px; else what the model asks for")
    add("--quality", type=int, help="of JPEG, WebP and AVIF, 1 to 100; None: the input's, from 90")
    add("--mark", choices=MARKS, help="IPTC mark; None: filled with --mask, else restored")
    add("--mask", type=Path, help="a picture of IN's size: white is filled, the rest stays")
    add("--max-pixels", type=int, default=MAX_PIXELS, help="refuse larger images")
    add("--scale", action=_NoScale, help=argparse.SUPPRESS)
    add("--force", action="store_true", help="overwrite what stands in OUT")


def _add_inbox(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    watched = verbs.add_parser(
        "inbox",
        help="restore what is new in a folder",
        description="Make one pass over a folder: restore what is new, each image once, move "
        "nothing, list what fails in OUT/quarantine.csv.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    watched.set_defaults(run=_inbox)
    add = watched.add_argument
    add("inbox", metavar="IN", type=Path, help="the folder that is watched")
    add("out", metavar="OUT", type=Path, help="where results, ledger and quarantine list go")
    add("--model", default="champion", help=f"{MODEL_HELP}; or a name of `remint models`")
    add(
        "--again",
        action="store_true",
        help="also what was quarantined, or restored by another model",
    )
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where it runs")
    add("--max-pixels", type=int, default=MAX_PIXELS, help="quarantine larger images")
    add("--max-seconds", type=float, default=MAX_SECONDS, help="quarantine what takes longer")
    add("--json", action="store_true", help="the counts as JSON in the last line")


def _add_preset(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    preset = verbs.add_parser("preset", help="write a preset's values into params.yaml")
    preset.set_defaults(run=_preset)
    preset.add_argument("name", metavar="NAME", help="see: remint presets")
    preset.add_argument("--params", default="params.yaml", help="the file to change")
    listing = verbs.add_parser("presets", help="list the presets")
    listing.set_defaults(run=_presets)


def _restore(given: argparse.Namespace) -> None:
    from remint.images import provenance
    from tasks.commands.restore_files import RestoreOptions, restore

    terms = dict(zip(MARKS, (provenance.RESTORED, provenance.FILLED), strict=True))
    options = RestoreOptions(
        model=chosen_restorer(given.model),
        interpolation=given.interpolation,
        device=given.device,
        tile=given.tile,
        overlap=given.overlap,
        quality=given.quality,
        mark=terms.get(given.mark),
        max_pixels=given.max_pixels,
        force=given.force,
        mask=given.mask,
        ensemble=given.ensemble,
        precision=given.precision,
        doubt=given.doubt,
    )
    if restore(given.source, given.out, options):
        raise SystemExit(1)


def _inbox(given: argparse.Namespace) -> None:
    from tasks.commands import inbox

    limits = given.max_pixels, given.max_seconds
    counts = inbox.one_pass(given.inbox, given.out, given.model, given.device, given.again, *limits)
    inbox.tell(counts, given.inbox, given.json)


def _preset(given: argparse.Namespace) -> None:
    from tasks.commands import presets

    presets.follow(given.name, given.params)


def _models(given: argparse.Namespace) -> None:
    from tasks.commands.models import lines
    from tasks.stage.console import say

    for line in lines():
        say(line)


def _presets(given: argparse.Namespace) -> None:
    from tasks.commands import presets
    from tasks.stage.console import say

    for name in presets.names():
        say(name)


def _version() -> str:
    try:
        return version("remint")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    main()
