"""StyleGAN3, T and R (arXiv 2106.12423): alias-free generators in plain PyTorch."""
