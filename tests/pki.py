"""A certificate authority of the tests' own, a host and a user of it: files as grid software expects them."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

POLICY = """access_id_CA X509 '/O=TestGrid/CN=Test CA'
pos_rights globus CA:sign
cond_subjects globus '"/O=TestGrid/*"'
"""
_PROXY_INFO = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")
_INHERIT_ALL = bytes.fromhex("300c300a06082b06010505071501")


class Pki:
    """`certificates/` is a hashed folder of CAs with a signing policy, `ca.pem` in it the CA; `host.pem` and `user.pem`
    hold certificate and key."""

    def __init__(self, folder: Path) -> None:
        self.certificates = folder / "certificates"
        self.certificates.mkdir(parents=True)
        self.ca, self.host, self.user = self.certificates / "ca.pem", folder / "host.pem", folder / "user.pem"
        self._key = rsa.generate_private_key(65537, 2048)
        self.ca.write_bytes(_pem(self._signed("Test CA", self._key)))
        hashed = subprocess.check_output(["openssl", "x509", "-hash", "-noout", "-in", self.ca], text=True).strip()
        (self.certificates / f"{hashed}.0").symlink_to("ca.pem")
        (self.certificates / f"{hashed}.signing_policy").write_text(POLICY)
        self.issue(self.host, "localhost")
        self._alice = self.issue(self.user, "Alice Test")

    def issue(self, path: Path, name: str) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
        """A certificate for this common name and its key, in one file."""
        key = rsa.generate_private_key(65537, 2048)
        certificate = self._signed(name, key)
        _keep(path, _pem(certificate) + _plain(key))
        return certificate, key

    def proxy(self, path: Path) -> None:
        """A proxy of the user (RFC 3820), as `grid-proxy-init` makes them."""
        user, signing = self._alice
        key = rsa.generate_private_key(65537, 2048)
        serial = x509.random_serial_number() >> 100
        proxy = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([*user.subject, x509.NameAttribute(NameOID.COMMON_NAME, str(serial))]))
            .issuer_name(user.subject)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(user.not_valid_before_utc)
            .not_valid_after(user.not_valid_before_utc + datetime.timedelta(days=1))
            .add_extension(x509.UnrecognizedExtension(_PROXY_INFO, _INHERIT_ALL), True)
            .add_extension(_usage(False), True)
            .sign(signing, hashes.SHA256())
        )
        _keep(path, _pem(proxy) + _plain(key) + _pem(user))

    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_cert_chain(self.host)
        return context

    def _signed(self, name: str, key: rsa.RSAPrivateKey) -> x509.Certificate:
        authority = key is self._key
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("Test CA"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=10))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(_usage(authority), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        if not authority:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(issuer, False).add_extension(x509.ExtendedKeyUsage(uses), False)
        if name == "localhost":
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self._key, hashes.SHA256())


def _keep(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)


def _plain(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "TestGrid"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_encipherment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
