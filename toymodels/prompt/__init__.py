"""Verbs for a prompt: load, teach, rotate, distil, accuracy; every choice is an argument."""
