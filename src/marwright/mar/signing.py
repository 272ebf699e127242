"""Signs archives with Ed25519: 64 bytes beside the archive, over all of its bytes.

Keys are PEM files and signatures are raw, so `openssl` reads both.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marwright.errors import SigningError
from marwright.files import replacing
from marwright.installed import is_installed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def signature_of(archive: Path) -> Path:
    """Where the signature of an archive is."""
    return archive.with_name(f"{archive.name}.sig")


def new_key(file: Path) -> Path:
    """Write a private key that only its owner can read, and beside it the public one.

    Returns:
        the public key's file.

    Raises:
        SigningError: one of the files exists already or cannot be written.
    """
    _need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    public = file.with_name(f"{file.name}.pub")
    # A link that leads nowhere exists too: the key would be written where it points to.
    if there := [one for one in (file, public) if one.exists() or one.is_symlink()]:
        raise SigningError(f"{there[0]} exists already; a key is never overwritten.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Private from its first moment on; and never through a link or over a file that has come in between.
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        with replacing(public) as partial:
            partial.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    except OSError as error:
        raise SigningError(f"{file}: no key can be written there: {error.strerror or error}.") from error
    return public


def sign(archive: Path, key: Path) -> Path:
    """Write the signature of an archive.

    Returns:
        the signature's file.

    Raises:
        SigningError: the archive or the key cannot be read, or the signature cannot be written.
    """
    private = _private_key(key)
    signature = private.sign(_bytes_of(archive))
    file = signature_of(archive)
    try:
        with replacing(file) as partial:
            partial.write_bytes(signature)
    except OSError as error:
        raise SigningError(f"{file}: cannot be written: {error.strerror or error}.") from error
    return file


def signature_holds(archive: Path, public_key: Path, data: bytes | None = None) -> bool:
    """Whether the signature beside an archive is that of this key.

    ``data`` are the archive's bytes, where they have been read already: the file may have changed since.

    Raises:
        SigningError: the archive, its signature or the key cannot be read.
    """
    public = _public_key(public_key)
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(_bytes_of(signature_of(archive)), _bytes_of(archive) if data is None else data)
    except InvalidSignature:
        return False
    return True


def _private_key(file: Path) -> Ed25519PrivateKey:
    _need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    read = partial(load_pem_private_key, password=None)
    try:
        key: Ed25519PrivateKey = _key(file, Ed25519PrivateKey, read, "private", "Make one with `marwright keygen KEY`.")
    except TypeError as error:
        raise SigningError(f"{file}: encrypted; decrypt it with `openssl pkey -in {file} -out KEY`.") from error
    return key


def _public_key(file: Path) -> Ed25519PublicKey:
    _need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    cure = "`marwright keygen KEY` writes one as KEY.pub."
    key: Ed25519PublicKey = _key(file, Ed25519PublicKey, load_pem_public_key, "public", cure)
    return key


def _key(file: Path, kind: Any, read: Callable[[bytes], object], what: str, cure: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = read(_bytes_of(file))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{file}: no {what} key. {cure}") from error
    if isinstance(key, kind):
        return key
    raise SigningError(f"{file}: not an Ed25519 key. {cure}")


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SigningError(f"{file}: cannot be read: {error.strerror or error}.") from error


def _need_cryptography() -> None:
    if not is_installed("cryptography"):
        raise SigningError("Signatures need one more package: pip install cryptography, or marwright's extra [sign]")
