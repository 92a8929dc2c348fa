"""Networks that find objects and key points, each beside its paper; trained as segmenters are."""
