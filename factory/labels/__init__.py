"""From people and photographs to feature maps: which images to label, inversion, views, proposals."""
