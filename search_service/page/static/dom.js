// Elements without HTML text: whatever comes from data is text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("p", {class: "quiet", onclick: f}, "text", child)`. A property that is null or false is left out. */
export function h(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

export function svg(name, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, name), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PATHS = {
  upload: "M12 16V4m0 0 4.5 4.5M12 4 7.5 8.5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  close: "M6 6l12 12M18 6 6 18",
  moon: "M20 14.5A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.5z",
  logout: "M14 4h4a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1h-4M10 8l-4 4 4 4M6 12h9",
  keys: "M3 7h18v10H3zM7 10.5h.01M11 10.5h.01M15 10.5h.01M8 14h8",
};

export function icon(name) {
  const path = svg("path", { d: PATHS[name], fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-linecap": "round", "stroke-linejoin": "round" });
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, path);
}

export const count = (number) => Number(number).toLocaleString("en");
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${Number(number) === 1 ? one : many}`;

/** A column's name as people read it. */
export const titleOf = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

/** The search part of this page's address as an object, and setting it: undefined and empty values go. */
export const address = () => Object.fromEntries(new URLSearchParams(location.search));

export function addressOf(path, values) {
  const kept = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(kept).toString();
  return text ? `${path}?${text}` : path;
}

export function toAddress(values, { replace = false } = {}) {
  const url = addressOf(location.pathname, values);
  if (replace) history.replaceState(null, "", url);
  else if (url !== location.pathname + location.search) history.pushState(null, "", url);
}

/** What went wrong, with what to do, and perhaps a button. */
export function notice(refusal, ...more) {
  return h("div", { class: "notice", role: "alert" }, h("p", { class: "error" }, refusal.error), h("p", { class: "do" }, sentence(refusal)), more);
}

function sentence({ expected, do: doing }) {
  return [expected ? `Expected: ${expected}.` : "", doing ? `${doing[0].toUpperCase()}${doing.slice(1)}.` : ""].filter(Boolean).join(" ");
}
