"""A StyleGAN2 whose pictures are read by the discriminator that it was trained against."""
