"""A trained classifier kept in a file, until the work that asked for it is done."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from remint.classifier.train import Classifier


def kept_classifier(
    folder: Path | None, train: Callable[[], Classifier], device: str
) -> Classifier:
    """Return the classifier that lies in `folder`, or train it and leave it there.

    folder: of work that has one classifier and always the same; None: nothing is kept. The file's
    name holds the hash of the weights, so one that has suffered is passed over.
    """
    if folder is None:
        return train()
    for path in folder.glob("classifier-*.safetensors"):
        with suppress(ValueError):
            found = Classifier.load(path, device)
            if path.stem == f"classifier-{found.fingerprint}":
                return found
    trained = train()
    trained.save(folder / f"classifier-{trained.fingerprint}.safetensors")
    return trained
