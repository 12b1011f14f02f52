"""Losses, optimisers, the training loop, distillation and the reference protocol."""
