// The image with its layers: crisp pixels, wheel zoom, drag to move. Knows nothing of tools.

const UNLABELLED = 255;

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layer = document.createElement("canvas");
    this.options = { labels: true, proposal: true, heat: false, opacity: 0.45, brightness: 1, contrast: 1 };
    this.image = null;
    this.layers = null;
    this.colors = [];
    this.zoom = 1;
    this.origin = [0, 0]; // where the image's corner lies on the canvas, CSS pixels
    this.draft = null; // what is being drawn: {points, radius, color, closed}
    this.cursor = null; // image pixels
    this.pending = false;
    new ResizeObserver(() => this.fit()).observe(canvas);
  }

  get size() {
    return this.layers ? [this.layers.height, this.layers.width] : [1, 1];
  }

  show(image, layers) {
    const first = !this.fitted;
    this.image = image;
    this.update(layers);
    if (first) this.fit();
    this.fitted = true;
  }

  // Nothing, until the next image has come: what is drawn meanwhile would be meant for the image before.
  clear() {
    this.image = this.layers = null;
    this.redraw();
  }

  // New labels or a new proposal for the image that is shown.
  update(layers) {
    this.layers = layers;
    this.paintLayer();
    this.redraw();
  }

  fit() {
    const box = this.canvas.getBoundingClientRect();
    this.canvas.width = Math.max(1, Math.round(box.width * devicePixelRatio));
    this.canvas.height = Math.max(1, Math.round(box.height * devicePixelRatio));
    const [height, width] = this.size;
    this.zoom = Math.max(0.1, 0.95 * Math.min(box.width / width, box.height / height));
    this.origin = [(box.width - this.zoom * width) / 2, (box.height - this.zoom * height) / 2];
    this.redraw();
  }

  zoomAt(x, y, factor) {
    const zoom = Math.min(200, Math.max(0.1, this.zoom * factor));
    this.origin = this.origin.map((o, i) => [x, y][i] - ([x, y][i] - o) * (zoom / this.zoom));
    this.zoom = zoom;
    this.redraw();
  }

  move(dx, dy) {
    this.origin = [this.origin[0] + dx, this.origin[1] + dy];
    this.redraw();
  }

  toImage(x, y) {
    return [(x - this.origin[0]) / this.zoom, (y - this.origin[1]) / this.zoom];
  }

  // Labels opaque by the chosen opacity, the proposal at half of that, uncertainty as white heat.
  paintLayer() {
    if (!this.layers) return;
    const { height, width, mask, proposal, uncertainty, instance } = this.layers;
    this.layer.width = width;
    this.layer.height = height;
    const context = this.layer.getContext("2d");
    const pixels = context.createImageData(width, height);
    const { labels, proposal: shown, heat, opacity } = this.options;
    for (let i = 0; i < mask.length; i++) {
      const drawn = labels && mask[i] !== UNLABELLED;
      const value = drawn ? mask[i] : shown && proposal[i] !== UNLABELLED ? proposal[i] : -1;
      let alpha = value < 0 ? 0 : (drawn ? 1 : 0.5) * opacity;
      if (value === 0) alpha *= drawn ? 0.6 : 0; // background: visible where drawn, silent where proposed
      const color = value < 0 ? [0, 0, 0] : this.colors[value];
      const edge = drawn && instance[i] && (instance[i] !== instance[i + 1] || instance[i] !== instance[i + width]);
      const warm = heat ? uncertainty[i] / 255 : 0;
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = edge ? 255 : color[c] * (1 - warm) + 255 * warm;
      pixels.data[4 * i + 3] = 255 * Math.max(alpha, edge ? 0.9 : 0, 0.85 * warm);
    }
    context.putImageData(pixels, 0, 0);
  }

  redraw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  draw() {
    const c = this.context;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.image) return;
    const [height, width] = this.size;
    c.scale(devicePixelRatio, devicePixelRatio);
    c.translate(...this.origin);
    c.scale(this.zoom, this.zoom);
    c.imageSmoothingEnabled = false;
    c.filter = `brightness(${this.options.brightness}) contrast(${this.options.contrast})`;
    c.drawImage(this.image, 0, 0, width, height);
    c.filter = "none";
    c.drawImage(this.layer, 0, 0);
    for (const point of this.layers.keypoints) this.mark(point);
    if (this.draft) this.drawDraft();
    if (this.cursor) this.drawCursor();
  }

  mark({ name, x, y, visible }) {
    const c = this.context;
    c.lineWidth = 1.5 / this.zoom;
    c.strokeStyle = "#fff";
    c.fillStyle = visible ? "#d55e00" : "#555";
    c.beginPath();
    c.arc(x, y, 4 / this.zoom, 0, 7);
    c.fill();
    c.stroke();
    c.font = `${12 / this.zoom}px sans-serif`;
    c.fillStyle = "#fff";
    c.fillText(name, x + 6 / this.zoom, y);
  }

  drawDraft() {
    const c = this.context;
    const { points, radius, color, closed } = this.draft;
    c.strokeStyle = c.fillStyle = color;
    c.globalAlpha = 0.6;
    c.lineCap = c.lineJoin = "round";
    c.lineWidth = closed ? 1.5 / this.zoom : 2 * radius;
    c.beginPath();
    points.forEach(([x, y], i) => (i ? c.lineTo(x, y) : c.moveTo(x, y)));
    if (points.length === 1) c.lineTo(points[0][0] + 1e-3, points[0][1]);
    c.stroke();
    c.globalAlpha = 1;
  }

  drawCursor() {
    const c = this.context;
    const { x, y, radius } = this.cursor;
    for (const [color, width] of [["#000", 3], ["#fff", 1.2]]) {
      c.strokeStyle = color;
      c.lineWidth = width / this.zoom;
      c.beginPath();
      c.arc(x, y, Math.max(radius, 2 / this.zoom), 0, 7);
      c.moveTo(x - 3 / this.zoom, y);
      c.lineTo(x + 3 / this.zoom, y);
      c.moveTo(x, y - 3 / this.zoom);
      c.lineTo(x, y + 3 / this.zoom);
      c.stroke();
    }
  }
}
