"""From people and photographs to feature maps."""
