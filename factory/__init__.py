"""The production line: generators, sampling, feature recording, production of shards."""
