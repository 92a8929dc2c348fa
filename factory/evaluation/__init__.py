"""Judges of predictions: scores with intervals, and the report that shows them."""
