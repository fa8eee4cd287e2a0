// One group: its members, and pair by pair why they are taken for the same.

import { grid, picture } from "./cards.js";
import { groupOf, pairList, searchOf } from "./detail.js";
import { address, h, notice, plural } from "./dom.js";
import { layout } from "./layout.js";

const PAIRS_AT_FIRST = 24;
const main = layout();

async function run() {
  const { name = "" } = address();
  try {
    show(await groupOf(name));
  } catch (refusal) {
    main.replaceChildren(notice(refusal), h("p", {}, h("a", { href: "/groups" }, "All groups")));
  }
}

function show(group) {
  document.title = `Group of ${group.size} · Picture search`;
  const days = [...new Set(group.members.map((member) => member.day))];
  const about = [plural(new Set(group.members.map((member) => member.key)).size, "key"), days.length > 1 ? `${days[0]} to ${days.at(-1)}` : days[0], group.shops ? plural(group.shops, "shop") : ""].filter(Boolean).join(" · ");
  const heading = h("div", { class: "head" }, h("div", {}, h("h1", {}, `Group of ${plural(group.size, "picture")}`), h("p", { class: "quiet" }, about)), h("a", { class: "button", href: "/groups" }, "All groups"));
  const hidden = group.size - group.members.length;
  const pairs = h("section", {});
  const showPairs = (count) => pairs.replaceChildren(h("div", { class: "head section" }, h("h2", {}, "Evidence, pair by pair"), h("p", { class: "quiet" }, "How many bits of the codes differ, and how similar the descriptors behind the codes are (1 means equal).")),
    pairList(group, group.pairs.slice(0, count)), count < group.pairs.length ? h("div", { class: "pager" }, h("button", { onclick: () => showPairs(group.pairs.length) }, `All ${plural(group.pairs.length, "pair")}`)) : "");
  main.replaceChildren(heading, grid(group.members.map(card), { label: "Members" }), hidden > 0 ? h("p", { class: "quiet" }, `${plural(hidden, "more picture")} not shown.`) : "", pairs);
  if (group.pairs.length) showPairs(PAIRS_AT_FIRST);
}

function card(member) {
  return [h("a", { class: "face", href: searchOf(member), "aria-label": member.key }, picture(member.picture)),
    h("div", { class: "about" }, h("span", { class: "key", title: member.key }, member.key), h("span", { class: "line quiet" }, h("span", {}, member.label || "whole picture"), h("a", { class: "number", href: `/day/${member.day}` }, member.day)),
      h("div", { class: "acts" }, h("a", { class: "button", href: searchOf(member) }, "More like this")))];
}

run();
