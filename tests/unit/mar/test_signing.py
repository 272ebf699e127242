"""Signatures: what was signed verifies, and nothing else does."""

from __future__ import annotations

import base64
import importlib.util
import random
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from command_line import marwright
from marwright.errors import SigningError
from marwright.mar.signing import new_key, sign, signature_holds, signature_of


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    key = tmp_path / "keys" / "release.key"
    return key, new_key(key)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "goods.mar"
    file.write_bytes(random.Random(1).randbytes(20_000))
    return file


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def test_what_was_signed_verifies(archive: Path, keys: tuple[Path, Path]) -> None:
    assert sign(archive, keys[0]) == archive.with_name("goods.mar.sig")
    assert signature_holds(archive, keys[1])


def test_a_flipped_bit_of_the_archive_is_caught_wherever_it_is(archive: Path, keys: tuple[Path, Path]) -> None:
    sign(archive, keys[0])
    whole = archive.read_bytes()
    places = [0, 1, len(whole) - 1, *random.Random(2).sample(range(len(whole)), 500)]
    for number, at in enumerate(places):
        archive.write_bytes(flipped(whole, at, number % 8))
        assert not signature_holds(archive, keys[1]), at
    archive.write_bytes(whole)
    assert signature_holds(archive, keys[1])


def test_a_flipped_bit_of_the_signature_is_caught_wherever_it_is(archive: Path, keys: tuple[Path, Path]) -> None:
    signature = sign(archive, keys[0])
    whole = signature.read_bytes()
    for at in range(len(whole)):
        for bit in range(8):
            signature.write_bytes(flipped(whole, at, bit))
            assert not signature_holds(archive, keys[1]), (at, bit)


@pytest.mark.parametrize("change", [b"", b"more", b"\0" * 64])
def test_a_signature_of_another_length_is_none(archive: Path, keys: tuple[Path, Path], change: bytes) -> None:
    signature = sign(archive, keys[0])
    signature.write_bytes(signature.read_bytes() + change if change else b"")

    assert not signature_holds(archive, keys[1])


def test_an_archive_with_bytes_added_or_taken_away_is_caught(archive: Path, keys: tuple[Path, Path]) -> None:
    sign(archive, keys[0])
    whole = archive.read_bytes()
    for other in (whole + b"\0", whole[:-1], b""):
        archive.write_bytes(other)
        assert not signature_holds(archive, keys[1])


def test_the_signature_of_another_key_is_caught(archive: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    sign(archive, keys[0])

    assert not signature_holds(archive, new_key(tmp_path / "other.key"))


def test_openssl_verifies_it_too(archive: Path, keys: tuple[Path, Path]) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    signature = sign(archive, keys[0])
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys[1], "-rawin", "-in", archive]
    done = subprocess.run([*command, "-sigfile", signature], capture_output=True, text=True, check=False)

    assert "Verified Successfully" in done.stdout, done.stderr


def test_a_private_key_is_its_owners_alone_and_never_overwritten(keys: tuple[Path, Path]) -> None:
    before = keys[0].read_bytes()

    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600
    with pytest.raises(SigningError, match="exists already"):
        new_key(keys[0])
    assert keys[0].read_bytes() == before


def private_pem_of(algorithm: bytes) -> bytes:
    """A private key of 32 bytes under any algorithm's number (RFC 8410)."""
    inner = b"\x02\x01\x00\x30" + bytes([len(algorithm)]) + algorithm + b"\x04\x22\x04\x20" + bytes(range(32))
    encoded = base64.encodebytes(b"\x30" + bytes([len(inner)]) + inner)
    return b"-----BEGIN PRIVATE KEY-----\n" + encoded + b"-----END PRIVATE KEY-----\n"


def test_a_place_that_cannot_be_written_has_a_sentence(archive: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    signature_of(archive).mkdir()
    with pytest.raises(SigningError, match=f"^{signature_of(archive)}: cannot be written: "):
        sign(archive, keys[0])
    assert {path.name for path in tmp_path.iterdir()} == {"keys", "goods.mar", "goods.mar.sig"}

    (tmp_path / "new.key.pub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SigningError, match="exists already"):
        new_key(tmp_path / "new.key")
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "new.key").exists()


def test_each_unusable_key_has_a_sentence(archive: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private = ec.generate_private_key(ec.SECP256R1())
    secret = BestAvailableEncryption(b"secret")
    encrypted, garbage, curve = (tmp_path / f"{name}.key" for name in ("encrypted", "garbage", "curve"))
    curve.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    # An algorithm that nobody knows: the number of Ed25519 with another last digit.
    unknown = tmp_path / "unknown.key"
    pem = private_pem_of(b"\x06\x03\x2b\x65\x7f")
    unknown.write_bytes(pem)
    encrypted.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    garbage.write_bytes(b"not a key")
    for key, sentence in (
        (tmp_path / "missing.key", "cannot be read"),
        (encrypted, "encrypted"),
        (garbage, "no private key"),
        (curve, "not an Ed25519 key"),
        (unknown, "no private key"),
        (keys[1], "no private key"),
    ):
        with pytest.raises(SigningError, match=f"^{key}: .*{sentence}"):
            sign(archive, key)
    sign(archive, keys[0])
    public_curve = tmp_path / "curve.pub"
    public_curve.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for key, sentence in ((keys[0], "no public key"), (public_curve, "not an Ed25519 key"), (archive, "no public key")):
        with pytest.raises(SigningError, match=f"^{key}: .*{sentence}"):
            signature_holds(archive, key)
    assert not signature_of(archive.with_name("other.mar")).exists()


def test_without_the_library_the_cure_is_one_line(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr("marwright.installed.find_spec", lambda name: None if name == "cryptography" else there(name))

    with pytest.raises(SigningError, match=r"^Signatures need one more package: pip install cryptography"):
        sign(archive, archive)


def test_the_verbs_make_keys_and_sign(archive: Path, tmp_path: Path) -> None:
    key = tmp_path / "cli.key"
    assert marwright("keygen", key).returncode == 0
    assert marwright("sign", archive, "--key", key).returncode == 0

    assert signature_holds(archive, tmp_path / "cli.key.pub")
    again = marwright("keygen", key)
    assert again.returncode == 2
    assert "exists already" in again.stderr
