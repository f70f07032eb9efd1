"""RFC 3820 proxies of a certificate, or of another proxy, as grid users carry them."""

from __future__ import annotations

import datetime
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

INHERITS = bytes.fromhex("300c300a06082b06010505071501")
LIMITED = bytes.fromhex("300f300d060b2b060104019b5001010109")
_USAGE = x509.KeyUsage(True, False, True, False, False, False, False, False, False)


def make_proxy(
    signer: Path, target: Path, *, hours: float = 12, policy: bytes | None = INHERITS, common: str | None = None
) -> Path:
    """`target` with a proxy signed by the certificate (or proxy) in `signer`, its key and the chain. `hours` is how long
    it still lives; without a `policy` it is one of the old kind; `common` is its last name."""
    chain = x509.load_pem_x509_certificates(signer.read_bytes())
    key = serialization.load_pem_private_key(signer.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    own = rsa.generate_private_key(65537, 2048)
    serial = secrets.randbelow(1 << 31)
    name = x509.NameAttribute(NameOID.COMMON_NAME, common or (str(serial) if policy else "proxy"))
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*chain[0].subject.rdns, x509.RelativeDistinguishedName([name])]))
        .issuer_name(chain[0].subject)
        .public_key(own.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(hours=24))
        .not_valid_after(now + datetime.timedelta(hours=hours))
        .add_extension(_USAGE, True)
    )
    if policy:
        oid = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, policy), True)
    certificate = builder.sign(key, hashes.SHA256())
    plain = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    target.touch(0o600)
    parts = [certificate, *chain]
    first, *rest = (one.public_bytes(serialization.Encoding.PEM) for one in parts)
    target.write_bytes(first + plain + b"".join(rest))
    return target
