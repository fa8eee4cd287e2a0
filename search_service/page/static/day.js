// A day in pictures: what was found and cut out, what was refused and why, which pictures joined a group; the worst first.

import { newest } from "./api.js";
import { grid } from "./cards.js";
import { address, addressOf, count, h, icon, notice, plural, svg, toAddress } from "./dom.js";
import { layout } from "./layout.js";

const PAGE = 48;
const KINDS = { found: "Products found", missed: "Nothing found", refused: "Refused", members: "New in groups" };
const ORDERS = { score: "lowest score", blur: "most blurred", entropy: "least detail", key: "key", chance: "random" };
const MEASURES = { score: (row) => (row.score === null ? "" : `score ${row.score.toFixed(2)}`), blur: (row) => `blur ${Math.round(row.blur)}`, entropy: (row) => `${row.entropy.toFixed(1)} bits` };
const day = location.pathname.split("/").pop();
const main = layout();
const find = newest();
const dialog = h("dialog", { class: "picture", "aria-label": "Picture" });
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
document.body.append(dialog);
document.title = `${day} · Picture search`;

const asked = () => ({ show: "found", order: "score", reason: "", label: "", start: 0, as: "pictures", ...address() });

function go(change) {
  const next = { ...asked(), ...change };
  const usual = { show: "found", order: "score", as: "pictures", start: "0" };
  toAddress(Object.fromEntries(Object.entries(next).filter(([name, value]) => String(value) !== usual[name])));
  run();
}

async function run() {
  const now = asked();
  main.classList.add("loading");
  try {
    const query = { show: now.show, order: now.order, reason: now.reason, label: now.label, offset: now.start, limit: PAGE };
    show(now, await find(addressOf(`/days/${day}`, query)));
  } catch (refusal) {
    if (refusal.name === "AbortError") return;
    main.replaceChildren(notice(refusal), h("p", {}, h("a", { href: "/days" }, "All days")));
  }
  main.classList.remove("loading");
}

function show(now, found) {
  const all = Object.values(found.totals).reduce((sum, number) => sum + number, 0);
  const used = found.totals.ok || 0;
  const step = (to, text) => (to ? h("a", { class: "button", href: `/day/${to}${location.search}` }, text) : h("button", { disabled: true }, text));
  const heading = h("div", { class: "head" }, h("div", {}, h("h1", {}, `${day} in pictures`), h("p", { class: "quiet number" }, `${plural(all, "picture")}, ${count(used)} used, ${count(all - used)} refused.`,
    found.pictures < all ? ` ${count(found.pictures)} of them can be viewed: random ones, the worst, and some of each reason.` : "")), h("div", { class: "turn" }, step(found.earlier, "← day before"), step(found.later, "next day →")));
  const kinds = Object.entries(KINDS).map(([kind, title]) => h("button", { "aria-pressed": String(kind === now.show), onclick: () => go({ show: kind, reason: "", label: "", start: 0 }) }, title, h("span", { class: "quiet number" }, count(found.counts[kind]))));
  main.replaceChildren(heading, h("div", { class: "chips tabs", role: "group", "aria-label": "What to show" }, kinds), controls(now, found), pictures(now, found), pager(now, found));
}

function controls(now, found) {
  const select = (name, title, options) => h("label", { class: "field" }, title, h("select", { name, onchange: (event) => go({ [name]: event.target.value, start: 0 }) }, options.map(([value, text]) => h("option", { value, selected: value === now[name] }, text))));
  const counted = (numbers) => [["", "all"], ...Object.entries(numbers).map(([name, number]) => [name, `${name.replaceAll("_", " ")} (${count(number)})`])];
  const isRefused = now.show === "refused";
  return h("div", { class: "bar" }, isRefused ? select("reason", "Reason", counted(found.reasons)) : select("label", "Label", counted(found.labels)),
    isRefused ? null : select("order", "Sort by", Object.entries(ORDERS)), isRefused ? null : select("as", "Show", [["pictures", "pictures with boxes"], ["crops", "crops"]]),
    !isRefused && now.as !== "crops" && h("p", { class: "legend quiet small" }, h("i", { class: "found" }), "found", h("i", { class: "crop" }), "cut out"));
}

function pictures(now, found) {
  if (!found.shown.length) return h("div", { class: "empty panel" }, h("p", {}, "There are no pictures of this kind."));
  const cards = now.as === "crops" && now.show !== "refused" ? found.shown.flatMap((row) => (row.crops.length ? row.crops : [null]).map((crop) => card(row, crop))) : found.shown.map((row) => card(row));
  return grid(cards, { label: KINDS[now.show] });
}

function card(row, crop = null) {
  const isUsed = row.reason === "ok";
  const fact = isUsed ? MEASURES[asked().order]?.(row) ?? MEASURES.score(row) : "";
  return [h("button", { class: "face", "aria-label": `${row.key}: ${row.reason}`, onclick: () => open(row) }, crop ? cutOut(row, crop) : drawn(row), !isUsed && h("span", { class: "badge" }, row.reason.replaceAll("_", " "))),
    h("div", { class: "about" }, h("span", { class: "key", title: row.key }, row.key), h("span", { class: isUsed ? "line quiet" : "quiet small" }, h("span", {}, isUsed ? labelOf(row, crop) : row.meaning), fact && h("span", { class: "number fact" }, fact)),
      row.flags.length ? h("span", { class: "tags" }, row.flags.map((flag) => h("span", { class: "tag" }, flag.replaceAll("_", " ")))) : null)];
}

const labelOf = (row, crop) => crop?.label || row.objects[0]?.label || "whole picture";
const none = () => h("span", { class: "none" }, "nothing to show");

/** The picture with what was found in it, and what was cut out (dashed). */
function drawn(row) {
  if (!row.picture) return none();
  const [width, height] = [row.width || 100, row.height || 100];
  const rect = (x, y, right, bottom, name) => svg("rect", { x, y, width: right - x, height: bottom - y, class: name });
  const found = row.objects.map((thing) => rect(thing.x_min * width, thing.y_min * height, thing.x_max * width, thing.y_max * height, "found"));
  const crops = row.crops.map((crop) => rect(crop.x_min, crop.y_min, crop.x_max, crop.y_max, "crop"));
  const image = row.width ? svg("image", { href: row.picture, width, height, preserveAspectRatio: "none" }) : null;
  if (!image) return h("img", { src: row.picture, alt: "", loading: "lazy" });
  return h("span", { class: "boxes" }, svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, image, crops, found));
}

/** The part of a picture that was cut out; the inner element ends where it does. */
function cutOut(row, crop) {
  if (!row.picture) return none();
  const [width, height] = [crop.x_max - crop.x_min, crop.y_max - crop.y_min];
  const image = svg("image", { href: row.picture, width: row.width, height: row.height, preserveAspectRatio: "none" });
  const part = svg("svg", { width, height, viewBox: `${crop.x_min} ${crop.y_min} ${width} ${height}` }, image);
  return h("span", { class: "boxes" }, svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, part));
}

function open(row) {
  const size = row.width ? `${row.width} × ${row.height} pixels` : "";
  const things = row.objects.map((thing) => h("span", { class: "tag" }, `${thing.label} ${Math.round(100 * thing.score)} %`));
  const facts = [["Key", h("span", { class: "key" }, row.key)], ["Result", row.reason === "ok" ? h("span", { class: "good" }, "used") : h("span", {}, h("span", { class: "bad" }, row.reason), `: ${row.meaning}`)],
    ["File", [row.format, size].filter(Boolean).join(", ")], ["Found", things.length ? things : row.reason === "ok" ? "nothing: the whole picture is used" : ""], ["Blur", row.blur === null ? "" : `${row.blur} (low means blurred)`],
    ["Entropy", row.entropy === null ? "" : `${row.entropy} bits`], ["Noticed", row.flags.map((flag) => h("span", { class: "tag" }, flag.replaceAll("_", " ")))]];
  const groups = row.groups.map((group) => h("a", { class: "button", href: addressOf("/group", { name: group }) }, "Its group"));
  dialog.replaceChildren(h("div", { class: "detail" }, h("div", { class: "line" }, h("h2", {}, row.key), h("button", { class: "icon plain", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"))), h("div", { class: "boxes" }, drawn(row)),
    h("div", { class: "detail" }, h("dl", {}, facts.filter(([, value]) => value && value.length !== 0).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    h("div", { class: "chips" }, row.reason === "ok" && h("a", { class: "button primary", href: addressOf("/", { key: row.key, of_day: day, crop: row.crops[0]?.crop ?? 0 }) }, "Search with it"), groups))));
  dialog.showModal();
}

function pager(now, found) {
  const start = Number(now.start) || 0;
  const end = Math.min(start + PAGE, found.total);
  if (found.total <= PAGE) return "";
  const turn = (to) => { go({ start: to }); scrollTo(0, 0); };
  return h("div", { class: "pager" }, h("button", { disabled: start === 0, onclick: () => turn(Math.max(0, start - PAGE)) }, "Previous"), h("span", { class: "quiet number" }, `${count(start + 1)} to ${count(end)} of ${count(found.total)}`), h("button", { disabled: end >= found.total, onclick: () => turn(end) }, "Next"));
}

addEventListener("popstate", run);
run();
