"""Where a store's bytes live."""
