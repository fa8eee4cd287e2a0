// The page on which people search. What is searched, the filters and the picture that is looked at are in the address: links can be shared.

import { ask, newest } from "./api.js";
import { grid, meter, picture } from "./cards.js";
import { detailPanel } from "./detail.js";
import { addressOf, count, h, notice, plural } from "./dom.js";
import { filterBar, filtersOf, inAddress, isFiltered } from "./filters.js";
import { layout } from "./layout.js";
import { dropZone, framed, keyField, smallerCopy, takeFromAnywhere } from "./query.js";

const AT_FIRST = 24;
const MORE = 24;
const OWN = new Set(["key", "of_day", "crop", "code", "k", "look", "since", "until"]);

const main = layout();
const find = newest();
let index = null;
let own = null; // a picture of one's own: {file, source, box, seen}
let shown = { neighbours: [], item: null };

/** What the address says. */
function asked() {
  const parameters = new URLSearchParams(location.search);
  const value = (name) => parameters.get(name) || "";
  return { key: value("key"), of_day: value("of_day"), crop: value("crop"), code: value("code"), k: Number(value("k")) || AT_FIRST, look: value("look"), filters: filtersOf(parameters, OWN) };
}

function go(change, { replace = false } = {}) {
  const next = { ...asked(), ...change };
  const pairs = ["key", "of_day", "crop", "code", "look"].map((name) => [name, next[name]]).filter(([, value]) => value !== "");
  if (next.k !== AT_FIRST) pairs.push(["k", next.k]);
  const text = new URLSearchParams([...pairs, ...inAddress(next.filters)]).toString();
  history[replace ? "replaceState" : "pushState"](null, "", text ? `/?${text}` : "/");
}

const results = h("section", { "aria-label": "Results", "aria-live": "polite" });
const side = h("div", { class: "side" });
const detail = h("div", { class: "side detail-side", hidden: true });
const page = h("div", { class: "search" }, side, results, detail);

function searchKey(key, of_day = "", crop = "") {
  forget();
  go({ key, of_day, crop: String(crop), code: "", look: "", k: AT_FIRST });
  return run();
}

function forget() {
  if (own) URL.revokeObjectURL(own.source);
  own = null;
}

function take(file) {
  forget();
  const source = URL.createObjectURL(file);
  own = { file, source, box: null, seen: null, view: framed({ source, changed: frameAt }) };
  go({ key: "", of_day: "", crop: "", code: "", look: "", k: AT_FIRST });
  return run();
}

function frameAt(box) {
  own.box = box;
  return run();
}

/** Search what the address says, or the picture that was given, and show it. */
async function run() {
  const now = asked();
  if (!own && !now.key && !now.code) return welcome();
  if (!page.isConnected) main.replaceChildren(page);
  showSide(now);
  results.classList.add("loading");
  try {
    index ||= await ask("/index");
    shown = own ? await findPicture(now) : await findItem(now);
    if (own) go({ code: shown.code }, { replace: true });
    showSide(now);
    showResults(now);
  } catch (refusal) {
    if (refusal.name === "AbortError") return;
    results.replaceChildren(notice(refusal, isTooLarge(refusal) && h("button", { onclick: async () => { results.classList.add("loading"); take(await smallerCopy(own.file)); } }, "Search a smaller copy")));
  }
  results.classList.remove("loading");
  await look(now.look);
}

const isTooLarge = (refusal) => own && (refusal.status === 413 || /too_many_(pixels|bytes)/.test(refusal.error));

async function findPicture(now) {
  const box = own.box && ["x_min", "y_min", "x_max", "y_max"].map((name) => own.box[name].toFixed(4)).join(",");
  const pairs = [["k", now.k], ...(box ? [["box", box]] : []), ...inAddress(now.filters)];
  const found = await find(`/search/picture?${new URLSearchParams(pairs)}`, { method: "POST", body: own.file, headers: { "Content-Type": "application/octet-stream" } });
  own.seen = found.seen;
  return { item: null, neighbours: found.neighbours, items: found.items, code: found.seen.code };
}

async function findItem(now) {
  const query = now.key ? { key: now.key, ...(now.of_day && { day: now.of_day }), ...(now.crop !== "" && { crop: Number(now.crop) }) } : { code: now.code };
  const { since, until, where } = now.filters;
  const body = { queries: [query], k: now.k, where, since: since || null, until: until || null };
  const found = await find("/search", { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  return { ...found.answers[0], items: found.items, code: found.answers[0].item?.code || now.code };
}

function welcome() {
  document.title = "Search · Picture search";
  main.replaceChildren(h("div", { class: "welcome" }, h("h1", {}, "Find a product by its picture"),
    h("p", {}, "Its photo, even cropped, tinted or compressed, leads to every picture in the shop that shows the same or looks similar."),
    dropZone(take, { large: true }), keyField("", searchKey)));
}

function showSide(now) {
  const title = now.key ? now.key : own ? "Your picture" : "A picture by its code";
  document.title = `${title} · Picture search`;
  if (own) own.view.show(own.box, own.seen);
  if (own && side.contains(own.view.elements[0])) return;
  const isItem = shown.item && now.key === shown.item.key;
  const query = own ? own.view.elements : [h("div", { class: "query" }, h("div", { class: "face small-picture" }, isItem ? picture(shown.item.picture, `Picture ${now.key}`) : picture("", ""))), about(now)];
  side.replaceChildren(h("div", { class: "panel detail" }, h("h2", { class: own ? "" : "key" }, title), query), dropZone(take), keyField(now.key, searchKey));
}

function about(now) {
  if (!now.key) return h("p", { class: "quiet small" }, "The link carries the code alone; the picture itself is not stored. Choose the picture again to frame another part of it.");
  const item = shown.item;
  if (!item || item.key !== now.key) return null;
  const frame = h("button", { onclick: () => frameWhole(item) }, "Frame another part of it");
  return [h("p", { class: "quiet small" }, [item.label || "whole picture", item.day, item.crop ? `crop ${item.crop}` : ""].filter(Boolean).join(" · ")), frame,
    item.group && h("a", { class: "button", href: addressOf("/group", { name: item.group }) }, "Its group")];
}

/** The picture of an item as if it had been given, to search for something else in it: the whole one, or where nobody has that, the part that was searched. */
async function frameWhole(item) {
  for (const address of [`${item.picture}&size=whole`, item.picture]) {
    const answer = await fetch(address, { credentials: "same-origin" });
    if (answer.ok) return take(new File([await answer.blob()], "picture.jpg", { type: "image/jpeg" }));
    if (address === item.picture) return results.prepend(notice(await answer.json()));
  }
}

function showResults(now) {
  const { neighbours, items, item } = shown;
  const change = (filters) => { go({ filters, k: AT_FIRST, look: "" }); run(); };
  const heading = h("div", { class: "head" }, h("h1", {}, neighbours.length ? `${plural(neighbours.length, "nearest picture")} of ${count(items)}` : "Nothing found"));
  const cards = neighbours.map((found) => resultCard(found, item));
  const keys = { m: (place) => more(neighbours[place]), g: (place) => neighbours[place].group && location.assign(addressOf("/group", { name: neighbours[place].group })) };
  const none = h("div", { class: "empty panel" }, h("p", {}, isFiltered(now.filters) ? "No picture passes the filters." : "The index has no other picture."));
  const further = neighbours.length === now.k && h("div", { class: "pager" }, h("button", { onclick: () => { go({ k: now.k + MORE }, { replace: true }); run(); } }, "Show more"));
  results.replaceChildren(heading, filterBar(index, now.filters, change), neighbours.length ? grid(cards, { label: "Nearest pictures", keys }) : none, further || "");
}

const more = (found) => searchKey(found.key, found.day, found.crop);
const placeOf = (found) => `${found.day}/${found.key}#${found.crop}`;

function resultCard(found, item) {
  const isSame = item?.group && item.group === found.group;
  const face = h("button", { class: "face", "data-place": placeOf(found), "aria-label": `${found.key}, ${found.distance} bits away`, onclick: () => { go({ look: placeOf(found) }); look(placeOf(found)); } },
    picture(found.picture), h("span", { class: `badge${isSame ? " same" : ""}` }, plural(found.distance, "bit")), isSame && h("span", { class: "badge right same" }, "same picture"));
  return [face, h("div", { class: "about" }, meter(found.distance, index.bits), h("span", { class: "key", title: found.key }, found.key),
    h("span", { class: "line quiet" }, h("span", {}, found.label || "whole picture"), h("span", { class: "number" }, found.day)),
    h("div", { class: "acts" }, h("button", { onclick: () => more(found) }, "More like this"), found.group && h("a", { class: "button", href: addressOf("/group", { name: found.group }), title: found.group }, "Group")))];
}

/** Show a picture of the results beside them, or close it. */
async function look(place) {
  const found = place && shown.neighbours.find((each) => placeOf(each) === place);
  page.classList.toggle("with-detail", Boolean(found));
  detail.hidden = !found;
  for (const card of results.querySelectorAll(".card")) card.classList.toggle("chosen", Boolean(found) && card.querySelector(".face").dataset.place === place);
  if (!found) return;
  detail.replaceChildren(h("p", { class: "quiet" }, "…"));
  const panel = await detailPanel(found, { distance: found.distance, more: () => more(found), close: closeDetail });
  if (asked().look === place) detail.replaceChildren(panel); // another one may be looked at by now
}

function closeDetail() {
  const place = asked().look;
  go({ look: "" }, { replace: true });
  look("");
  [...results.querySelectorAll(".face")].find((face) => face.dataset.place === place)?.focus();
}

document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !detail.hidden && !document.querySelector("dialog[open]")) closeDetail(); });
addEventListener("popstate", () => {
  const now = asked();
  if (now.key || now.code !== own?.seen?.code) forget();
  run();
});
takeFromAnywhere(take);
run();
