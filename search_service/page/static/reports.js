// The reports over groups, case by case with their pictures: prices of one product picture, and pictures under another owner.

import { newest } from "./api.js";
import { picture } from "./cards.js";
import { searchOf } from "./detail.js";
import { address, addressOf, count, h, notice, plural, toAddress } from "./dom.js";
import { layout } from "./layout.js";

const PAGE = 20;
const REPORTS = {
  prices: { title: "Prices", about: "What the same product picture costs in different shops; the largest spreads come first.", one: priceCase, choices: { currency: "Currency" } },
  copyright: { title: "Copyright", about: "Pictures of an owner that appear under another owner or in another shop; the earliest come first.", one: copyrightCase, choices: { kind: "Kind", original_owner: "Owner" } },
};
const main = layout();
const find = newest();
const asked = () => ({ report: "prices", words: "", start: 0, ...address() });

function go(change) {
  const next = { ...asked(), ...change };
  toAddress({ ...next, report: next.report === "prices" ? undefined : next.report, start: next.start || undefined });
  return run();
}

async function run() {
  const { report, ...now } = asked();
  const kind = Object.hasOwn(REPORTS, report) ? report : "prices";
  main.classList.add("loading");
  try {
    show(kind, now, await find(addressOf(`/reports/${kind}`, { ...now, count: PAGE })));
  } catch (refusal) {
    if (refusal.name === "AbortError") return;
    main.replaceChildren(heading(kind), notice(refusal));
  }
  main.classList.remove("loading");
}

function heading(kind, found = null) {
  const tabs = Object.entries(REPORTS).map(([name, { title }]) => h("button", { "aria-pressed": String(name === kind), onclick: () => { toAddress({}); go({ report: name }); } }, title));
  const written = found && `Written ${new Date(found.written).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}.`;
  return h("div", { class: "head" }, h("div", {}, h("h1", {}, found ? plural(found.cases, "case") : REPORTS[kind].title), h("p", { class: "quiet" }, REPORTS[kind].about, " ", written, found?.has_more && ` Only the first ${count(found.of)} are listed here; the dataset has all.`)),
    h("div", { class: "chips", role: "group", "aria-label": "Report" }, tabs));
}

function show(kind, now, found) {
  document.title = `${REPORTS[kind].title} · Picture search`;
  const start = Number(now.start) || 0;
  const end = start + found.page.length;
  const words = h("input", { type: "search", value: now.words, placeholder: "shop, title, key …", "data-search-field": true, onchange: (event) => go({ words: event.target.value, start: 0 }) });
  const choices = Object.entries(REPORTS[kind].choices).map(([name, title]) => h("label", { class: "field" }, title, h("select", { onchange: (event) => go({ [name]: event.target.value, start: 0 }) },
    h("option", { value: "" }, "all"), found.choices[name].filter(Boolean).map((value) => h("option", { value, selected: value === now[name] }, value.replaceAll("_", " "))))));
  const pager = found.cases > PAGE && h("div", { class: "pager" }, h("button", { disabled: start === 0, onclick: () => turn(Math.max(0, start - PAGE)) }, "Previous"), h("span", { class: "quiet number" }, `${count(start + 1)} to ${count(end)} of ${count(found.cases)}`),
    h("button", { disabled: end >= found.cases, onclick: () => turn(end) }, "Next"));
  const none = h("div", { class: "empty panel" }, h("p", {}, now.words ? "No case contains these words." : "There are no cases: nothing to worry about."));
  main.replaceChildren(heading(kind, found), h("div", { class: "bar" }, h("label", { class: "field" }, "Words", words), choices), ...(found.page.length ? found.page.map(REPORTS[kind].one) : [none]), pager || "");
}

function turn(start) {
  go({ start });
  scrollTo(0, 0);
}

const group = (name) => h("a", { class: "button", href: addressOf("/group", { name }) }, "All pictures of the group");

function figure(shown, title, ...lines) {
  const face = shown.picture ? h("a", { href: searchOf(shown), title: shown.key }, picture(shown.picture, shown.key)) : h("span", { class: "none" }, "no picture");
  return h("figure", { class: "figure" }, h("div", { class: "thumb-box" }, face), h("figcaption", {}, h("strong", {}, title), lines.filter(Boolean).map((line) => h("span", { class: "quiet small" }, line)), h("span", { class: "key quiet small" }, shown.key)));
}

function priceCase({ group: name, pictures: [, lowest, highest], facts }) {
  const price = (value) => `${Number(value).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} ${facts.currency}`.trim();
  const [low, middle, high] = [facts.lowest, facts.median, facts.highest].map(Number);
  const at = (value) => ({ left: `${high > low ? (100 * (value - low)) / (high - low) : 50}%` });
  const others = h("p", { class: "quiet small" }, `Of the other pictures, ${facts.same_sha256} are the same file, ${facts.near_phash} are near by pHash, and ${facts.same_title} have the same title.`);
  return h("article", { class: "panel case" }, h("div", { class: "figures" }, figure(lowest, price(low), lowest.shop), figure(highest, price(high), highest.shop)),
    h("div", {}, h("div", { class: "line" }, h("h2", {}, facts.title || name), h("span", { class: "tag spread-tag number" }, `+${Math.round(100 * Number(facts.spread))} %`)),
      h("div", { class: "spread", role: "img", "aria-label": `Lowest ${price(low)}, median ${price(middle)}, highest ${price(high)}` }, h("i", { style: at(low) }), h("i", { style: at(middle), class: "middle" }), h("i", { style: at(high) })),
      h("p", { class: "number" }, `${price(low)} to ${price(high)}, median ${price(middle)}`),
      h("p", { class: "quiet" }, `${plural(facts.pictures, "picture")} in ${plural(facts.shops, "shop")}${facts.shop_names ? `: ${facts.shop_names.split("; ").join(", ")}` : ""} · ${facts.first_seen.slice(0, 10)} to ${facts.last_seen}`), others, group(name)));
}

function copyrightCase({ group: name, pictures: [original, later], facts }) {
  const methods = facts.found_by ? `also found by ${facts.found_by.split("; ").join(", ")}` : "not found by the file's hash, pHash or title";
  const kind = facts.kind === "other_owner" ? h("span", { class: "tag bad" }, "another owner") : h("span", { class: "tag" }, "another shop");
  const who = (shown) => [shown.owner && `owner ${shown.owner}`, shown.shop && `in ${shown.shop}`];
  return h("article", { class: "panel case" }, h("div", { class: "figures" }, figure(original, "Original", ...who(original), facts.original_first_seen.slice(0, 10)), figure(later, "Later", ...who(later), facts.first_seen.slice(0, 10))),
    h("div", {}, h("div", { class: "line" }, h("h2", {}, `${later.owner || later.shop || "somebody"} shows a picture of ${original.owner || original.shop || "another"}`), kind),
      h("p", {}, original.title && `“${original.title}”`, later.title && later.title !== original.title && ` now “${later.title}”`),
      h("p", { class: "number" }, `${plural(facts.days_later, "day")} later · ${plural(facts.distance, "bit")} apart`, facts.similarity && ` · similarity ${Number(facts.similarity).toFixed(3)}`), h("p", { class: "quiet small" }, methods), group(name)));
}

addEventListener("popstate", run);
run();
