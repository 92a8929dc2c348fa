"""Segmenters that learn from pairs: models, training, rounds with teachers, inference."""
