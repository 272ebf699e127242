"""Signatures: what was signed verifies, and nothing else does."""

from __future__ import annotations

import importlib.util
import random
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import marwright

from marwright.archive.signing import new_key, sign, signature_holds, signature_of
from marwright.errors import SigningError


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


def test_each_unusable_key_has_a_sentence(archive: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    private = ec.generate_private_key(ec.SECP256R1())
    secret = BestAvailableEncryption(b"secret")
    encrypted, garbage = tmp_path / "encrypted.key", tmp_path / "garbage.key"
    encrypted.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    garbage.write_bytes(b"not a key")
    for key, sentence in (
        (tmp_path / "missing.key", "cannot be read"),
        (encrypted, "encrypted"),
        (garbage, "no private key"),
        (keys[1], "no private key"),
    ):
        with pytest.raises(SigningError, match=f"^{key}: .*{sentence}"):
            sign(archive, key)
    sign(archive, keys[0])
    with pytest.raises(SigningError, match="no public key"):
        signature_holds(archive, keys[0])
    assert not signature_of(archive.with_name("other.mar")).exists()


def test_without_the_library_the_cure_is_one_line(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cryptography" else there(name))

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
