"""How well rows that look mislabelled are found: labels are changed at random, and looked for.

    python scripts/benchmarks/find_changed_labels.py configs/banking77.yaml

Builds the configuration up to its data, changes a share of the train labels, each to another one drawn evenly, and says
how many of the most suspicious rows are changed ones. Nothing is trained, and no validation or test row is read.
"""

from __future__ import annotations

import argparse

import numpy as np
from datasets import load_from_disk

from marwright.config import load_config
from marwright.explore.suspects import MOST_TOKENS, features_of
from marwright.metrics.label_errors import judge
from marwright.pretrained.tokenizer import load_tokenizer
from marwright.road.pipeline import build
from marwright.workspace import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--share", type=float, default=0.05, help="of the train labels that are changed")
    parser.add_argument("--seeds", type=int, default=3, help="how often, each time with other rows")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    build(config, until="data")
    train = load_from_disk(str(Run(config.runs / config.name).data.splits))["train"]
    right, names = np.asarray(train["label"]), train.features["label"].names
    tokenizer = load_tokenizer(config.teacher.checkpoint, MOST_TOKENS)
    # In any order but the table's, which may be by label: there may be time for a part of the rows only.
    order = np.random.default_rng(config.seed).permutation(len(right))
    features = features_of(config.teacher.checkpoint, tokenizer, [train[int(row)]["text"] for row in order])
    right = right[order[: len(features)]]
    for seed in range(arguments.seeds):
        chance = np.random.default_rng(seed)
        changed = chance.choice(len(right), round(arguments.share * len(right)), replace=False)
        labels = right.copy()
        labels[changed] = (labels[changed] + chance.integers(1, len(names), len(changed))) % len(names)
        suspects = judge(features, labels, seed=config.seed).suspects
        first = suspects[: min(500, len(changed))]
        among_first, among_all = np.isin(first, changed).mean(), np.isin(changed, suspects).mean()
        print(
            f"seed {seed}: {len(changed):,} of {len(labels):,} labels changed; {among_first:.1%} of the {len(first)} "
            f"most suspicious rows are changed ones, and {among_all:.1%} of all changed ones are suspects"
        )


if __name__ == "__main__":
    main()
