"""Label kinds: what each learns from, how it is trained, and which arrays it gives a store."""
