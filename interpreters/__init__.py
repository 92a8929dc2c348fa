"""Labels from feature maps."""
