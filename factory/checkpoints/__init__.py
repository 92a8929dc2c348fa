"""Checkpoint files of every make, read without executing anything."""
