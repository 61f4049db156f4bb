// Layers, sliders of the selected one, and what the file holds.
import { operation } from "./document.js";

const NAMES = { 1: "splats", 2: "layer", 4: "edits", 5: "clip", 6: "segment", 7: "eyes", 0x81: "notes", 0x82: "metadata", 0x83: "sound", 0x84: "textures", 0x87: "index" };
const MODES = ["", "grey", "grey and alpha", "RGB", "RGB and alpha"];

/** List layers, front to back. */
export function showLayers(list, doc, selected, { select, toggle }) {
  list.replaceChildren(...(doc?.stack ?? []).toReversed().map((state) => {
    const item = document.createElement("li"), box = document.createElement("input"), name = document.createElement("span"), note = document.createElement("small");
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(state.number === selected));
    item.classList.toggle("hidden", !state.visible);
    Object.assign(box, { type: "checkbox", checked: state.visible });
    box.setAttribute("aria-label", `Show ${state.name}`);
    name.textContent = state.name;
    note.textContent = [state.opacity < 1 ? `${Math.round(100 * state.opacity)}%` : "", doc.layerOf(state).moves ? "moves" : ""].join(" ");
    box.addEventListener("click", (event) => event.stopPropagation());
    box.addEventListener("change", () => toggle(state));
    item.addEventListener("click", () => select(state.number));
    item.append(box, name, note);
    return item;
  }));
}

const SLIDERS = [
  ["opacity", "Opacity", 0, 1, 1], ["brightness", "Brightness", 0, 2, 1], ["contrast", "Contrast", 0, 2, 1],
  ["saturation", "Saturation", 0, 2, 1], ["hue", "Hue", -180, 180, 0], ["blur", "Blur", 0, 20, 0], ["tint", "Tint", 0, 1, 0],
];

/** Sliders whose change is tried out while they move, and kept when they are let go. */
export class Adjust {
  constructor(root, { number, attempt, keep }) {
    this.inputs = SLIDERS.map(([kind, title, min, max, rest]) => {
      const label = document.createElement("label"), input = document.createElement("input"), output = document.createElement("output");
      Object.assign(input, { type: "range", min, max, step: kind === "hue" ? 1 : 0.01, value: rest, id: `adjust-${kind}` });
      input.setAttribute("aria-label", title);
      const text = () => (output.value = kind === "hue" ? `${input.value}°` : kind === "blur" ? `${input.value} px` : `${Math.round(100 * input.value)}%`);
      text();
      const step = () => (Number(input.value) === rest ? [] : [operation(kind, number(), kind === "tint" ? [...this.tone(), Number(input.value)] : [Number(input.value)])]);
      input.addEventListener("input", () => {
        text();
        attempt(step());
      });
      input.addEventListener("change", () => {
        keep(step());
        input.value = rest;
        text();
      });
      label.append(title, input, output);
      root.append(label);
      return input;
    });
    const label = document.createElement("label");
    this.color = Object.assign(document.createElement("input"), { type: "color", value: "#ff8800", id: "tone" });
    this.color.setAttribute("aria-label", "Colour of the tint");
    label.append("Tint with", this.color);
    root.append(label);
    this.inputs.push(this.color);
  }
  tone() {
    return [1, 3, 5].map((i) => parseInt(this.color.value.slice(i, i + 2), 16));
  }
  set disabled(off) {
    for (const input of this.inputs) input.disabled = off;
  }
}

const number = (v) => v.toLocaleString("en");

function table(caption, rows) {
  const out = document.createElement("table");
  if (caption) out.createCaption().textContent = caption;
  for (const [name, value] of rows) {
    const row = out.insertRow();
    row.insertCell().textContent = name;
    row.insertCell().textContent = value;
  }
  return out;
}

const groupsOf = (part) => [part, part.matte].flatMap((field) => [field?.splats, ...(field?.parts ?? []).map(({ splats }) => splats)]).filter(Boolean);
const splatsOf = (part) => groupsOf(part).reduce((n, { count }) => n + count, 0);

/** Bytes by section, layer and attribute, splats, rate, and what the encoder noted. */
export function showFacts(root, doc, bits) {
  root.replaceChildren();
  if (!doc) return;
  const { file, bytes, name } = doc, { header } = file, size = bytes?.length ?? file.size;
  const frames = doc.timeline?.count ?? file.eyes?.views ?? 1, splats = [...file.layers, ...file.segments].reduce((n, part) => n + splatsOf(part), 0);
  root.append(table("", [
    ["Name", name],
    ["Size", `${number(file.width)} × ${number(file.height)} px, ${MODES[header.channels]}`],
    ["Bytes", `${number(size)} (${((8 * size) / (file.width * file.height * frames)).toFixed(4)} bpp)`],
    ...(file.rate === null ? [["Splats", number(splats)]] : [["Frames", `${number(frames)}, ${(+file.rate.toFixed(3))} a second, ${doc.timeline.duration.toFixed(2)} s`], ["Segments", number(file.segments.length)]]),
    ...(file.eyes ? [["Views", file.eyes.grid ? file.eyes.grid.join(" × ") : number(file.eyes.views)]] : []),
    ["Quality", header.quality || "not given"],
    ["Edits", number(doc.steps.flat().length)],
  ]));
  const kinds = new Map();
  for (const { kind, size } of file.sections) {
    const title = NAMES[kind] ?? `0x${kind.toString(16)}`, [n, sum] = kinds.get(title) ?? [0, 0];
    kinds.set(title, [n + 1, sum + size]);
  }
  root.append(table("Sections", [["header", number(file.first)], ...[...kinds].map(([title, [n, sum]]) => [n > 1 ? `${title} (${n})` : title, number(sum)])]));
  if (file.layers.length > 1) root.append(table("Layers, bytes", file.layers.filter(({ moves }) => !moves).map((layer) => [layer.name, number(layer.bytes + (layer.matte?.bytes ?? 0))])));
  const sum = {};
  for (const layer of bits ?? []) for (const [key, value] of Object.entries(layer)) sum[key] = (sum[key] ?? 0) + value;
  if (Object.keys(sum).length) root.append(table("Attributes, bytes", Object.entries(sum).map(([key, value]) => [key, number(Math.round(value / 8))])));
  if (file.rate === null) {
    const tiers = file.layers.flatMap(groupsOf).reduce((all, { tierCounts }) => all.map((n, t) => n + tierCounts[t]), [0, 0, 0, 0, 0, 0]);
    root.append(table("Splats by tier", tiers.map((n, t) => [String(t + 1), number(n)])));
  }
  if (file.notes.length) root.append(table("Notes of the encoder", file.notes.map((note, i) => [String(i + 1), note])));
}
