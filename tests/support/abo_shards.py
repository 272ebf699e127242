"""Makes shards of product listings in the format of Amazon Berkeley Objects, about as long as the real ones.

By hand: ``python tests/support/abo_shards.py FOLDER 147702`` writes as many listings as the published data set has.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

MEMBERS = "listings/metadata"
PUBLISHED = 147_702  # listings in the published data set
_TYPES = (
    "CELLULAR_PHONE_CASE",
    "SHOES",
    "GROCERY",
    "HOME",
    "CHAIR",
    "SOFA",
    "RUG",
    "LAMP",
    "EARRING",
    "BACKPACK",
)
_LANGUAGES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_MX")
_WORDS = ("velvet", "leather", "walnut", "printed", "hard", "case", "phone", "women", "modern", "navy", "kitchen")


def tagged(**values: str) -> list[dict[str, str]]:
    """A field with one value in each language: ``tagged(en_US="Chair", de_DE="Stuhl")``."""
    return [{"language_tag": language, "value": value} for language, value in values.items()]


def listing(**fields: Any) -> dict[str, Any]:
    """One listing with what every listing has; ``fields`` replace or extend it."""
    return {
        "item_id": "B07H9GMYXS",
        "item_name": tagged(en_US="Velvet chair"),
        "product_type": [{"value": "CHAIR"}],
        "marketplace": "Amazon",
    } | fields


def realistic(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Listings of some 5 kB each, in several languages, with keywords and bullet points."""
    rng = random.Random(seed)

    def words(number: int) -> str:
        return " ".join(rng.choices(_WORDS, k=number))

    for index in range(count):
        languages = rng.sample(_LANGUAGES, 2)
        yield {
            "brand": [{"language_tag": tag, "value": "Solimo"} for tag in languages],
            "bullet_point": [{"language_tag": tag, "value": words(20)} for tag in languages for _ in range(5)],
            "color": [{"language_tag": tag, "value": "navy", "standardized_values": ["Blue"]} for tag in languages],
            "item_id": f"B{index:09d}",
            "item_keywords": [{"language_tag": tag, "value": words(2)} for tag in languages for _ in range(20)],
            "item_name": [{"language_tag": tag, "value": f"{words(10)} {index}"} for tag in languages],
            "model_number": [{"value": f"M{index}"}],
            "item_weight": [{"normalized_value": {"unit": "pounds", "value": 0.2}, "unit": "grams", "value": 90}],
            "product_type": [{"value": rng.choice(_TYPES)}],
            "other_image_id": [f"{rng.getrandbits(40):x}" for _ in range(6)],
            "node": [{"node_id": 1389401031, "node_name": "/Categories/Mobiles & Accessories/Cases & Covers"}],
            "country": "IN",
            "marketplace": "Amazon",
            "domain_name": "amazon.in",
        }


def write_shards(folder: Path, listings: Iterable[dict[str, Any]], shards: int = 16) -> Path:
    """Write ``listings_0.json.gz`` and so on by turns; the listings are not all held in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        names = [folder / f"listings_{n:x}.json.gz" for n in range(shards)]
        files = [opened.enter_context(gzip.open(name, "wb", compresslevel=1)) for name in names]
        for index, each in enumerate(listings):
            files[index % shards].write(json.dumps(each).encode() + b"\n")
    return folder


def write_tar(path: Path, folder: Path) -> Path:
    """Pack shards as the published archive does, beside the README that comes with it."""
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, f"{MEMBERS}/../README.md")
        for shard in sorted(folder.iterdir(), reverse=True):
            archive.add(shard, f"{MEMBERS}/{shard.name}")
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_tar(target / "abo-listings.tar", write_shards(target / MEMBERS, realistic(int(sys.argv[2]))))
