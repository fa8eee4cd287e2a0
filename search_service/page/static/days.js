// The days that can be looked at in pictures.

import { ask } from "./api.js";
import { picture } from "./cards.js";
import { count, h, notice, plural } from "./dom.js";
import { layout } from "./layout.js";

const main = layout();

function day({ day: name, totals, pictures, faces }) {
  const all = Object.values(totals).reduce((sum, number) => sum + number, 0);
  const used = totals.ok || 0;
  const shares = [["used", used], ["refused", all - used]].map(([kind, number]) => h("i", { class: kind, style: { width: `${(100 * number) / Math.max(all, 1)}%` } }));
  const weekday = new Date(`${name}T00:00:00Z`).toLocaleDateString("en", { weekday: "long", timeZone: "UTC" });
  return h("li", { class: "card" }, h("a", { href: `/day/${name}` }, h("span", { class: "strip" }, faces.map((source) => picture(source))), h("span", { class: "about" }, h("span", { class: "line" }, h("strong", { class: "number" }, name), h("span", { class: "quiet small" }, weekday)), h("span", {}, plural(all, "picture")),
    h("span", { class: "bars", role: "img", "aria-label": `${used} used, ${all - used} refused` }, shares), h("span", { class: "quiet small" }, `${count(used)} used, ${count(all - used)} refused`), pictures < all && h("span", { class: "quiet small" }, `${count(pictures)} to view`))));
}

try {
  const days = await ask("/days");
  main.append(h("div", { class: "head" }, h("div", {}, h("h1", {}, "Days in pictures"), h("p", { class: "quiet" }, "What the pipeline found, cut out and refused, day by day."))),
    days.length ? h("ul", { class: "days" }, days.map(day)) : h("div", { class: "empty panel" }, h("p", {}, "No day has been drawn yet. The stage draw_days, the last of the DAG similar_images, draws them.")));
} catch (refusal) {
  main.replaceChildren(notice(refusal));
}
