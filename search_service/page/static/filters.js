// The filters of a search: days, labels, and whatever other columns the index has.

import { h, titleOf } from "./dom.js";

const OWN = new Set(["day", "label"]);

/**
 * A bar of filters. index: what /api/v1/index says.   given: {since, until, where: {label: [...]}}.
 * changed(filters): called when a person has set others.
 */
export function filterBar(index, given, changed, ...more) {
  const now = structuredClone(given);
  const tell = () => changed(structuredClone(now));
  const days = index.days;
  const day = (name, title) =>
    h("label", { class: "field" }, title, h("input", { type: "date", name, value: now[name] || "", min: days[0], max: days.at(-1), onchange: (event) => { now[name] = event.target.value; tell(); } }));
  const columns = index.filters.filter((name) => !OWN.has(name)).map((name) => textFilter(name, now, tell));
  const clear = isFiltered(now) && h("button", { type: "button", class: "plain", onclick: () => changed({ since: "", until: "", where: {} }) }, "Clear filters");
  return h("form", { class: "bar", "aria-label": "Filters", onsubmit: (event) => event.preventDefault() },
    day("since", "From"), day("until", "To"), choices("label", index.labels, now, tell), columns, more, clear);
}

export const isFiltered = ({ since, until, where }) => Boolean(since || until || Object.values(where).flat().length);

function choices(name, values, now, tell) {
  const chosen = new Set(now.where[name] || []);
  const title = chosen.size ? [...chosen].map(shown).join(", ") : "all";
  const boxes = values.map((value) =>
    h("label", { class: "choice" }, h("input", { type: "checkbox", value, checked: chosen.has(value), onchange: (event) => {
      event.target.checked ? chosen.add(value) : chosen.delete(value);
      now.where[name] = [...chosen];
      tell();
    } }), shown(value)));
  return h("div", { class: "field-like" }, h("span", { class: "quiet" }, "Label"),
    h("details", { class: "menu" }, h("summary", { class: "button" }, h("span", {}, title)), h("div", { class: "panel options", role: "group", "aria-label": "Labels" }, boxes)));
}

const shown = (value) => value || "none (whole picture)";

function textFilter(name, now, tell) {
  return h("label", { class: "field" }, titleOf(name), h("input", { name, value: (now.where[name] || []).join(", "), placeholder: "all", title: "Separate several values with commas; write a range of numbers as 10..20", onchange: (event) => {
    now.where[name] = event.target.value.split(",").map((value) => value.trim()).filter(Boolean);
    tell();
  } }));
}

/** Filters as an address has them, and back: every name that is not one of `others` is a column of the index. */
export function filtersOf(parameters, others) {
  const where = Object.create(null); // whatever an address names, also what every object has
  for (const [name, value] of parameters) if (!others.has(name)) (where[name] ||= []).push(value);
  return { since: parameters.get("since") || "", until: parameters.get("until") || "", where };
}

export function inAddress({ since, until, where }) {
  const pairs = Object.entries(where).flatMap(([name, values]) => values.map((value) => [name, value]));
  return [["since", since], ["until", until], ...pairs].filter(([name, value]) => value || !["since", "until"].includes(name));
}
