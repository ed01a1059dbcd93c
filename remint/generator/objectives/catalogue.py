"""Which objective trains which network."""

from remint.generator.networks.catalogue import WITHOUT_GAME, GeneratorConfig
from remint.generator.objectives.adversarial_flow import AdversarialFlowObjective, JumpLossConfig
from remint.generator.objectives.base import MintingObjective, MintingSetup
from remint.generator.objectives.flow import FlowObjective
from remint.generator.objectives.game import GameObjective, MintLossConfig
from remint.generator.objectives.vae import VaeObjective


def build_objective(
    network: GeneratorConfig,
    loss: MintLossConfig,
    setup: MintingSetup,
    jumps: JumpLossConfig | None = None,
) -> MintingObjective:
    """Return the network's own objective, and the game for every one that has an opponent.

    jumps: what adversarial_flow needs beside the game; given to flow too where that goes before it.
    Raises ValueError for augmentation of what a discriminator sees where there is none.
    """
    if network.name in WITHOUT_GAME and loss.augment != "none" and not jumps:
        raise ValueError(
            f"train_generator.loss.augment: found {loss.augment} and {network.name} has no "
            "discriminator to show changed images to; set it to none, or train conv or r3"
        )
    if network.name == "vae":
        return VaeObjective(setup)
    if network.name == "flow":
        return FlowObjective(setup)
    if jumps and network.name == "adversarial_flow":
        return AdversarialFlowObjective(setup, loss, jumps, network.steps)
    return GameObjective(setup, loss)
