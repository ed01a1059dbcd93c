"""The one name of a trained model: in MLflow, the registry, reports, cards and ledgers."""

import hashlib
from pathlib import Path


def model_fingerprint(folder: Path) -> str:
    """Return BLAKE2b-128 hex of every safetensors file of a model's folder, by name.

    Raises ValueError where there is none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder}: found no weights (*.safetensors), needed a trained model")
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
