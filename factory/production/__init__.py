"""The production line: from an order to a store of image-label pairs."""
