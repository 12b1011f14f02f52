"""Experiments as values: results, files, figures, the command line."""
