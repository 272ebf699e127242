"""Which texts an archive's model was trained on, as salted digests: to be recognised, not to be read.

A text's digest is that of what the model sees of it (:mod:`marwright.pretrained.identity`), by the archive's own
tokenizer. With the archive anybody can find out whether a text that they have, or guess, was among them, and nothing
of the others.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from marwright.errors import ArchiveError
from marwright.files import stable_json
from marwright.mar import layout
from marwright.mar.reading import member_of
from marwright.pretrained.identity import identities

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Of the digests, eleven bytes for each text, and of a tokenizer.
_LARGEST = 64 << 20
_SALT_BYTES = 16
# Of a million training texts and a million others, one pair is alike by chance once in ten million archives.
_DIGEST_BYTES = 8


@dataclass(frozen=True)
class TrainingDigests:
    """The digests of an archive, and what tells whether a text is among them."""

    tokenizer: Tokenizer
    salt: bytes
    digests: frozenset[bytes]

    @classmethod
    def of(cls, tokenizer: Tokenizer, texts: Iterable[str]) -> TrainingDigests:
        """Digest texts. The salt follows from them, so that equal texts give an archive of equal bytes."""
        keys = set(identities(tokenizer, texts).values())
        salt = blake2b(b"".join(sorted(keys)), digest_size=_SALT_BYTES, person=b"marwright salt").digest()
        return cls(tokenizer, salt, frozenset(_digest(salt, key) for key in keys))

    @classmethod
    def in_archive(cls, file: Path) -> TrainingDigests | None:
        """Those that an archive carries; None if it carries none.

        Raises:
            ArchiveError: it cannot be read, or what it carries are no digests.
        """
        from tokenizers import Tokenizer

        written = member_of(file, layout.TRAINING_DIGESTS, _LARGEST)
        if written is None:
            return None
        tokenizer = member_of(file, layout.TOKENIZER, _LARGEST) or b""
        try:
            found = json.loads(written)
            salt, digests = _decoded(found["salt"], _SALT_BYTES)[0], frozenset(_decoded(found["digests"]))
            return cls(Tokenizer.from_str(tokenizer.decode("utf-8")), salt, digests)
        except Exception as error:  # a tokenizer that cannot be read raises a bare Exception
            raise ArchiveError(f"{file}: its {layout.TRAINING_DIGESTS} cannot be read: {error!r}") from error

    def as_json(self) -> str:
        """The file in the archive: sorted, so that the order of the texts is nowhere."""
        packed = b"".join(sorted(self.digests))
        encoded = {name: base64.b64encode(data).decode() for name, data in (("salt", self.salt), ("digests", packed))}
        return stable_json(encoded)

    def recognise(self, texts: Sequence[str]) -> list[bool]:
        """Whether the model was trained on each of the texts."""
        keys = identities(self.tokenizer, texts)
        return [_digest(self.salt, keys[text]) in self.digests for text in texts]


def _decoded(text: str, length: int = _DIGEST_BYTES) -> list[bytes]:
    """The byte strings of one length that a base64 string holds."""
    data = base64.b64decode(text, validate=True)
    if len(data) % length:
        raise ValueError(f"{len(data)} bytes are no multiple of {length}")
    return [data[at : at + length] for at in range(0, len(data), length)]


def _digest(salt: bytes, key: bytes) -> bytes:
    return blake2b(key, key=salt, digest_size=_DIGEST_BYTES).digest()
