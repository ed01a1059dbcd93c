"""Which objective trains which network."""

from remint.generator.networks.catalogue import GeneratorConfig
from remint.generator.objectives.base import MintingObjective, MintingSetup
from remint.generator.objectives.flow import FlowObjective
from remint.generator.objectives.game import GameObjective, MintLossConfig
from remint.generator.objectives.vae import VaeObjective


def build_objective(
    network: GeneratorConfig, loss: MintLossConfig, setup: MintingSetup
) -> MintingObjective:
    """Return the network's own objective, and the game for every one that has an opponent.

    Raises ValueError for augmentation of what a discriminator sees where there is none.
    """
    if network.name in ("vae", "flow") and loss.augment != "none":
        raise ValueError(
            f"train_generator.loss.augment: found {loss.augment} and {network.name} has no "
            "discriminator to show changed images to; set it to none, or train conv or r3"
        )
    if network.name == "vae":
        return VaeObjective(setup)
    if network.name == "flow":
        return FlowObjective(setup)
    return GameObjective(setup, loss)
