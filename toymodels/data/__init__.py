"""Data sets of images, and distributions of distillation inputs."""
