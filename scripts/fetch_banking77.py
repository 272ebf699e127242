"""Fetch the banking77 intents and write one table: text, label, split.

    python scripts/fetch_banking77.py banking77.csv
    marwright build banking77 --set data.source.path=banking77.csv

Source: PolyAI, https://github.com/PolyAI-LDN/task-specific-datasets (Casanueva et al. 2020), CC BY 4.0.
"""

from __future__ import annotations

import argparse
import csv
import io
import urllib.request
from pathlib import Path

FOLDER = "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/master/banking_data"


def main() -> None:
    """Fetch both files and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the csv file to write")
    parser.add_argument("--from", dest="folder", default=FOLDER, help="where train.csv and test.csv are")
    arguments = parser.parse_args()
    rows = []
    for split in ("train", "test"):
        with urllib.request.urlopen(f"{arguments.folder}/{split}.csv", timeout=60) as response:
            text = io.TextIOWrapper(response, encoding="utf-8", newline="")
            rows += [(row["text"].strip(), row["category"], split) for row in csv.DictReader(text)]
    partial = arguments.output.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "split"), *rows])
    partial.replace(arguments.output)
    print(f"{arguments.output}: {len(rows):,} rows")


if __name__ == "__main__":
    main()
