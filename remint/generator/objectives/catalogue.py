"""Which objective trains which network."""

from remint.generator.networks.catalogue import GeneratorConfig
from remint.generator.objectives.base import MintingObjective, MintingSetup
from remint.generator.objectives.game import GameObjective, MintLossConfig
from remint.generator.objectives.vae import VaeObjective


def build_objective(
    network: GeneratorConfig, loss: MintLossConfig, setup: MintingSetup
) -> MintingObjective:
    """Return the VAE's own objective, and the game for every network that has an opponent."""
    if network.name == "vae":
        return VaeObjective(setup)
    return GameObjective(setup, loss)
