"""One kernel from projected maps to labels: a program takes a tile of pixels through all members.

Only the mask and the uncertainty leave the chip. Products take float16, bfloat16 or float32 and accumulate in float32.
"""

import triton
import triton.language as tl


@triton.jit
def label_tiles(
    projected_ptr,  # [source pixels, UNITS]: every smaller level's projection, one level after another
    chunk_ptr,  # int32 [chunks, 5]: first source pixel, height and width of the level; first tap, taps a row
    chunks,
    top_ptr,  # [TOP, height, width]: maps of the output's size
    top_weight_ptr,  # [TOP, UNITS]
    top_bias_ptr,  # [UNITS]
    weight2_ptr,  # [MEMBERS, H1, H2]
    bias2_ptr,  # [MEMBERS, H2]
    weight3_ptr,  # [MEMBERS, H2, CLASSES_PADDED]
    bias3_ptr,  # [MEMBERS, CLASSES_PADDED], -inf for padding
    mask_ptr,  # uint8 [height, width]
    uncertainty_ptr,  # float32 [height, width]
    height,
    width,
    projected_stride,  # elements from image to image
    top_stride,
    TOP: tl.constexpr,
    MEMBERS: tl.constexpr,
    H1: tl.constexpr,
    H2: tl.constexpr,
    CLASSES_PADDED: tl.constexpr,
    TILE_H: tl.constexpr,
    TILE_W: tl.constexpr,
    TAPS: tl.constexpr,  # source pixels a product takes at once
    TOP_BLOCK: tl.constexpr,  # channels a product takes at once
    PRECISION: tl.constexpr,
):
    image = tl.program_id(2).to(tl.int64)
    tile_y, tile_x = tl.program_id(1) * TILE_H, tl.program_id(0) * TILE_W
    pixel = tl.arange(0, TILE_H * TILE_W)
    y, x = tile_y + pixel // TILE_W, tile_x + pixel % TILE_W
    inside = (y < height) & (x < width)
    projected_ptr += image * projected_stride
    top_ptr += image * top_stride
    units: tl.constexpr = MEMBERS * H1
    unit, unit2, label = tl.arange(0, H1), tl.arange(0, H2), tl.arange(0, CLASSES_PADDED)
    tap = tl.arange(0, TAPS)

    votes = tl.zeros([TILE_H * TILE_W, CLASSES_PADDED], tl.float32)
    mean = tl.zeros([TILE_H * TILE_W, CLASSES_PADDED], tl.float32)
    entropy = tl.zeros([TILE_H * TILE_W], tl.float32)
    for member in range(MEMBERS):
        column = member * H1 + unit
        h1 = tl.zeros([TILE_H * TILE_W, H1], tl.float32) + tl.load(top_bias_ptr + column).to(tl.float32)[None, :]
        for first in tl.static_range(0, TOP, TOP_BLOCK):
            channel = first + tl.arange(0, TOP_BLOCK)
            features = tl.load(
                top_ptr + channel[None, :] * (height * width) + (y * width + x)[:, None],
                mask=inside[:, None] & (channel < TOP)[None, :],
                other=0.0,
            )
            weight = tl.load(
                top_weight_ptr + channel[:, None] * units + column[None, :], mask=(channel < TOP)[:, None], other=0.0
            )
            h1 = tl.dot(features, weight, h1, input_precision=PRECISION)
        for chunk in range(chunks):
            base = tl.load(chunk_ptr + chunk * 5)
            rows, columns = tl.load(chunk_ptr + chunk * 5 + 1), tl.load(chunk_ptr + chunk * 5 + 2)
            first_tap, taps_a_row = tl.load(chunk_ptr + chunk * 5 + 3), tl.load(chunk_ptr + chunk * 5 + 4)
            scale_y, scale_x = rows.to(tl.float32) / height, columns.to(tl.float32) / width
            # half-pixel centres, held inside the map: bilinear weights are hat functions of the distance to a tap,
            # and a tap beyond the border or beyond its row gets none
            source_y = tl.minimum(tl.maximum((y + 0.5) * scale_y - 0.5, 0.0), rows - 1.0)
            source_x = tl.minimum(tl.maximum((x + 0.5) * scale_x - 0.5, 0.0), columns - 1.0)
            corner_y = tl.maximum((tile_y + 0.5) * scale_y - 0.5, 0.0).to(tl.int32)
            corner_x = tl.maximum((tile_x + 0.5) * scale_x - 0.5, 0.0).to(tl.int32)
            tap_y, tap_x = corner_y + (first_tap + tap) // taps_a_row, corner_x + (first_tap + tap) % taps_a_row
            hat_y = tl.maximum(1 - tl.abs(source_y[:, None] - tap_y[None, :]), 0.0)
            hat_x = tl.maximum(1 - tl.abs(source_x[:, None] - tap_x[None, :]), 0.0)
            exists = (tap_y < rows) & (tap_x < columns)
            source = base + tap_y * columns + tap_x
            taps = tl.load(
                projected_ptr + source[:, None].to(tl.int64) * units + column[None, :], mask=exists[:, None], other=0.0
            )
            h1 = tl.dot((hat_y * hat_x).to(taps.dtype), taps, h1, input_precision=PRECISION)
        weight2 = tl.load(weight2_ptr + (member * H1 + unit)[:, None] * H2 + unit2[None, :])
        h2 = tl.dot(tl.maximum(h1, 0.0).to(weight2.dtype), weight2, input_precision=PRECISION)
        h2 = tl.maximum(h2 + tl.load(bias2_ptr + member * H2 + unit2).to(tl.float32)[None, :], 0.0)
        weight3 = tl.load(weight3_ptr + (member * H2 + unit2)[:, None] * CLASSES_PADDED + label[None, :])
        logits = tl.dot(h2.to(weight3.dtype), weight3, input_precision=PRECISION)
        logits += tl.load(bias3_ptr + member * CLASSES_PADDED + label)[None, :]

        z = tl.maximum(logits - tl.max(logits, 1)[:, None], -80.0)
        p = tl.exp(z)
        total = tl.sum(p, 1)
        p = p / total[:, None]
        votes += (z == 0).to(tl.float32)
        mean += p / MEMBERS
        entropy += (tl.log(total) - tl.sum(p * z, 1)) / MEMBERS
    mean_entropy = -tl.sum(tl.where(mean > 0, mean * tl.log(tl.maximum(mean, 1e-30)), 0.0), 1)
    winner = tl.argmax(votes + 0.5 * mean, 1)
    where = image * height * width + y * width + x
    tl.store(mask_ptr + where, winner.to(tl.uint8), mask=inside)
    tl.store(uncertainty_ptr + where, tl.maximum(mean_entropy - entropy, 0.0), mask=inside)
