// Browsing groups: pictures of several keys that show the same.

import { newest } from "./api.js";
import { grid, picture } from "./cards.js";
import { address, addressOf, count, h, notice, plural, toAddress } from "./dom.js";
import { layout } from "./layout.js";

const PAGE = 48;
const ORDERS = { size: "Largest", newest: "Newest", shops: "Most shops" };
const main = layout();
const find = newest();

async function run() {
  const now = { order: "size", start: 0, ...address() };
  const start = Number(now.start) || 0;
  main.classList.add("loading");
  try {
    const found = await find(addressOf("/groups", { order: now.order, start, count: PAGE }));
    show(now, start, found);
  } catch (refusal) {
    if (refusal.name === "AbortError") return;
    main.replaceChildren(notice(refusal));
  }
  main.classList.remove("loading");
}

function go(change) {
  const next = { ...address(), ...change };
  toAddress({ ...next, start: next.start || undefined });
  run();
  scrollTo(0, 0);
}

function show(now, start, found) {
  const orders = Object.entries(ORDERS).map(([order, title]) => h("button", { "aria-pressed": String(order === now.order), onclick: () => go({ order, start: 0 }) }, title));
  const heading = h("div", { class: "head" }, h("div", {}, h("h1", {}, plural(found.groups, "group")), h("p", { class: "quiet" }, "Each group shows one product picture under several keys, or on several days.")),
    h("div", { class: "chips", role: "group", "aria-label": "Order" }, orders));
  const none = h("div", { class: "empty panel" }, h("p", {}, "The index has no two pictures that are considered the same."));
  const end = start + found.page.length;
  const pager = found.groups > PAGE && h("div", { class: "pager" }, h("button", { disabled: start === 0, onclick: () => go({ start: Math.max(0, start - PAGE) }) }, "Previous"),
    h("span", { class: "quiet number" }, `${count(start + 1)} to ${count(end)} of ${count(found.groups)}`), h("button", { disabled: end >= found.listed, onclick: () => go({ start: end }) }, "Next"));
  main.replaceChildren(heading, found.page.length ? grid(found.page.map(card), { label: "Groups", wide: true }) : none, pager || "");
}

function card(group) {
  const target = addressOf("/group", { name: group.group });
  return [h("a", { class: "strip", href: target, "aria-label": `Group of ${group.size}: ${group.group}` }, group.pictures.map((source) => picture(source)), h("span", { class: "badge" }, plural(group.size, "picture"))),
    h("div", { class: "about" }, h("span", { class: "key", title: group.group }, group.group.split("/").slice(1).join("/")),
      h("span", { class: "line quiet" }, h("span", {}, group.shops ? plural(group.shops, "shop") : ""), h("span", { class: "number" }, `newest ${group.newest}`)))];
}

addEventListener("popstate", run);
run();
