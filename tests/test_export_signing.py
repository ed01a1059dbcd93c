"""Claims about signed images: C2PA manifests by the user's certificate (extra `c2pa`)."""

import datetime
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from remint.export.marking import SigningConfig, marking_encoder
from remint.images import provenance
from remint.images.imagefile import decode_stored


def chain(folder: Path) -> SigningConfig:
    """Write a test authority's certificate for signing documents, and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n)]) for n in ("root", "leaf")]
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    pem = b""
    for own in (1, 0):
        unused = "content_commitment key_encipherment data_encipherment key_agreement"
        usage = dict.fromkeys([*unused.split(), "encipher_only", "decipher_only"], False)
        usage |= {"digital_signature": own == 1, "key_cert_sign": own == 0, "crl_sign": own == 0}
        public = keys[own].public_key()
        builder = (
            x509.CertificateBuilder(names[0], names[own], public, 7 + own, now - day, now + day)
            .add_extension(x509.BasicConstraints(own == 0, None), True)
            .add_extension(x509.KeyUsage(**usage), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        )
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key())
        builder = builder.add_extension(issuer, False)
        if own:
            purpose = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, False)
        pem += builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "chain.pem").write_bytes(pem)
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    secret = keys[1].private_bytes(*private, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    return SigningConfig(str(folder / "chain.pem"), str(folder / "key.pem"), "es256")


def test_a_certificate_signs_the_pixels_and_a_changed_pixel_shows(tmp_path: Path) -> None:
    c2pa = pytest.importorskip("c2pa", reason="the package c2pa-python (extra c2pa) is absent")
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    signed = marking_encoder(chain(tmp_path))(image)
    with c2pa.Reader("image/png", io.BytesIO(signed)) as reader:
        found = json.loads(reader.json())
        assert reader.get_validation_state() == "Valid"
    manifest = found["manifests"][found["active_manifest"]]
    action = manifest["assertions"][0]["data"]["actions"][0]
    assert action["digitalSourceType"] == provenance.uri("trainedAlgorithmicMedia")
    assert (decode_stored(signed) == image).all()
    broken = bytearray(signed)
    broken[-20] ^= 1
    with c2pa.Reader("image/png", io.BytesIO(bytes(broken))) as reader:
        assert reader.get_validation_state() == "Invalid"


def test_a_wrong_key_is_refused_with_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("c2pa", reason="the package c2pa-python (extra c2pa) is absent")
    right = chain(tmp_path)
    (tmp_path / "other.pem").write_text("no key")
    with pytest.raises(ValueError, match=r"can't sign"):
        marking_encoder(replace(right, key=str(tmp_path / "other.pem")))
    with pytest.raises(ValueError, match="can't be read"):
        marking_encoder(replace(right, key=str(tmp_path / "none.pem")))


def test_half_a_signature_and_an_absent_package_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="found a key but no certificate"):
        SigningConfig("", "key.pem", "es256")
    monkeypatch.setattr("remint.export.marking.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"install remint\[c2pa\]"):
        marking_encoder(SigningConfig("chain.pem", "key.pem", "es256"))
