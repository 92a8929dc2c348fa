// The pixels that a stroke covers, by the server's rule (factory/labels/painting.py), so that what is drawn shows at once.

export function strokePixels(points, radius, height, width) {
  const inside = new Set();
  for (let i = 0; i < points.length; i++) {
    const [ax, ay] = points[i];
    const [bx, by] = points[Math.min(i + 1, points.length - 1)];
    const left = Math.max(0, Math.floor(Math.min(ax, bx) - radius));
    const right = Math.min(width, Math.ceil(Math.max(ax, bx) + radius) + 1);
    const top = Math.max(0, Math.floor(Math.min(ay, by) - radius));
    const bottom = Math.min(height, Math.ceil(Math.max(ay, by) + radius) + 1);
    const [dx, dy] = [bx - ax, by - ay];
    const length = dx * dx + dy * dy;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const [px, py] = [x + 0.5 - ax, y + 0.5 - ay];
        const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        if ((px - t * dx) ** 2 + (py - t * dy) ** 2 <= radius * radius) inside.add(y * width + x);
      }
    }
    const [cx, cy] = [Math.floor(ax), Math.floor(ay)];
    if (cx >= 0 && cx < width && cy >= 0 && cy < height) inside.add(cy * width + cx);
  }
  return inside;
}
