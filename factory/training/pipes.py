"""Sets of transforms of adaptive augmentation by name. A table that needs no torch."""

PIPES = {"none": "", "blit": "b", "geom": "g", "color": "c", "bg": "bg", "bgc": "bgc", "bgcfnc": "bgcfno"}
"""Name to the groups of ``adaptive_augment.GROUPS``; the paper's best is "bgc"."""
