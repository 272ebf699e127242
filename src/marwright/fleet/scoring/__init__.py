"""Rows by the million through an archive: tables in, the same tables with labels out, each row exactly once.

A job is divided into blocks of rows. Whoever computes a block, a process of this machine or an actor of Ray, reads its
rows, answers them and writes one part of the output, whole or not at all. So a job that was killed goes on.
"""

from marwright.fleet.scoring.job import Summary, score

__all__ = ["Summary", "score"]
