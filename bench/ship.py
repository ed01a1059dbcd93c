"""Put a trained restorer among those that come with the package.

`python -m bench.ship MODEL NAME` takes the fidelity weights of a model that the stages made to
remint/shipped/NAME; its card keeps what the one of that name says about itself (`about`), for grey
with the figures of Set12 measured anew. A map of doubt is then taught there by
`python -m tasks.train_restorer --doubt-alone`, and `slices.csv` of an evaluation put beside.
"""

import argparse
from pathlib import Path
from typing import Any

from bench.processes import found
from remint.restorer import shipped
from remint.restorer.doubt import SECTION, WEIGHTS
from remint.restorer.restorer import FIDELITY, Restorer, read_card, save_card, save_weights
from remint.restorer_evaluation.protocol import gaussian_denoising

SIGMAS = (15, 25, 50)
REPLACED = ("format", SECTION, "default_interpolation")  # of the card


def main() -> None:
    """Store the model; see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("name", choices=shipped.names())
    given = parser.parse_args()
    folder = shipped.FOLDER / given.name
    about = shipped.card(given.name)["about"]
    store(given.model, folder, about)
    if "set12_psnr" in about:
        save_card(folder, {**read_card(folder), "about": about | {"set12_psnr": set12(folder)}})


def store(model: Path, folder: Path, about: dict[str, Any]) -> None:
    """Write the model's fidelity weights and its card, without a map of doubt."""
    restorer = Restorer.load(model, interpolation=0.0, device="cpu")
    card = {name: value for name, value in restorer.card.items() if name not in REPLACED}
    (folder / WEIGHTS).unlink(missing_ok=True)
    save_weights(folder, FIDELITY, restorer.network)
    save_card(folder, {**card, "default_interpolation": 0.0, "about": about})


def set12(folder: Path) -> dict[str, float]:
    """Return the mean PSNR on Set12 in dB by sigma, by the protocol of published figures."""
    restorer = Restorer.load(folder, device="cpu")
    means = {}
    for sigma in SIGMAS:
        figures = [f.psnr for f in gaussian_denoising(restorer, found("set12"), sigma)]
        means[str(sigma)] = round(sum(figures) / len(figures), 2)
        print(f"Set12, sigma {sigma}: {means[str(sigma)]:.2f} dB")
    return means


if __name__ == "__main__":
    main()
