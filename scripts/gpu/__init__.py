"""The parts of gpu_check.py: one measurement each."""
