"""What labels cost: the Style-Interpreter beside its plain definition and beside the generator, in one run.

    python benchmarks/interpreter.py            # every resolution; about ten minutes on two cores
    python benchmarks/interpreter.py --resolutions 64 256 --only inference

The generators have the standard widths (FFHQ-1024: 5,568 feature channels; 256 px with channel_base 16384: 4,480)
and random weights, which cost the same time as trained ones. The interpreters are trained, on labels that follow from
the generator's own maps, so that agreement is measured on members that have something to agree on.

"published" is the method as published: every map upsampled, all channels into every member. It is timed on the
uppermost part of the maps that makes 65,536 pixels, and scaled. Masks are compared with this interpreter's own plain
definition (interpreters/reference.py) on the same part.
"""

import argparse
import ctypes
import gc
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from labelfactory.factory.cuda_graph import Replay
from labelfactory.factory.stylegan2_ada.networks import Generator
from labelfactory.interpreters import Prediction, Recipe, StyleInterpreter

CHANNEL_BASE = {64: 16384, 128: 16384, 256: 16384, 512: 32768, 1024: 32768}
LABELLED = 16
PART = 65536  # pixels that the plain definition is measured on
ALL_CHANNELS = 16384


class Machine:
    """Time, memory and peaks of the device under test."""

    def __init__(self, device: str):
        self.device = torch.device(device)
        self.cuda = self.device.type == "cuda"

    def name(self) -> str:
        if self.cuda:
            return torch.cuda.get_device_name()
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "CPU")
        return f"{model}, {torch.get_num_threads()} cores, torch {torch.__version__}, {platform.system()}"

    def seconds(self, job: Callable[[], object], repeats: int = 3, patience: float = 10) -> float:
        """Best of ``repeats`` runs, or of as many as begin within ``patience`` seconds."""
        times: list[float] = []
        while not times or (len(times) < repeats and sum(times) < patience):
            self._wait()
            start = time.perf_counter()
            job()
            self._wait()
            times.append(time.perf_counter() - start)
        return min(times)

    def measure(self, job: Callable[[], Prediction]) -> tuple[float, int, Prediction]:
        """Seconds, extra bytes, and the answer; a slow job runs only once."""
        answers: list[Prediction] = []
        start = time.perf_counter()
        extra = self.extra_bytes(lambda: answers.append(job()))
        self._wait()
        first = time.perf_counter() - start
        return (first if first > 10 else self.seconds(job, 4)), extra, answers[0]

    def race(self, jobs: dict[str, Callable[[], object]], rounds: int = 4) -> dict[str, float]:
        """Best seconds of each job, taken in turns, so that what else the machine does meets all alike."""
        best = dict.fromkeys(jobs, float("inf"))
        for _ in range(rounds):
            for name, job in jobs.items():
                best[name] = min(best[name], self.seconds(job, 1))
        return best

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def extra_bytes(self, job: Callable[[], object]) -> int:
        """How far memory rises above what was in use before the job."""
        gc.collect()
        if not self.cuda:  # what the allocator kept from earlier would hide what the job needs
            ctypes.CDLL(None).malloc_trim(0)
        if self.cuda:
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            job()
            return torch.cuda.max_memory_allocated() - before
        reset_peak_rss()
        before = rss("VmRSS")
        job()
        return max(0, rss("VmHWM") - before)

    def peaks(self) -> tuple[float, float]:
        """Measured float32 (CPU) or float16 (GPU) matmul FLOP/s and copy bytes/s."""
        n = 8192 if self.cuda else 2048
        a = torch.randn(n, n, device=self.device, dtype=torch.float16 if self.cuda else torch.float32)
        source = torch.randn(2**28 if self.cuda else 2**26, device=self.device)
        target = torch.empty_like(source)
        matmul = self.seconds(lambda: a @ a, 10)
        copy = self.seconds(lambda: target.copy_(source), 10)
        return 2 * n**3 / matmul, 2 * source.nbytes / copy


def rss(key: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))


def reset_peak_rss() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def make_generator(resolution: int, device: torch.device) -> Generator:
    torch.manual_seed(0)
    net = Generator(512, 0, 512, resolution, 3, mapping_layers=2, channel_base=CHANNEL_BASE[resolution])
    return net.to(device).eval().requires_grad_(False)


def synthesise(net: Generator, seed: int, batch: int, device: torch.device) -> list[Tensor]:
    return feature_maps(net, latent(seed, batch, device))


def latent(seed: int, batch: int, device: torch.device) -> Tensor:
    return torch.randn(batch, 512, generator=torch.Generator().manual_seed(seed)).to(device)


def feature_maps(net: Generator, z: Tensor) -> list[Tensor]:
    maps: list[Tensor] = []
    with torch.no_grad():
        net.synthesis(net.mapping(z), noise_mode="const", features=maps)
    return maps


def label(maps: list[Tensor], classes: int) -> Tensor:
    """A mask that follows from maps of 16 to 64 px: at each pixel the strongest of some fixed random directions."""
    size = maps[-1].shape[2:]
    total = torch.zeros(1, classes, *size, device=maps[0].device)
    for k, f in enumerate(maps):
        if 16 <= f.shape[2] <= 64:
            g = torch.Generator().manual_seed(k)
            directions = torch.randn(classes, f.shape[1], generator=g).to(f.device)
            response = torch.einsum("kc,bchw->bkhw", directions, f.float())
            response -= response.mean((2, 3), keepdim=True)
            total += interpolate(response, size, mode="bilinear") / response.std()
    return total.argmax(1)[0].to(torch.uint8)


def samples(net: Generator, count: int, classes: int, device: torch.device) -> Iterator[tuple[list[Tensor], Tensor]]:
    for seed in range(count):
        maps = synthesise(net, seed, 1, device)
        yield maps, label(maps, classes)


def cost(model: StyleInterpreter, maps: list[Tensor]) -> tuple[float, float]:
    """FLOP and bytes per image that factored inference cannot do without (projections are written and read once)."""
    first = model.members * model.hidden[0]
    size = maps[-1].shape[2] * maps[-1].shape[3]
    flop = 0.0
    for f in maps:
        channels, pixels = f.shape[1], f.shape[2] * f.shape[3]
        seen = min(channels, model.directions)
        flop += 2 * pixels * (seen * first + (channels * seen if seen < channels else 0))
    flop += 2 * size * (first * model.hidden[1] + model.members * model.hidden[1] * model.num_classes)
    lower = {f.shape[2:] for f in maps if f.shape[2:] != maps[-1].shape[2:]}
    moved = sum(f[0].nbytes for f in maps) + 2 * 4 * first * sum(h * w for h, w in lower) + 5 * size
    return flop, moved


@dataclass
class Agreement:
    """With the plain definition's answer."""

    masks: float
    uncertainty: float

    @classmethod
    def of(cls, a: Prediction, b: Prediction) -> "Agreement":
        difference = (a.uncertainty.float() - b.uncertainty.float()).abs().max()
        return cls((a.mask == b.mask).float().mean().item(), difference.item())


@dataclass
class Labelling:
    """What one way of labelling costs at one resolution and number of classes; times a pair. None: not measured."""

    px: int
    channels: int
    classes: int
    path: str
    seconds: float
    published: float  # seconds of the published method
    generator: float  # seconds of making the image
    extra_bytes: int
    of_matmul: float | None = None
    of_copy: float | None = None
    agreement: Agreement | None = None

    def row(self) -> str:
        """A line of the table."""
        cells = [str(self.px), f"{self.channels:,}", str(self.classes), self.path, f"{1 / self.seconds:.3g}"]
        cells += [f"{self.published / self.seconds:.1f}x", f"{self.extra_bytes / 2**20:,.0f}"]
        cells.append(f"{self.seconds / self.generator:.2f}")
        cells += ["–" if share is None else f"{share:.0%}" for share in (self.of_matmul, self.of_copy)]
        equal = self.agreement
        cells += ["–", "–"] if equal is None else [f"{equal.masks:.3%}", f"{equal.uncertainty:.1e}"]
        return f"| {' | '.join(cells)} |"


def inference(
    machine: Machine, resolution: int, classes: int, peaks: tuple[float, float], batch: int
) -> Iterator[Labelling]:
    """Each way of labelling at one resolution and class count; the published method comes first."""
    net = make_generator(resolution, machine.device)
    model = StyleInterpreter(net.synthesis.feature_channels, classes).to(machine.device)
    recipe = Recipe(pixels_per_image=512, max_epochs=3)
    model.fit(samples(net, 4 if resolution <= 256 else 2, classes, machine.device), recipe=recipe, progress=False)
    maps = synthesise(net, 1000, batch, machine.device)
    flop, moved = cost(model, maps)
    share = min(1.0, PART / resolution**2)
    part = [f[:1, :, : max(1, round(share * f.shape[2]))] for f in maps]
    plain = StyleInterpreter(model.feature_channels, classes, directions=ALL_CHANNELS).to(machine.device)
    published, extra, _ = machine.measure(lambda: plain.predict_reference(part))
    published /= share
    replay, z = Replay(lambda z: feature_maps(net, z)), latent(1000, batch, machine.device)  # as production does
    image = lambda: replay(z)  # noqa: E731
    generator = machine.seconds(image) / batch
    about = resolution, sum(model.feature_channels), classes
    yield Labelling(*about, "published", published, published, generator, round(extra / share))
    reference = model.predict_reference(part)
    for precision in ("float32", "float16", "bfloat16"):
        run = lambda p=precision: model.predict(maps, precision=p)  # noqa: E731
        extra = machine.extra_bytes(run)
        seconds, generator = (t / batch for t in machine.race({"label": run, "image": image}).values())
        agreement = Agreement.of(model.predict(part, precision=precision), reference)
        of_peaks = flop / seconds / peaks[0], moved / seconds / peaks[1]
        yield Labelling(*about, precision, seconds, published, generator, extra, *of_peaks, agreement)


def training(machine: Machine, classes: int) -> list[str]:
    """16 labels at 256 px: ours, and one plain member after another with the same pixels, batches and steps."""
    net = make_generator(256, machine.device)
    model = StyleInterpreter(net.synthesis.feature_channels, classes).to(machine.device)
    list(samples(net, 1, classes, machine.device))  # the generator's own buffers are not training memory
    gc.collect()
    reset_peak_rss()
    start = time.perf_counter()
    report = model.fit(samples(net, LABELLED, classes, machine.device), progress=True)
    total = time.perf_counter() - start
    peak = rss("VmHWM")
    rows = [
        f"| {LABELLED} labels, 256 px, {sum(model.feature_channels):,} channels, {classes} classes | {total:.0f} s "
        f"(of which {report['seconds']['training']:.0f} s training) | {peak / 2**20:,.0f} MiB "
        f"| {sum(report['held_out_accuracy']) / model.members:.4f} |"
    ]
    steps = report["steps_per_epoch"] * sum(map(len, report["held_out_loss"]))  # of one member
    alone = steps * one_member(machine, model, report["pixels"])
    rows.append(
        f"| the same {steps:,} member steps one after another, plain PyTorch | {alone:.0f} s "
        f"({alone / report['seconds']['training']:.1f}x ours) | – | – |"
    )
    return rows


def one_member(machine: Machine, model: StyleInterpreter, pixels: int, steps: int = 100) -> float:
    """Seconds a step of one member as anyone would write it: a torch module, Adam, one batch after another."""
    channels = sum(model.feature_channels)
    features = torch.randn(pixels, channels).half()
    labels = torch.randint(model.num_classes, (len(features),))
    h1, h2 = model.hidden
    member = torch.nn.Sequential(
        torch.nn.Linear(channels, h1),
        torch.nn.ReLU(),
        torch.nn.BatchNorm1d(h1),
        torch.nn.Linear(h1, h2),
        torch.nn.ReLU(),
        torch.nn.BatchNorm1d(h2),
        torch.nn.Linear(h2, model.num_classes),
    ).to(machine.device)
    optimizer = torch.optim.Adam(member.parameters(), lr=1e-3)
    batch = Recipe().batch_size

    def run() -> None:
        for step in range(steps):
            index = torch.randint(len(features), (batch,), generator=torch.Generator().manual_seed(step))
            x, y = features[index].float().to(machine.device), labels[index].to(machine.device)
            loss = torch.nn.functional.cross_entropy(member(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return machine.seconds(run, 2) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 256, 512, 1024], choices=CHANNEL_BASE)
    parser.add_argument("--classes", type=int, nargs="+", default=[20, 34])
    parser.add_argument("--batch", type=int, default=None, help="images per call; 1 on the CPU, 8 on a GPU")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", choices=["inference", "training"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = Machine(options.device)
    peaks = machine.peaks()
    kind = "float16" if machine.cuda else "float32"
    print(f"{machine.name()}: {kind} matmul {peaks[0] / 1e9:,.0f} GFLOP/s, copy {peaks[1] / 1e9:,.0f} GB/s\n")
    if options.only != "training":
        print("| px | channels | classes | path | pairs/s | vs published | extra MiB | label / generator time ", end="")
        print("| of matmul peak | of copy bandwidth | equal masks | largest uncertainty difference |")
        print("|---:" * 3 + "|---" + "|---:" * 8 + "|")
        for resolution in options.resolutions:
            for classes in options.classes:
                batch = options.batch or (8 if machine.cuda else 1)
                for found in inference(machine, resolution, classes, peaks, batch):
                    print(found.row(), flush=True)
    if options.only != "inference":
        print("\n| training | time | peak RSS | held-out accuracy |\n|---|---:|---:|---:|")
        print("\n".join(training(machine, options.classes[0])))


if __name__ == "__main__":
    main()
