"""What a camera does to pictures: measured on real ones, applied to generated ones."""
