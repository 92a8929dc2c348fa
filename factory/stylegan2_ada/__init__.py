"""StyleGAN2-ADA in plain PyTorch: networks, checkpoints, training (arXiv 1912.04958, 2006.06676)."""
