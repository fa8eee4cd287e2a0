// Pictures as cards in a grid that the arrow keys walk through.

import { h } from "./dom.js";

/** A grid of list items; keys: what a letter does to the card that has the focus, {m: (index) => …}. */
export function grid(cards, { label, keys = {}, wide = false }) {
  const list = h("ul", { class: wide ? "grid wide" : "grid", "aria-label": label }, cards.map((card) => h("li", { class: "card" }, card)));
  list.addEventListener("keydown", (event) => walk(event, list, keys));
  return list;
}

function walk(event, list, keys) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const items = [...list.children];
  const index = items.findIndex((item) => item.contains(document.activeElement));
  if (index < 0) return;
  if (keys[event.key]) {
    event.preventDefault();
    keys[event.key](index);
    return;
  }
  const columns = items.filter((item) => item.offsetTop === items[0].offsetTop).length;
  const to = { ArrowRight: index + 1, ArrowLeft: index - 1, ArrowDown: index + columns, ArrowUp: index - columns, Home: 0, End: items.length - 1 }[event.key];
  if (to === undefined || !items[to]) return;
  event.preventDefault();
  items[to].querySelector("button, a")?.focus();
}

/** A picture, or what stands for it where there is none. */
export function picture(source, alt = "") {
  const none = () => h("span", { class: "none" }, "no picture kept");
  if (!source) return none();
  const image = h("img", { src: source, alt, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(none()));
  return image;
}

/** How near a picture is: the share of the code's bits that are equal, as a bar. */
export function meter(distance, bits) {
  const share = Math.max(0, 1 - (2 * distance) / bits);
  return h("div", { class: "meter", "aria-hidden": "true" }, h("i", { style: { width: `${100 * share}%` } }));
}
