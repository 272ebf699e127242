"""Fetch the banking77 intents and write one table: text, label, split.

    python scripts/fetch_banking77.py
    marwright build banking77

Source: PolyAI, https://github.com/PolyAI-LDN/task-specific-datasets (Casanueva et al. 2020), CC BY 4.0.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ORIGIN = "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/master/banking_data"
SHA256 = "74c53a919a7627ef6b3afa86b80c695efd1ce875d913dcc11764d57afd3f7caf"  # of the table, whatever its origin


def main(given: Sequence[str] | None = None) -> None:
    """Fetch both files, compare the table's hash, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", default=Path("data/banking77.csv"), help="the csv to write")
    parser.add_argument("--from", dest="origin", default=ORIGIN, help="URL or folder of train.csv and test.csv")
    arguments = parser.parse_args(given)
    try:
        table = fetched(arguments.origin)
    except (OSError, ValueError, KeyError) as error:
        sys.exit(
            f"fetch_banking77: {arguments.origin} cannot be read: {error}. "
            "Name a mirror or a folder with train.csv and test.csv: --from PLACE"
        )
    if (found := hashlib.sha256(table).hexdigest()) != SHA256:
        sys.exit(f"fetch_banking77: {arguments.origin} has other rows than banking77's: sha256 {found}, not {SHA256}.")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    partial = arguments.output.with_suffix(".partial")
    partial.write_bytes(table)
    partial.replace(arguments.output)
    rows = table.count(b"\r\n") - 1
    print(f"{arguments.output}: {rows:,} rows of {arguments.origin}, sha256 as expected")


def fetched(origin: str) -> bytes:
    """The table as bytes, from the two files of a URL or a folder."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("text", "label", "split"))
    for split in ("train", "test"):
        place = f"{origin}/{split}.csv"
        if "://" in origin:
            with urllib.request.urlopen(place, timeout=60) as response:
                text = response.read().decode()
        else:
            text = Path(place).read_bytes().decode()
        rows = csv.DictReader(io.StringIO(text, newline=""))
        writer.writerows((row["text"].strip(), row["category"], split) for row in rows)
    return table.getvalue().encode()


if __name__ == "__main__":
    main()
