"""How many pictures one picture counts as: its mirror images and quarter turns. A table that needs no torch."""

AMPLIFY = {"none": (1, 1), "mirror": (2, 1), "dihedral": (2, 4)}
"""Name to the numbers of mirrorings and of quarter turns that count as pictures of their own."""

TOLD = {"none": "", "mirror": "2: what has no left and right", "dihedral": "8: nor an up"}
"""The same for a person."""
