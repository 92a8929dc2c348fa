"""Likely label errors, found by networks that have not learned from the labels that they judge."""
