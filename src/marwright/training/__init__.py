"""The teacher and student stations: from splits to trained checkpoints and their answers."""
