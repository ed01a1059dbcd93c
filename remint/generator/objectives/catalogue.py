"""Which objective trains which network."""

from remint.generator.networks.catalogue import GeneratorConfig
from remint.generator.objectives.base import MintingObjective, MintingSetup
from remint.generator.objectives.flow import FlowObjective
from remint.generator.objectives.game import GameObjective, MintLossConfig
from remint.generator.objectives.vae import VaeObjective


def build_objective(
    network: GeneratorConfig, loss: MintLossConfig, setup: MintingSetup
) -> MintingObjective:
    """Return the network's own objective, and the game for every one that has an opponent."""
    if network.name == "vae":
        return VaeObjective(setup)
    if network.name == "flow":
        return FlowObjective(setup)
    return GameObjective(setup, loss)
