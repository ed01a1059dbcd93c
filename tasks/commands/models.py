"""`remint models`: the restorers that are there, and what each is for."""

from collections.abc import Iterator

from remint.restorer import shipped
from tasks.commands.model_choice import TRAINED


def lines() -> Iterator[str]:
    """Yield a line a model: the trained one, then those that come with Remint."""
    if (TRAINED / shipped.CARD).exists():
        yield f"{TRAINED}: the one trained here, used where no other is named"
    for name in shipped.names():
        yield f"{name}: {shipped.card(name)['about']['use']}"
