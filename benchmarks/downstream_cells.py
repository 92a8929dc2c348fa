"""The cells of the downstream study: what is trained on how much of what."""

from dataclasses import asdict, dataclass

SEEDS = (0, 1, 2)
LABELS = (4, 8, 16, 32, 64)
PAIRS = 10_000
TEACHERS = 3  # first-round segmenters that label together for the last round
PICTURES = 3_000  # train crops that they label for self-training


@dataclass(frozen=True)
class Cell:
    """One training run. ``labels`` 0 means all.

    start     what the network begins with, a name in ``downstream_starts.STARTS``; None: random weights
    features  whose feature maps the interpreter reads: the generator's (None), or "discriminator"
    """

    method: str
    labels: int
    seed: int
    pairs: int = PAIRS
    truncation: float = 1.0
    keep: bool = True
    temperature: float | None = None
    consistency: float | None = None
    teachers: int = 1
    start: str | None = None
    features: str | None = None

    @property
    def name(self) -> str:
        parts = [self.method, f"n{self.labels:02d}" if self.labels else "all", f"s{self.seed}"]
        defaults = Cell(self.method, self.labels, self.seed)
        parts += [f"{k}{v}" for k, v in asdict(self).items() if v != getattr(defaults, k)]
        return "_".join(parts)


def main_cells(labels: tuple[int, ...], seeds: tuple[int, ...]) -> list[Cell]:
    """The main table, seed by seed."""
    cells = []
    for seed in seeds:
        cells += [Cell("upper", 0, seed), Cell("oracle", 0, seed)]
        for n in labels:
            cells += [Cell(m, n, seed) for m in ("real", "factory", "factory+real", "refined")]
            cells += [Cell(m, n, seed, consistency=5.0) for m in ("refined+mean-teacher", "mean-teacher")]
            cells += [Cell("self-trained", n, seed, consistency=5.0, teachers=TEACHERS)]
    return cells


def variants(labels: tuple[int, ...], seeds: tuple[int, ...]) -> list[Cell]:
    """What one choice less, or another one, does at 16 labels; another weight of mean teacher's consistency."""
    cells, n = [], 16 if 16 in labels else labels[0]
    for seed in seeds:
        cells += [Cell("refined+mean-teacher", n, seed, consistency=5.0, teachers=TEACHERS)]
        cells += [Cell("factory", n, seed, pairs=pairs) for pairs in (PAIRS // 100, PAIRS // 10)]
        cells += [Cell("factory", n, seed, keep=False)]
        cells += [Cell("factory", n, seed, temperature=t) for t in (0.05, 0.2)]
        cells += [Cell("factory", n, seed, truncation=t) for t in (0.5, 0.7)]
    return cells + [Cell("mean-teacher", n, seed, consistency=1.0) for seed in seeds for n in labels]
