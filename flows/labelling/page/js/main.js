// The page: loads the state, wires tools, keys and panels, and keeps what is shown equal to what the server says.

import { Socket, fetchJson, fetchLayers } from "/static/js/api.js";
import { Strip, choices, chosen, drawCurve, element, showGallery, toldStop } from "/static/js/panels.js";
import { strokePixels } from "/static/js/raster.js";
import { Hand, TOOLS } from "/static/js/tools.js";
import { View } from "/static/js/view.js";

const $ = (id) => document.getElementById(id);
const state = { tool: "brush", value: 1, radius: 3, object: 0, keypoint: "", hidden: false, space: false, sample: 0, editor: true, unsaved: 0 };
const view = new View($("canvas"));
const images = new Map();
const strip = new Strip($("strip"), (index) => open(index));
let hand;
let socket;
let loading = 0; // number of the latest request for layers: older answers are dropped

async function start() {
  Object.assign(state, await fetchJson("/api/state"));
  $("name").textContent = state.name;
  view.colors = state.classes.map((c) => c.color);
  state.value = Math.min(1, state.classes.length - 1);
  state.keypoint = state.keypoints[0] || "";
  hand = new Hand(view, state, act);
  strip.build(state.samples);
  choices($("classes"), state.classes, chooseClass);
  choices($("keypoints"), state.keypoints.map((name) => ({ name })), chooseKeypoint);
  $("tools").replaceChildren(
    ...TOOLS.filter((t) => t.name !== "keypoint" || state.keypoints.length).map((t) =>
      element("button", { type: "button", id: `tool-${t.name}`, title: `${t.label} (${t.key.toUpperCase()})`, onclick: () => chooseTool(t.name) }, t.label),
    ),
  );
  chooseTool("brush");
  chooseClass(state.value);
  tellTrouble(state.note);
  socket = new Socket(hear);
  await open(state.next);
  refreshPanels();
}

// ---- what is shown

async function open(index) {
  state.sample = index;
  view.clear();
  strip.current(index);
  socket.say({ type: "open", sample: index });
  hand.drop();
  if (!images.has(index)) {
    const image = new Image();
    image.src = `/api/image/${index}.png`;
    await image.decode();
    images.set(index, image);
  }
  if (index !== state.sample) return; // another image has been opened meanwhile
  await refresh(true);
  tellStatus();
}

async function refresh(opened = false) {
  const [number, sample] = [++loading, state.sample];
  const layers = await fetchLayers(sample);
  if (number !== loading || sample !== state.sample) return;
  if (opened || !view.layers) view.show(images.get(sample), layers);
  else if (state.unsaved === 0) view.update(layers);
  document.body.dataset.sample = sample;
  document.body.dataset.revision = layers.revision;
  document.body.dataset.model = layers.model_revision;
}

async function refreshPanels() {
  const [curve, gallery] = await Promise.all([fetchJson("/api/curve"), fetchJson("/api/gallery")]);
  drawCurve($("curve"), curve.points, curve.losses);
  $("loss").textContent = toldQuality(curve);
  $("stop").textContent = toldStop(curve.stop);
  showGallery($("gallery"), gallery);
  const shares = gallery.class_shares.map((share, i) => `${state.classes[i].name} ${(100 * share).toFixed(1)} %`);
  $("shares").textContent = gallery.samples.length ? `${shares.join(", ")}; mean uncertainty ${gallery.mean_uncertainty.toFixed(3)} nats` : "";
}

function toldQuality({ points, losses }) {
  const recent = points.slice(-10);
  const agreement = recent.reduce((sum, p) => sum + p.agreement, 0) / Math.max(1, recent.length);
  const loss = losses.at(-1)?.loss;
  const parts = recent.length ? [`agreement of the last ${recent.length} strokes ${(100 * agreement).toFixed(0)} % (blue)`] : [];
  if (loss !== undefined && loss !== null) parts.push(`loss ${loss.toFixed(3)} nats (orange)`);
  return parts.join(", ");
}

const panelsSoon = debounced(refreshPanels, 400);

function tellStatus(more = "") {
  const sample = state.samples[state.sample];
  const saved = state.unsaved ? `saving ${state.unsaved} …` : "saved";
  $("status").textContent = `image ${state.sample + 1} of ${state.samples.length}, ${sample.strokes} strokes, ${saved}${more}`;
  document.body.dataset.unsaved = state.unsaved;
}

function tellTrouble(text) {
  $("trouble").textContent = text || "";
  $("trouble").hidden = !text;
}

// ---- what the server says

function hear(message) {
  if (message.type === "saved") saved(message);
  else if (message.type === "refused") refused(message);
  else if (message.type === "layers") proposed(message);
  else if (message.type === "sample") sampleChanged(message);
  else if (message.type === "model") state.model = message;
  else if (message.type === "gallery") panelsSoon();
  else if (message.type === "samples") samplesJoined(message);
  else if (message.type === "progress") pairsMade(message);
  else if (message.type === "editor") setEditor(message.editor);
  else if (message.type === "error") tellTrouble(message.text);
  else if (message.type === "disconnected") tellTrouble("The server does not answer; strokes wait here until it does.");
  else if (message.type === "connected") {
    tellTrouble("");
    socket.say({ type: "open", sample: state.sample });
    if (view.layers) refresh(); // what came while there was no connection
  }
}

function saved({ revision }) {
  state.unsaved = socket.waiting.size;
  state.revision = revision;
  tellStatus();
  if (state.unsaved === 0) refresh();
  panelsSoon();
}

function refused({ why }) {
  state.unsaved = socket.waiting.size;
  tellStatus();
  tellTrouble(why);
  setTimeout(() => tellTrouble(""), 5000);
  refresh();
}

function proposed({ sample, score, next }) {
  if (score !== undefined) {
    state.samples[sample].uncertainty = score;
    strip.update(state.samples[sample]);
    state.next = next;
  }
  if (sample === state.sample) refresh();
}

function sampleChanged(changed) {
  state.samples[changed.index] = { ...state.samples[changed.index], ...changed };
  strip.update(state.samples[changed.index]);
  if (changed.index === state.sample) tellStatus();
}

function pairsMade({ done, total, out, finished }) {
  $("made").value = done / total;
  $("made-shown").textContent = finished ? `${total} pairs in ${out}` : `${done} of ${total} pairs`;
  $("generate").disabled = !finished;
}

async function generate() {
  $("generate").disabled = true;
  const body = JSON.stringify({ count: Number($("pairs").value), out: $("store").value });
  try {
    await fetchJson("/api/generate", { method: "POST", body });
    $("made-shown").textContent = "begun";
  } catch (error) {
    $("made-shown").textContent = error.message;
    $("generate").disabled = false;
  }
}

// Photographs that have been inverted meanwhile.
async function samplesJoined({ left }) {
  const { samples } = await fetchJson("/api/state");
  state.samples = samples;
  strip.build(samples);
  strip.current(state.sample);
  tellStatus(left ? `, ${left} photographs to come` : "");
}

function setEditor(editor) {
  state.editor = editor;
  $("reader").hidden = editor;
  document.body.dataset.editor = editor;
}

// ---- what the person does

function act(message) {
  if (!view.layers) return; // the image is on its way
  if (!state.editor) {
    tellTrouble("Another tab is drawing; choose “Draw here” to draw in this one.");
    return;
  }
  showAtOnce(message);
  socket.draw({ ...message, sample: state.sample });
  state.unsaved = socket.waiting.size;
  tellStatus();
  if (message.event?.instance && state.newObject) state.newObject = false;
}

// A stroke is painted before the server has it; the server's labels replace it.
function showAtOnce({ type, event }) {
  if (type !== "stroke" || !["brush", "eraser"].includes(event.tool)) return;
  const { height, width, mask, instance } = view.layers;
  for (const pixel of strokePixels(event.points, event.size, height, width)) {
    mask[pixel] = event.tool === "eraser" ? 255 : event.value;
    instance[pixel] = event.instance || 0;
  }
  view.paintLayer();
  view.redraw();
}

function chooseTool(name) {
  state.tool = name;
  hand.drop();
  for (const { name: other } of TOOLS) $(`tool-${other}`)?.setAttribute("aria-pressed", other === name);
  document.body.dataset.tool = name;
}

function chooseClass(index) {
  if (index < 0 || index >= state.classes.length) return;
  state.value = index;
  state.object = 0;
  $("objects").hidden = !state.classes[index].thing;
  $("object-shown").textContent = "object –";
  chosen($("classes"), index);
}

function chooseKeypoint(index) {
  state.keypoint = state.keypoints[index];
  chosen($("keypoints"), index);
  chooseTool("keypoint");
}

function newObject() {
  const numbers = view.layers ? view.layers.instance : [];
  state.object = numbers.reduce((most, number) => Math.max(most, number), state.object) + 1;
  $("object-shown").textContent = `object ${state.object}`;
}

function setSize(size) {
  state.radius = Math.min(64, Math.max(0.5, size));
  $("size").value = state.radius;
  $("size-shown").textContent = state.radius;
  hand.hover(hand.spot);
}

function setOption(name, value) {
  view.options[name] = value;
  view.paintLayer();
  view.redraw();
}

function toggle(id, name) {
  $(id).checked = !$(id).checked;
  setOption(name, $(id).checked);
}

async function goNext() {
  const { next } = await fetchJson("/api/state");
  open(next === state.sample ? (state.sample + 1) % state.samples.length : next);
}

function markDone() {
  act({ type: "stroke", event: { tool: "done", done: state.samples[state.sample].state !== "done" } });
}

async function finish() {
  $("finish").disabled = true;
  tellStatus(", writing …");
  try {
    const { files, command } = await fetchJson("/api/finish", { method: "POST" });
    $("files").replaceChildren(...files.map((file) => element("li", {}, file)));
    $("command").textContent = command;
    $("finished").showModal();
  } catch (error) {
    tellTrouble(error.message);
  } finally {
    $("finish").disabled = false;
    tellStatus();
  }
}

const step = (by) => open((state.sample + by + state.samples.length) % state.samples.length);

// Key, what it does, how it is told. Keys with Control come as "^z".
const KEYS = [
  ...TOOLS.map((t) => [t.key, () => chooseTool(t.name), t.label]),
  ["[", () => setSize(state.radius - (state.radius > 4 ? 1 : 0.5)), "Smaller brush"],
  ["]", () => setSize(state.radius + (state.radius >= 4 ? 1 : 0.5)), "Larger brush"],
  ["^z", () => act({ type: "stroke", event: { tool: "undo" } }), "Undo"],
  ["^y", () => act({ type: "stroke", event: { tool: "redo" } }), "Redo"],
  ["a", () => act({ type: "accept", what: "all" }), "Accept the proposal"],
  ["A", () => act({ type: "accept", what: "class", value: state.value }), "Accept the chosen class"],
  ["n", () => newObject(), "New object"],
  ["h", () => (state.hidden = !state.hidden), "Next keypoint is hidden, or visible again"],
  ["Enter", () => (hand.points && state.tool === "polygon" ? hand.closePolygon() : goNext()), "Close the polygon; next image"],
  ["PageDown", () => step(1), "Following image"],
  ["PageUp", () => step(-1), "Image before"],
  ["d", () => markDone(), "Image is done, or not"],
  ["l", () => toggle("show-labels", "labels"), "Labels on and off"],
  ["o", () => toggle("show-proposal", "proposal"), "Proposal on and off"],
  ["u", () => toggle("show-heat", "heat"), "Uncertainty on and off"],
  ["+", () => view.zoomAt(view.canvas.clientWidth / 2, view.canvas.clientHeight / 2, 1.25), "Larger"],
  ["-", () => view.zoomAt(view.canvas.clientWidth / 2, view.canvas.clientHeight / 2, 0.8), "Smaller"],
  ["0", () => view.fit(), "Whole image"],
  ["Escape", () => hand.drop(), "Drop what is being drawn"],
  ["^Enter", () => finish(), "Finish"],
  ["?", () => $("help").showModal(), "This list"],
];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function pressed(event) {
  if (document.querySelector("dialog[open]") || event.target.matches("input")) return;
  const onButton = event.target.matches("button");
  if (event.key === " " && !onButton) {
    event.preventDefault();
    if (!event.repeat) state.space = true;
    return;
  }
  if (ARROWS[event.key] && event.target === view.canvas) {
    event.preventDefault();
    hand.nudge(...ARROWS[event.key].map((v) => v * (event.shiftKey ? 8 : 1)));
    return;
  }
  if (event.key === "Enter" && onButton && !event.ctrlKey) return;
  const control = event.ctrlKey || event.metaKey;
  const name = control ? `^${event.key === "Z" ? "y" : event.key}` : event.key;
  const found = KEYS.find(([key]) => key === name);
  if (found) {
    event.preventDefault();
    found[1]();
  } else if (!control && /^[1-9]$/.test(event.key)) chooseClass(Number(event.key) - 1);
}

function released(event) {
  if (event.key !== " ") return;
  if (state.space && !hand.moving && event.target === view.canvas && !hand.dragged) hand.press();
  state.space = false;
}

function debounced(call, pause) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, pause);
  };
}

document.addEventListener("keydown", pressed);
document.addEventListener("keyup", released);
$("size").oninput = (event) => setSize(Number(event.target.value));
for (const name of ["opacity", "brightness", "contrast"]) $(name).oninput = (event) => setOption(name, Number(event.target.value));
for (const [id, name] of [["show-labels", "labels"], ["show-proposal", "proposal"], ["show-heat", "heat"]]) $(id).onchange = (event) => setOption(name, event.target.checked);
$("accept-all").onclick = () => act({ type: "accept", what: "all" });
$("accept-class").onclick = () => act({ type: "accept", what: "class", value: state.value });
$("next").onclick = goNext;
$("done").onclick = markDone;
$("new-object").onclick = newObject;
$("take-over").onclick = () => socket.say({ type: "take_over" });
$("help-button").onclick = () => $("help").showModal();
$("finish").onclick = finish;
$("generate").onclick = generate;
$("keys").replaceChildren(...KEYS.flatMap(([key, , told]) => [element("dt", {}, element("kbd", {}, key.replace("^", "Ctrl+"))), element("dd", {}, told)]), element("dt", {}, "1 … 9"), element("dd", {}, "Class"), element("dt", {}, "Arrows, space"), element("dd", {}, "Move the cursor on the image (with Shift by 8 pixels), draw there; space and drag, or the right button: move the image"));

start().catch((error) => tellTrouble(error.message));
