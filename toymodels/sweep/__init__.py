"""Sweeps: every point of a grid of named axes, computed once, kept on disk, returned with labels."""

from toymodels.sweep.engine import Execution, Program, Progress, Report, RunOptions, along, grid

__all__ = ["Execution", "Program", "Progress", "Report", "RunOptions", "along", "grid"]
