"""Statistics over seeds: intervals, transfer and its thresholds, sentences. NumPy and xarray, no JAX."""
