"""What is said of fields that several orders have, so that each is said once."""

from labelfactory import limits
from labelfactory.factory.parameter import Parameter

GENERATOR = Parameter("Generator: builtin:NAME, or a path or URL of a checkpoint (.pkl, .safetensors).", place=True)
LABELS = Parameter("Label set: its folder, or builtin:NAME.", place=True)
DEVICE = Parameter("Device.", pattern=r"auto|cpu|cuda(:\d+)?", form="auto, cpu, cuda or cuda:N")
PRECISION = Parameter(
    "Precision of convolutions.",
    choices={"auto": "bfloat16 where the hardware is fast at it", "bfloat16": "", "float32": ""},
    spellings={"bf16": "bfloat16", "fp32": "float32"},
)
CROP = Parameter(
    "Part of the generator's pictures.",
    pattern=r"\d+:\d+(,\d+:\d+)?",
    form="top:bottom or top:bottom,left:right in pixels, like 64:448",
    default="what was labelled, or else all of them",
)
TRUNCATION = Parameter(
    "Truncation psi: lower is more typical, 1 is everything.",
    at_least=0,
    at_most=2,
    default=f"the label set's, or else the generator's, mostly {limits.TRUNCATION}",
)
CLASSES = Parameter(
    "Names of the classes, separated by commas; the first is what remains undrawn.",
    default="those of a bundled generator",
)
CONDITIONS = Parameter(
    "Class of a conditional generator, as a number; of several, each sample's is drawn from its seed.",
    at_least=0,
    at_most=2**16 - 1,
    option="class",
)
MEMBERS = Parameter("Members of the ensemble.", at_least=1, at_most=64)
SEED = Parameter("Seed of everything random; equal seeds give equal results.", at_least=0, at_most=2**63 - 1)
NETWORK_OPTIONS = Parameter(
    "Option of the architecture, like output_stride=8 or width=16; repeatable.",
    option="option",
    form="NAME=VALUE",
    place_keys=("folder",),
)
BACKBONE_WEIGHTS = Parameter(
    "State dict of torchvision's VGG16, ResNet or MobileNetV2 (.pth or .safetensors).", place=True, default="random"
)
SQUARES = Parameter("Side of random squares to train on, in pixels.", at_least=8, default="whole pictures")
AVERAGE = Parameter("Decay of the weights' moving average, below 1.", at_least=0, at_most=1 - 1e-9)
SNAPSHOT_MINUTES = Parameter("Minutes between two snapshots.", at_least=0)
