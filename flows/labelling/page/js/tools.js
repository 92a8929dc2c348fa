// The tools: what pointer and keyboard do on the image becomes messages for the server. A tool stays until another is chosen.

export const TOOLS = [
  { name: "brush", key: "b", label: "Brush" },
  { name: "eraser", key: "e", label: "Eraser" },
  { name: "subtract", key: "s", label: "Subtract" },
  { name: "polygon", key: "p", label: "Polygon" },
  { name: "fill", key: "f", label: "Fill" },
  { name: "accept", key: "r", label: "Accept region" },
  { name: "keypoint", key: "k", label: "Keypoint" },
  { name: "merge", key: "m", label: "Merge" },
  { name: "split", key: "x", label: "Split" },
];

export class Hand {
  // `act(message)` sends something that changes labels; `state` is the page's.
  constructor(view, state, act) {
    this.view = view;
    this.state = state;
    this.act = act;
    this.points = null; // of the stroke or polygon that is being drawn
    this.moving = null;
    this.merging = null;
    this.spot = [0.5, 0.5]; // the keyboard's cursor, image pixels
    const canvas = view.canvas;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.drop());
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("dblclick", () => this.closePolygon());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  get color() {
    const value = this.state.tool === "subtract" ? 0 : this.state.value;
    return this.state.tool === "eraser" ? "#ffffff" : `rgb(${this.state.classes[value].color})`;
  }

  place(event) {
    const box = this.view.canvas.getBoundingClientRect();
    return this.view.toImage(event.clientX - box.left, event.clientY - box.top);
  }

  wheel(event) {
    event.preventDefault();
    const box = this.view.canvas.getBoundingClientRect();
    this.view.zoomAt(event.clientX - box.left, event.clientY - box.top, Math.exp(-event.deltaY / 300));
    this.hover(this.place(event));
  }

  down(event) {
    this.view.canvas.focus();
    this.view.canvas.setPointerCapture(event.pointerId);
    if (event.button === 1 || event.button === 2 || this.state.space) {
      this.moving = [event.clientX, event.clientY];
      return;
    }
    if (event.button === 0) this.begin(this.place(event));
  }

  begin(point) {
    if (!this.view.layers) return;
    const { tool, value } = this.state;
    this.spot = point;
    if (["brush", "eraser", "subtract", "split"].includes(tool)) this.points = [point];
    else if (tool === "polygon") this.points = [...(this.points || []), point];
    else if (tool === "fill") this.act({ type: "fill", value, point, instance: this.state.object });
    else if (tool === "accept") this.act({ type: "accept", what: "region", point });
    else if (tool === "keypoint") this.stroke({ tool: "keypoint", name: this.state.keypoint, points: [point], visible: !this.state.hidden });
    else if (tool === "merge") this.merge(point);
    this.sketch();
  }

  move(event) {
    if (this.moving) {
      this.view.move(event.clientX - this.moving[0], event.clientY - this.moving[1]);
      this.moving = [event.clientX, event.clientY];
      return;
    }
    const points = (event.getCoalescedEvents?.() || [event]).map((e) => this.place(e));
    if (this.points && this.state.tool !== "polygon" && event.buttons & 1) this.points.push(...points);
    this.spot = points.at(-1) || this.place(event);
    this.hover(this.spot);
    this.sketch();
  }

  up() {
    if (this.moving) this.moving = null;
    else if (this.points && this.state.tool !== "polygon") this.end();
  }

  end() {
    const points = thinned(this.points);
    const { tool, value, radius: size, object } = this.state;
    this.drop();
    if (tool === "split") {
      const whole = this.objectAlong(points);
      if (whole) this.stroke({ tool: "split", objects: [whole], points });
    } else if (tool === "eraser") this.stroke({ tool: "eraser", points, size });
    else this.stroke({ tool: "brush", value: tool === "subtract" ? 0 : value, points, size, instance: tool === "brush" ? object : 0 });
  }

  closePolygon() {
    if (!this.view.layers || this.state.tool !== "polygon" || !this.points || this.points.length < 3) return;
    const points = this.points;
    this.drop();
    this.stroke({ tool: "polygon", value: this.state.value, points, instance: this.state.object });
  }

  // The keyboard in place of the pointer.
  nudge(dx, dy) {
    const [height, width] = this.view.size;
    this.spot = [Math.min(width - 0.5, Math.max(0.5, this.spot[0] + dx)), Math.min(height - 0.5, Math.max(0.5, this.spot[1] + dy))];
    this.hover(this.spot);
    this.sketch();
  }

  press() {
    this.begin(this.spot);
    if (this.points && this.state.tool !== "polygon") this.end();
  }

  drop() {
    this.points = null;
    this.merging = null;
    this.sketch();
  }

  stroke(event) {
    this.act({ type: "stroke", event });
  }

  objectAt([x, y]) {
    const { width, instance } = this.view.layers;
    return instance[Math.floor(y) * width + Math.floor(x)] || 0;
  }

  objectAlong(points) {
    for (let i = 0; i + 1 < points.length; i++) {
      for (let t = 0; t <= 1; t += 0.1) {
        const found = this.objectAt(points[i].map((v, k) => v + t * (points[i + 1][k] - v)));
        if (found) return found;
      }
    }
    return 0;
  }

  merge(point) {
    const object = this.objectAt(point);
    if (!object) return;
    if (this.merging && this.merging !== object) {
      this.stroke({ tool: "merge", objects: [this.merging, object] });
      this.merging = null;
    } else this.merging = object;
  }

  hover(point) {
    const radius = ["brush", "eraser", "subtract"].includes(this.state.tool) ? this.state.radius : 0;
    this.view.cursor = point && { x: point[0], y: point[1], radius };
    this.view.redraw();
  }

  sketch() {
    const closed = ["polygon", "split"].includes(this.state.tool);
    const points = this.points && (closed ? [...this.points, this.spot] : this.points);
    this.view.draft = points && { points, radius: this.state.radius, color: this.color, closed };
    this.view.redraw();
  }
}

// Points that lie on the line between their neighbours say nothing; strokes are shorter without them.
export function thinned(points) {
  const kept = [points[0]];
  for (let i = 1; i < points.length; i++) {
    const [x, y] = points[i];
    const [px, py] = kept.at(-1);
    if (Math.hypot(x - px, y - py) >= 0.25 || i === points.length - 1) kept.push([round(x), round(y)]);
  }
  kept[0] = kept[0].map(round);
  return kept.slice(0, 10000);
}

function round(value) {
  return Math.round(value * 100) / 100;
}
