"""Between masks and pictures: synthesis, translation, and masks restored by a frozen synthesis model."""
