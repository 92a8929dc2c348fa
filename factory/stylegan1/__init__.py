"""StyleGAN (arXiv 1812.04948) as generators."""
