"""The labelling page and its server: HTTP in, calls of ``factory.labels`` out. See docs/labelling.md."""
