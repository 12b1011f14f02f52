"""Sweeps: every point of a grid of named axes, computed once, kept on disk, returned with labels."""

from toymodels.sweep.engine import Execution, How, Program, Progress, along, grid

__all__ = ["Execution", "How", "Program", "Progress", "along", "grid"]
