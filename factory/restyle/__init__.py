"""Pairs in another style: pictures changed, labels kept, and the labels' fit measured and mended (docs/restyle.md)."""
