// What is searched for: a picture of one's own with a frame on it, a picture of the index, or a code alone.

import { framedPicture } from "./frame.js";
import { h, icon } from "./dom.js";

const SHRUNK_SIDE = 2048;

/** Where a picture is dropped or chosen; `take(file)` gets it. */
export function dropZone(take, { large = false } = {}) {
  const input = h("input", { type: "file", accept: "image/*", "aria-label": "Choose a picture", onchange: () => { if (input.files[0]) take(input.files[0]); input.value = ""; } });
  const zone = h("label", { class: large ? "drop large" : "drop" }, icon("upload"), h("strong", {}, large ? "Drop a picture here, or choose one" : "Another picture"),
    h("span", { class: "small" }, large ? "or paste one that you have copied" : "drop, paste or choose"), input);
  return zone;
}

/** A picture dropped or pasted anywhere on the page goes to `take(file)`; files of other kinds too, the service says what is wrong with them. */
export function takeFromAnywhere(take) {
  const has = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  const over = (is) => document.querySelectorAll(".drop").forEach((zone) => zone.classList.toggle("over", is));
  document.addEventListener("dragover", (event) => { if (has(event)) { event.preventDefault(); over(true); } });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
  document.addEventListener("drop", (event) => {
    if (!has(event)) return;
    event.preventDefault();
    over(false);
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files || [])][0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}

/** The field for a key. */
export function keyField(value, search) {
  const input = h("input", { name: "key", value, placeholder: "or type a key, like mug-4004-00021/0", "aria-label": "Key", "data-search-field": true, autocomplete: "off", spellcheck: "false" });
  return h("form", { class: "by-key", role: "search", onsubmit: (event) => { event.preventDefault(); if (input.value.trim()) search(input.value.trim()); } }, input, h("button", { class: "primary" }, "Search"));
}

/** A picture of one's own, framed, and under it what was found: {elements, show(box, seen)}; the frame stays the same element, and keeps the focus. */
export function framed({ source, changed }) {
  const picture = framedPicture({ source, alt: "The picture that is searched for", changed });
  const below = h("div", {}, h("p", { class: "quiet small" }, "Looking…"));
  const help = h("p", { class: "quiet small", id: "frame-keys" }, "Drag the frame or draw another one: that part is searched. Arrow keys move the frame; with Shift they resize it.");
  return {
    elements: [picture.element, below, help],
    show(box, seen) {
      if (!seen) return;
      picture.show(box || seen.crop, seen.objects);
      below.replaceChildren(foundIn(seen, changed));
    },
  };
}

function foundIn(seen, changed) {
  if (!seen.objects.length) return h("p", { class: "small" }, "No product was found: the whole picture is searched.");
  const buttons = seen.objects.map((object) => {
    const isSearched = seen.crop.source === "detection" && object.label === seen.crop.label && Math.abs(object.score - seen.crop.score) < 1e-6;
    return h("button", { type: "button", "aria-pressed": String(isSearched), onclick: () => changed(boxOf(object)) }, `${object.label} ${Math.round(100 * object.score)} %`);
  });
  const whole = h("button", { type: "button", "aria-pressed": String(isWhole(seen.crop)), onclick: () => changed({ x_min: 0, y_min: 0, x_max: 1, y_max: 1 }) }, "whole picture");
  return h("div", { class: "chips", role: "group", "aria-label": "Found in the picture" }, buttons, whole);
}

const boxOf = ({ x_min, y_min, x_max, y_max }) => ({ x_min, y_min, x_max, y_max });
const isWhole = (crop) => crop.source === "whole_image" || (crop.source === "chosen" && crop.x_max - crop.x_min > 0.999 && crop.y_max - crop.y_min > 0.999);

/** A smaller copy of a picture that is over the service's limits, made by the browser. */
export async function smallerCopy(file) {
  const whole = await createImageBitmap(file);
  const scale = Math.min(1, SHRUNK_SIDE / Math.max(whole.width, whole.height));
  const canvas = h("canvas", { width: Math.round(whole.width * scale), height: Math.round(whole.height * scale) });
  canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
  whole.close();
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
}
