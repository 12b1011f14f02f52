"""Closed forms, on the same axes as the simulation."""
