// Everything beside the image: the strip of samples, classes, keypoints, gallery, curve.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.onclick = value;
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const SIGNS = { untouched: "○", strokes: "◐", done: "●" };

export class Strip {
  constructor(list, open) {
    this.list = list;
    this.open = open;
  }

  build(samples) {
    this.list.replaceChildren(
      ...samples.map((sample) =>
        element(
          "li",
          {},
          element(
            "button",
            { type: "button", onclick: () => this.open(sample.index), title: sample.name },
            element("img", { src: `/api/image/${sample.index}.png`, alt: "", width: 96 }),
            element("small"),
          ),
        ),
      ),
    );
    samples.forEach((sample) => this.update(sample));
  }

  update({ index, name, state, strokes, uncertainty, fidelity }) {
    const button = this.list.children[index].firstChild;
    const poor = fidelity !== null && fidelity < 0.8 ? ", poor inversion" : "";
    const unsure = uncertainty === null ? "" : ` · ${uncertainty.toFixed(2)}`;
    button.lastChild.textContent = `${SIGNS[state]} ${index + 1}${unsure}${poor}`;
    button.setAttribute("aria-label", `Image ${index + 1}, ${name}, ${state}, ${strokes} strokes${poor}`);
  }

  current(index) {
    [...this.list.children].forEach((item, i) => item.firstChild.setAttribute("aria-current", i === index));
    this.list.children[index].firstChild.scrollIntoView({ block: "nearest" });
  }
}

// Buttons of which one is chosen, with the keys 1 to 9.
export function choices(box, entries, choose) {
  box.replaceChildren(
    ...entries.map(({ name, color }, i) =>
      element(
        box.tagName === "OL" ? "li" : "span",
        {},
        element(
          "button",
          { type: "button", role: "radio", "aria-checked": "false", onclick: () => choose(i) },
          ...(color ? [swatch(color)] : []),
          name,
          ...(i < 9 && color ? [element("kbd", {}, String(i + 1))] : []),
        ),
      ),
    ),
  );
}

export function chosen(box, index) {
  [...box.children].forEach((item, i) => item.firstChild.setAttribute("aria-checked", i === index));
  box.children[index]?.firstChild.scrollIntoView({ block: "nearest" });
}

function swatch(color) {
  const made = element("span", { class: "swatch" });
  made.style.background = `rgb(${color})`;
  return made;
}

// Agreement of each stroke with the proposal before it with its running mean, and the loss of learning (orange).
export function drawCurve(canvas, points, losses) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.strokeStyle = "#c4c4c4";
  context.strokeRect(0, 0, width, height);
  drawLosses(context, width, height, losses.map(({ loss }) => loss).filter((loss) => loss !== null));
  if (!points.length) return;
  const x = (i) => 4 + ((width - 8) * i) / Math.max(1, points.length - 1);
  const y = (share) => height - 4 - (height - 8) * share;
  context.fillStyle = "#9ab8d6";
  points.forEach(({ agreement }, i) => context.fillRect(x(i) - 1, y(agreement) - 1, 3, 3));
  context.strokeStyle = "#0b5394";
  context.lineWidth = 2;
  context.beginPath();
  let mean = points[0].agreement;
  points.forEach(({ agreement }, i) => {
    mean += (agreement - mean) * Math.max(0.15, 1 / (i + 1));
    if (i) context.lineTo(x(i), y(mean));
    else context.moveTo(x(i), y(mean));
  });
  context.stroke();
}

function drawLosses(context, width, height, losses) {
  if (losses.length < 2) return;
  const [low, high] = [0, Math.max(...losses)];
  context.strokeStyle = "#d55e00";
  context.lineWidth = 1;
  context.beginPath();
  losses.forEach((loss, i) => {
    const place = [4 + ((width - 8) * i) / (losses.length - 1), height - 4 - ((height - 8) * (loss - low)) / (high - low || 1)];
    if (i) context.lineTo(...place);
    else context.moveTo(...place);
  });
  context.stroke();
}

export function toldStop({ gain, low, high, enough }) {
  if (gain === null) return "After some more strokes, what ten further ones would change stands here.";
  const percent = (value) => `${(100 * value).toFixed(1)} %`;
  const interval = `${percent(gain)} (${percent(low)} to ${percent(high)})`;
  return enough
    ? `Ten more strokes would change about ${interval} of the pixels: you can stop.`
    : `Ten more strokes would correct about ${interval} of the pixels.`;
}

export function showGallery(box, { samples }) {
  samples.forEach(({ place, revision, seed }) => {
    while (box.children.length <= place) box.append(element("img", { alt: "", width: 60 }));
    const image = box.children[place];
    image.src = `/api/gallery/${place}.png?kind=overlay&revision=${revision}`;
    image.title = `seed ${seed}`;
  });
}
