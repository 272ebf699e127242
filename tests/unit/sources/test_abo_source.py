"""Product listings: choice of language and fields, rare labels, archives from anywhere, damage, memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from abo_shards import PUBLISHED, listing, realistic, tagged, write_shards, write_tar
from marwright.errors import DataError
from marwright.sources import AboSource
from marwright.sources.rows import Reading
from range_server import serving


def reading(location: Path | str, **settings: Any) -> Reading:
    given = {"name": "abo", "location": str(location), "min_rows_per_label": 1, **settings}
    return AboSource.model_validate(given).read(skip=False)


def pairs(location: Path | str, **settings: Any) -> list[tuple[str, str]]:
    return [(row.text, row.label) for row in reading(location, **settings).rows]


def texts(folder: Path, *listings: dict[str, Any], **settings: Any) -> list[str]:
    return [text for text, _ in pairs(write_shards(folder, listings, shards=1), **settings)]


def refusal(location: Path | str, **settings: Any) -> str:
    with pytest.raises(DataError) as raised:
        pairs(location, **settings)
    return str(raised.value).removeprefix(f"{location}: ")


# Texts and labels


def test_the_first_language_that_has_a_value_wins(tmp_path: Path) -> None:
    listings = [
        listing(item_name=tagged(de_DE="Stuhl", en_GB="Chair", en_US="Seat")),
        listing(item_name=tagged(de_DE="Lampe", en_US="Lamp", en_GB=" ")),
        listing(item_name=tagged(de_DE="Sofa")),
    ]
    shards = write_shards(tmp_path, listings, shards=1)
    found = reading(shards, languages=["en_GB", "en_US"])

    assert [row.text for row in found.rows] == ["Chair", "Lamp"]
    assert found.left_out.counts == {"no item_name in en_GB, en_US": 1}


def test_text_fields_are_joined_and_only_the_first_is_needed(tmp_path: Path) -> None:
    bullets = tagged(en_US="Easy to clean") + tagged(en_US="Two seats") + tagged(de_DE="Leicht")
    listings = [
        listing(brand=tagged(en_US="Rivet"), bullet_point=bullets, model_number=[{"value": "M1"}]),
        listing(),
        listing(item_name=[], brand=tagged(en_US="Rivet")),
    ]
    fields = ["item_name", "brand", "bullet_point", "model_number"]

    assert texts(tmp_path, *listings, text_fields=fields) == [
        "Velvet chair Rivet Easy to clean Two seats M1",
        "Velvet chair",
    ]


def test_half_an_emoji_does_not_spoil_a_text(tmp_path: Path) -> None:
    assert texts(tmp_path, listing(item_name=tagged(en_US="Chair \U0001fa91 caf\u00e9 \ud83e"))) == [
        "Chair \U0001fa91 caf\u00e9"
    ]


def test_the_first_value_of_the_label_field_is_the_label(tmp_path: Path) -> None:
    listings = [
        listing(product_type=[{"value": "SOFA"}, {"value": "CHAIR"}], brand=tagged(de_DE="Stein", en_US="Stone")),
        listing(product_type=[]),
    ]
    shards = write_shards(tmp_path, listings, shards=1)

    found = reading(shards)
    assert [row.label for row in found.rows] == ["SOFA"]
    assert found.left_out.counts == {"no product_type": 1}
    assert [label for _, label in pairs(shards, label_field="brand")] == ["Stone"]
    assert [label for _, label in pairs(shards, label_field="marketplace")] == ["Amazon", "Amazon"]


def test_rare_labels_are_left_out_and_counted(tmp_path: Path) -> None:
    kinds = ["CHAIR"] * 3 + ["SOFA"] * 2 + ["LAMP"]
    shards = write_shards(tmp_path, [listing(product_type=[{"value": kind}]) for kind in kinds], shards=2)
    found = reading(shards, min_rows_per_label=3)

    assert [row.label for row in found.rows] == ["CHAIR"] * 3
    assert found.left_out.counts == {"product_type with fewer than 3 listings": 3}


def test_when_nothing_is_left_the_reasons_are_given(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, [listing()] * 2 + [listing(item_name=[])])

    assert refusal(shards, min_rows_per_label=3) == (
        "no listing is left (1 with no item_name in en_US, 2 with product_type with fewer than 3 listings); "
        "check languages, text_fields, label_field and min_rows_per_label in data.source."
    )


# Where the listings come from


def test_folder_tar_and_url_give_the_same_rows(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "unpacked" / "listings" / "metadata", realistic(100))
    tar = write_tar(tmp_path / "abo-listings.tar", folder)
    sha256 = hashlib.sha256(tar.read_bytes()).hexdigest()
    everywhere = {"languages": ["en_US", "en_GB", "de_DE", "fr_FR", "es_MX"]}

    with serving(tar.read_bytes()) as server:
        to = tmp_path / "downloads"
        from_url = reading(
            server.url() + "?key=secret", sha256=sha256, size=tar.stat().st_size, download_to=to, **everywhere
        )
        assert from_url.origin == server.url()
    found = [(row.text, row.label) for row in from_url.rows]

    assert len(found) == 100
    assert found == pairs(tar, sha256=sha256, **everywhere) == pairs(tmp_path / "unpacked", **everywhere)
    assert [file.name for file in to.iterdir()] == ["abo-listings.tar"]


def test_a_row_tells_its_shard_and_line(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, [listing()] * 3, shards=2)

    assert [row.place for row in reading(shards).rows] == [
        "listings_0.json.gz line 1",
        "listings_0.json.gz line 2",
        "listings_1.json.gz line 1",
    ]


def test_a_tar_with_the_wrong_hash_is_refused_and_kept(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "abo-listings.tar", write_shards(tmp_path / "shards", [listing()]))

    assert f"expected {'0' * 64}" in refusal(tar, sha256="0" * 64)
    assert tar.exists()


# Damage


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert refusal(tmp_path / "nowhere").startswith("no such folder or tar file")
    assert refusal(tmp_path / "empty").startswith("holds no listings_*.json.gz")
    assert "holds no listings_*.json.gz" in refusal(write_tar(tmp_path / "empty.tar", tmp_path / "empty"))


def test_a_file_that_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "page.tar").write_text("<html>Please log in</html>")

    assert refusal(tmp_path / "page.tar").startswith("not a readable tar archive")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("damage", ["truncated", "wrong checksum", "not gzip"])
def test_a_damaged_shard_is_named_with_the_last_good_line(tmp_path: Path, packed: bool, damage: str) -> None:
    folder = write_shards(tmp_path / "shards", realistic(200), shards=2)
    shard = folder / "listings_1.json.gz"
    content = shard.read_bytes()
    damaged = {
        "truncated": content[: len(content) // 2],
        "wrong checksum": content[:-8] + bytes(8),
        "not gzip": b"<html>" + content,
    }
    shard.write_bytes(damaged[damage])
    told = refusal(write_tar(tmp_path / "abo.tar", folder) if packed else folder)

    assert "listings_1.json.gz is damaged after line " in told
    line = int(told.split("after line ")[1].split()[0])
    assert {"truncated": 0 < line < 100, "wrong checksum": line == 100, "not gzip": line == 0}[damage]


@pytest.mark.parametrize("place", ["in a shard", "between shards", "in a header"])
def test_a_tar_that_breaks_off_loses_no_shard_unnoticed(tmp_path: Path, place: str) -> None:
    tar = write_tar(tmp_path / "abo.tar", write_shards(tmp_path / "shards", realistic(200), shards=2))
    with tarfile.open(tar) as archive:
        last = archive.getmembers()[-1]
    end = {"in a shard": last.offset_data + 5000, "between shards": last.offset, "in a header": last.offset + 100}
    tar.write_bytes(tar.read_bytes()[: end[place]])

    assert "get the file again" in refusal(tar)


@pytest.mark.parametrize(
    ("line", "told"),
    [(b'{"item_id": ', "not valid JSON"), (b"\xff", "not valid JSON"), (b"[1]", "JSON that is no object")],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, told: str) -> None:
    good = json.dumps(listing()).encode()
    with gzip.open(tmp_path / "listings_0.json.gz", "wb") as shard:
        shard.write(b"\n".join([good, b"", line, good]))

    assert refusal(tmp_path).startswith(f"listings_0.json.gz line 3: {told}")


# Memory

# VmHWM rather than resource.getrusage, whose peak a child process inherits from the process that started it.
MEASURE = """
import sys
from pathlib import Path
from marwright.sources import AboSource

rows = sum(1 for _ in AboSource(name="abo", location=sys.argv[1], languages=("en_US", "en_GB")).read(skip=False).rows)
status = Path("/proc/self/status").read_text().split()
print(rows, int(status[status.index("VmHWM:") + 1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_reading_takes_little_memory(tmp_path: Path) -> None:
    count = 30_000
    folder = write_shards(tmp_path, realistic(count))
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows, peak = map(int, measured.stdout.split())

    assert rows > count / 2
    assert peak < 1.5 * 2**30 * count / PUBLISHED
