"""A worker that is killed, in a module that its process imports in a moment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from marwright.fleet.scoring.blocks import Block
from marwright.fleet.scoring.work import Done


@dataclass(frozen=True)
class Dying:
    """Kills its process once for each block whose number is even."""

    folder: Path
    always: bool = False

    def __call__(self, block: Block) -> Done:
        mark = self.folder / block.name
        if self.always or (block.span.first % 2 == 0 and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), 9)
        return Done(block.name, block.span.rows, 0)
