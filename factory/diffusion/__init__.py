"""Diffusion models of the library diffusers as generators, and as eyes for real pictures (extra: diffusion)."""
