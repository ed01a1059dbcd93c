"""Starting a restorer from a trained one: its averaged weights, under fresh optimisers."""

from torch import nn

from remint.restorer.networks.catalogue import NetworkConfig
from remint.restorer.restorer import Restorer, network_config
from remint.training.checkpoint import differences, network_settings
from remint.training.starting import compared, told


def take_over(
    network: nn.Module, start: Restorer, config: NetworkConfig, *, strict: bool
) -> list[str]:
    """Load the tensors of `start` that fit into `network`; return a phrase for each that does not.

    config: of `network`. Raises ValueError, with the differences, where the networks are of
    another kind, where nothing fits, and if `strict` where anything does not.
    """
    fitting, unfit = compared(start.network.state_dict(), network.state_dict())
    another_kind = start.card["network"]["name"] != config.name
    if another_kind or not fitting or (strict and unfit):
        raise ValueError(_refusal(start, config, unfit))
    network.load_state_dict(fitting, strict=False)
    return unfit


def _refusal(start: Restorer, config: NetworkConfig, unfit: list[str]) -> str:
    both = network_config(start.card), config
    settings = differences(*map(network_settings, both))
    return (
        f"start: the model {start.fingerprint} ({start.channels} channels) is not the network that "
        f"is trained: {told(settings, unfit)}. Give train_restorer.network its values and "
        "ingest.colour its channels, choose another model, or set start.strict: false to take what "
        "fits"
    )
