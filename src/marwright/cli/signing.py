"""``marwright keygen`` and ``sign``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marwright.cli.options import ArchiveArgument, JsonOption, option, print_json
from marwright.console.progress import say


def keygen(
    key: Annotated[Path, typer.Argument(metavar="KEY", help="Where the private key goes; the public one is KEY.pub.")],
    as_json: JsonOption = False,
) -> None:
    """Make a pair of Ed25519 keys: KEY to sign with, KEY.pub to give away.

    Example: marwright keygen ~/.config/marwright/release.key
    """
    from marwright.mar.signing import new_key

    public = new_key(key)
    if as_json:
        print_json({"private": str(key), "public": str(public)})
    else:
        say(f"{key} signs: keep it secret. {public} verifies: give it to everybody who serves your archives.")


def sign(
    archive: ArchiveArgument,
    key: Annotated[Path, option("KEY", "The private key that `marwright keygen` made.")],
    as_json: JsonOption = False,
) -> None:
    """Sign an archive; the signature goes beside it, as ARCHIVE.sig.

    Example: marwright sign model_store/pt_classifier.mar --key ~/.config/marwright/release.key
    """
    from marwright.mar import signing

    signature = signing.sign(archive, key)
    if as_json:
        print_json({"archive": str(archive), "signature": str(signature)})
    else:
        say(f"{signature} is written. Check it: marwright verify {archive} --public-key {key}.pub")
