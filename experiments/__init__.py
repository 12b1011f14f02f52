"""The experiments: each file is a Config, a run and a plot."""
