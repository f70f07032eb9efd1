"""Who we are on the grid: an X.509 certificate or an RFC 3820 proxy of one, and proxies that we let servers have."""

from __future__ import annotations

import datetime
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from .errors import Denied, InvalidOptions, StorageError
from .paths import shown

PROXY = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")  # the extension that makes a certificate a proxy
# ProxyCertInfo in DER, without a limit of its length: all rights are inherited, or those of a limited proxy.
_INHERITS = bytes.fromhex("300c300a06082b06010505071501")
_LIMITED = bytes.fromhex("300f300d060b2b060104019b5001010109")
_LIMITED_POLICY = _LIMITED[4:]  # Globus' OID 1.3.6.1.4.1.3536.1.1.1.9
_HOURS = 12  # that a server may act for us at most
_SKEW = datetime.timedelta(minutes=5)  # that its clock may be behind ours


class Credential:
    """Certificate, key and the chain up to below the CA. Its key is in no repr."""

    def __init__(self, certificate: str, key: str | None = None) -> None:
        """Read PEM files. Raises InvalidOptions when they cannot be used, Denied when they have expired."""
        self.files = (certificate, key)
        own = _read("certificate", certificate)
        try:
            self._chain = x509.load_pem_x509_certificates(own)
        except ValueError:
            raise InvalidOptions(f"option 'certificate': {shown(certificate)} holds no certificate in PEM") from None
        try:
            private = serialization.load_pem_private_key(own if key is None else _read("key", key), None)
        except (ValueError, TypeError):
            where = f"'key': {shown(key)}" if key else f"'certificate': {shown(certificate)}"
            raise InvalidOptions(f"option {where} holds no private key in PEM without a passphrase") from None
        leaf = self._chain[0]
        if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise InvalidOptions("option 'certificate': only RSA and EC keys can be used")
        if private.public_key() != leaf.public_key():
            raise InvalidOptions("option 'certificate': the key is not that of the certificate")
        self._private = private
        ends = min(self._chain, key=lambda one: one.not_valid_after_utc)
        self.expires = ends.not_valid_after_utc
        if self.expires <= datetime.datetime.now(datetime.UTC):
            what = "proxy" if _proxy_info(ends) is not None else "certificate"
            raise Denied(f"our {what} in {shown(certificate)} expired at {self.expires:%Y-%m-%d %H:%M:%S} UTC")
        self.identity = next((one.subject for one in self._chain if _proxy_info(one) is None), leaf.subject)
        if list(leaf.subject)[-1].value in ("proxy", "limited proxy"):
            raise InvalidOptions(f"{shown(certificate)} is a proxy of the old kind: make one as RFC 3820 has it (-rfc)")

    def sign(self, request: bytes) -> bytes:
        """A proxy of ours for the key in a certificate request, both in DER: it can do what we can, for some hours.

        Raises StorageError when that is no request.
        """
        try:
            asked = x509.load_der_x509_csr(request)
            good = asked.is_signature_valid
            public = asked.public_key()
        except (ValueError, InvalidSignature):
            good = False
        if not good or not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise StorageError("the server's request for a delegated proxy cannot be read")
        now = datetime.datetime.now(datetime.UTC)
        issuer = self._chain[0]
        serial = secrets.randbelow(1 << 31)
        name = x509.NameAttribute(NameOID.COMMON_NAME, str(serial))
        limited = _LIMITED_POLICY in (_proxy_info(issuer) or b"")
        usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
        signed = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([*issuer.subject.rdns, x509.RelativeDistinguishedName([name])]))
            .issuer_name(issuer.subject)
            .public_key(public)
            .serial_number(serial)
            .not_valid_before(max(now - _SKEW, issuer.not_valid_before_utc))
            .not_valid_after(min(now + datetime.timedelta(hours=_HOURS), self.expires))
            .add_extension(x509.UnrecognizedExtension(PROXY, _LIMITED if limited else _INHERITS), True)
            .add_extension(usage, True)
            .sign(self._private, hashes.SHA256())
        )
        return signed.public_bytes(serialization.Encoding.DER)


def _read(option: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidOptions(f"option {option!r}: {shown(path)}: {error.strerror}") from None


def _proxy_info(certificate: x509.Certificate) -> bytes | None:
    try:
        found = certificate.extensions.get_extension_for_oid(PROXY).value
    except x509.ExtensionNotFound:
        return None
    assert isinstance(found, x509.UnrecognizedExtension), "the library does not know it"
    return found.value
