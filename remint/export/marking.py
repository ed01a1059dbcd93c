"""PNG bytes that say they were minted: an XMP mark always, a signed C2PA manifest on request.

The mark is IPTC's DigitalSourceType `trainedAlgorithmicMedia` (remint.images.provenance); whoever
re-saves the image drops it unknowingly. The manifest (C2PA specification 2.1, `c2pa.actions`) is
bound to the pixels by a signature, and needs the extra `c2pa` and the user's certificate.
"""

import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from remint.images import provenance
from remint.images.imagefile import encode_png

HEADER = 33  # bytes of the PNG signature and the IHDR chunk; further chunks may follow
Encoder = Callable[[np.ndarray], bytes]


@dataclass(frozen=True)
class SigningConfig:
    """certificate: PEM file of the signing certificate and its issuers; key: PEM file of its
    private key; both empty for no signature. algorithm: of the key."""

    certificate: str
    key: str
    algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"]

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            given, other = ("certificate", "key") if self.certificate else ("key", "certificate")
            raise ValueError(f"c2pa: found a {given} but no {other}; give both files, or neither")


def marking_encoder(config: SigningConfig) -> Encoder:
    """Return the function from uint8 HWC (1 or 3 channels) to marked, perhaps signed PNG bytes.

    Raises ValueError where a signature is asked for and the package, a file or a right key lacks.
    """
    chunk = _xmp_chunk(provenance.mark(None, provenance.MINTED))

    def encode(image: np.ndarray) -> bytes:
        plain = encode_png(image)
        return plain[:HEADER] + chunk + plain[HEADER:]

    if not config.certificate:
        return encode
    sign = _signer(config)
    return lambda image: sign(encode(image))


def _xmp_chunk(packet: bytes) -> bytes:
    """Return the iTXt chunk (PNG specification, 11.3.3.4) in which PNG keeps XMP."""
    body = provenance.PNG_KEYWORD.encode() + b"\0" * 5 + packet  # uncompressed, no language
    check = zlib.crc32(b"iTXt" + body)
    return len(body).to_bytes(4, "big") + b"iTXt" + body + check.to_bytes(4, "big")


def _signer(config: SigningConfig) -> Callable[[bytes], bytes]:
    if find_spec("c2pa") is None:
        raise ValueError("signing needs the package c2pa-python; install remint[c2pa]")
    import c2pa

    chain, key = (_pem(name) for name in (config.certificate, config.key))
    try:
        info = c2pa.C2paSignerInfo(config.algorithm, chain, key, None)
        settings = c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}})
        context = c2pa.Context(settings=settings, signer=c2pa.Signer.from_info(info))
    except c2pa.C2paError as error:
        raise ValueError(
            f"c2pa: {config.certificate} and {config.key} can't sign with {config.algorithm} "
            f"({error}); check that they belong together"
        ) from error

    def sign(png: bytes) -> bytes:
        signed = io.BytesIO()
        try:
            with c2pa.Builder(json.dumps(_manifest()), context) as builder:
                builder.sign("image/png", io.BytesIO(png), signed)
        except c2pa.C2paError as error:
            raise ValueError(
                f"c2pa: {config.certificate} can't sign ({error}); use a certificate for document "
                "signing or e-mail protection, in its days of validity"
            ) from error
        return signed.getvalue()

    return sign


def _manifest() -> dict[str, object]:
    made = {
        "action": "c2pa.created",
        "digitalSourceType": provenance.uri(provenance.MINTED),
        "softwareAgent": {"name": "remint"},
    }
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [made]}}
    return {"claim_generator_info": [{"name": "remint"}], "assertions": [actions]}


def _pem(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ValueError(
            f"c2pa: {name} can't be read ({error.strerror}); name a PEM file"
        ) from None
