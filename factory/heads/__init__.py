"""Trainers of the label kinds."""
