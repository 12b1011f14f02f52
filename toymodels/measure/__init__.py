"""Measurements on networks: accuracy, similarity, gradients, predictors of transfer."""
