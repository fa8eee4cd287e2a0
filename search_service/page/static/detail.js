// One picture in full, with the group that it is in: its members, and pair by pair why they are taken for the same.

import { ask } from "./api.js";
import { picture } from "./cards.js";
import { addressOf, h, icon, plural, titleOf } from "./dom.js";

const MEMBERS = 24;
const PAIRS = 12;

/** The panel of an item. distance: from what was searched.   more: searches for it.   close: puts the panel away. */
export async function detailPanel(item, { distance, more, close }) {
  const rows = [
    ["Key", h("span", { class: "key" }, item.key)],
    ["Day", h("a", { href: `/day/${item.day}` }, item.day)],
    ["Label", item.label || "none: the whole picture"],
    item.crop ? ["Crop", String(item.crop)] : null,
    ["Distance", plural(distance, "bit")],
    ...(await aboutOf(item)),
  ];
  const group = item.group ? await groupPart(item) : h("p", { class: "quiet" }, "It is in no group: no other picture is considered the same.");
  return h("article", { class: "panel detail", "aria-label": `Picture ${item.key}` },
    h("div", { class: "line" }, h("h2", {}, "Picture"), h("button", { class: "icon plain", title: "Close (Esc)", "aria-label": "Close", onclick: close }, icon("close"))),
    h("div", { class: "face" }, largePicture(item)),
    h("dl", {}, rows.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    h("button", { class: "primary", onclick: more }, "More like this"), group);
}

/** What the index's other columns say of an item, as its shop and price. */
async function aboutOf(item) {
  try {
    const { items } = await ask(addressOf("/items", { key: item.key }));
    const own = items.find((each) => each.day === item.day && each.crop === item.crop);
    return Object.entries(own?.about || {}).map(([name, value]) => [titleOf(name), String(value)]);
  } catch {
    return [];
  }
}

/** The thumbnail at once, in its place the whole picture where the service has it. */
function largePicture(item) {
  const image = picture(item.picture, `Picture ${item.key}`);
  const whole = new Image();
  whole.addEventListener("load", () => { if (image.isConnected) image.src = whole.src; });
  whole.src = `${item.picture}&size=whole`;
  return image;
}

async function groupPart(item) {
  try {
    const group = await groupOf(item.group);
    const own = group.members.findIndex((member) => member.key === item.key && member.day === item.day && member.crop === item.crop);
    const pairs = group.pairs.filter((pair) => pair.first === own || pair.second === own).slice(0, PAIRS);
    return h("section", { class: "detail" }, h("div", { class: "line" }, h("h3", {}, `Group of ${plural(group.size, "picture")}`), h("a", { href: addressOf("/group", { name: item.group }) }, "all of it")),
      members(group.members.slice(0, MEMBERS)), pairs.length ? pairList(group, pairs) : null);
  } catch (refusal) {
    return h("p", { class: "quiet" }, refusal.error || String(refusal));
  }
}

/** A group by its name; a browser would take a part of an address that is `..` for a way up. */
export const groupOf = (name) => ask(`/groups/${/(^|\/)\.{1,2}(\/|$)/.test(name) ? encodeURIComponent(name) : name.split("/").map(encodeURIComponent).join("/")}`);

export const searchOf = (member) => addressOf("/", { key: member.key, of_day: member.day, crop: member.crop });

function members(listed) {
  return h("div", { class: "members" }, listed.map((member) => h("a", { href: searchOf(member), title: `${member.key}, ${member.day}`, "aria-label": member.key }, picture(member.picture))));
}

/** Pairs of members with their evidence. */
export function pairList(group, pairs) {
  return h("ul", { class: "pairs", "aria-label": "Pairs" }, pairs.map((pair) => {
    const [one, other] = [group.members[pair.first], group.members[pair.second]];
    return h("li", { class: "pair" }, [one, other].map((member) => h("a", { href: searchOf(member), title: member.key }, picture(member.picture, member.key))),
      h("div", {}, h("p", {}, h("strong", { class: "number" }, plural(pair.distance, "bit")), " apart"), pair.similarity === null ? null : h("p", { class: "quiet number" }, `similarity ${pair.similarity.toFixed(3)}`),
        h("p", { class: "key quiet small" }, [...new Set([one.key, other.key])].join(" · "))));
  }));
}
