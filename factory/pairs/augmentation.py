"""How far pictures may be varied in training: settings by name."""

from dataclasses import dataclass, field

from labelfactory.factory.sensor.sensor import Sensor


@dataclass(frozen=True)
class Augmentation:
    """How far each variation may go; the defaults are the dihedral group alone (exact, no resampling).

    Angles in degrees, ``scale`` and ``contrast`` as largest factors (1.2: from 1/1.2 to 1.2), ``shift`` and ``shear``
    as a fraction of the image's size, ``brightness`` in units of the full intensity range, ``blur`` as the largest
    standard deviation in pixels, ``noise`` (grain, independent from pixel to pixel) as the largest standard deviation
    in units of the full intensity range. ``mirror`` exchanges left and right in half of the pictures, for those that
    have an upper side (where ``dihedral`` is false). Each variation other than the dihedral ones applies with
    probability ``p``. ``sensor`` is what cameras do to pictures, which generated ones go through first.
    """

    dihedral: bool = True
    rotation: float = 0.0
    scale: float = 1.0
    shift: float = 0.0
    shear: float = 0.0
    blur: float = 0.0
    brightness: float = 0.0
    contrast: float = 1.0
    noise: float = 0.0
    p: float = 0.5
    # not in the text by which a checkpoint knows its run, so that those of before it was there are gone on with
    mirror: bool = field(default=False, repr=False)
    sensor: Sensor | None = field(default=None, repr=False)


NONE = Augmentation(dihedral=False)
DIHEDRAL = Augmentation()
STRONG = Augmentation(
    rotation=180.0, scale=1.25, shift=0.1, shear=0.1, blur=1.0, brightness=0.1, contrast=1.3, noise=0.03
)
# For pictures whose middle means something: mirrored, turned and scaled about it, neither shifted nor sheared
IN_PLACE = Augmentation(rotation=180.0, scale=1.25, blur=1.0, brightness=0.1, contrast=1.5, noise=0.03)
# For named points: left stays left and up stays up
UPRIGHT = Augmentation(
    dihedral=False, rotation=10.0, scale=1.15, shift=0.05, blur=1.0, brightness=0.1, contrast=1.3, noise=0.03
)
# For paintings, as papers on them fine-tune: mirrored (crops are a matter of crop), blurred, lightened, moved a little
ART = Augmentation(
    dihedral=False, rotation=8.0, scale=1.3, shift=0.1, shear=0.08, blur=1.5, brightness=0.15, contrast=1.4, mirror=True
)
PRESETS = {
    "none": NONE,
    "dihedral": DIHEDRAL,
    "strong": STRONG,
    "in-place": IN_PLACE,
    "upright": UPRIGHT,
    "art": ART,
}
