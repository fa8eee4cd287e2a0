// What all pages share: the bar at the top, the theme, the keys that work everywhere.

import { h, icon, svg } from "./dom.js";

const PLACES = [["/", "Search"], ["/groups", "Groups"], ["/reports", "Reports"], ["/days", "Days"]];
const BELONGS = { "/group": "/groups" };
const HELP = [["/", "go to the search field"], ["← → ↑ ↓", "move between pictures"], ["Enter", "open a picture"], ["m", "find more like it"], ["g", "open its group"], ["Esc", "close"], ["Ctrl V", "search with a copied picture"], ["?", "show these keys"]];

/** Put the bar above the page and return the element that the page fills. */
export function layout() {
  const path = location.pathname.startsWith("/day/") ? "/days" : BELONGS[location.pathname] || location.pathname;
  const links = PLACES.map(([address, name]) => h("a", { href: address, "aria-current": address === path && "page" }, name));
  const help = helpDialog();
  const header = h("header", { class: "top" },
    h("a", { class: "brand", href: "/" }, logo(), "Picture search"),
    h("nav", { "aria-label": "Pages" }, links),
    h("button", { class: "icon plain", title: "Keys", "aria-label": "Keys", onclick: () => help.showModal() }, icon("keys")),
    h("button", { class: "icon plain", title: "Light or dark", "aria-label": "Light or dark", onclick: turnTheme }, icon("moon")),
    h("form", { method: "post", action: "/logout" }, h("button", { class: "icon plain", title: "Log out", "aria-label": "Log out" }, icon("logout"))));
  document.body.insertBefore(header, document.getElementById("main"));
  document.body.append(help);
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "?") help.showModal();
    const field = document.querySelector("[data-search-field]");
    if (event.key === "/" && field) {
      event.preventDefault();
      field.focus();
      field.select?.();
    }
  });
  const main = document.getElementById("main");
  main.replaceChildren();
  return main;
}

function logo() {
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true", fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-linecap": "round" },
    svg("rect", { x: 3, y: 3, width: 13, height: 13, rx: 3 }), svg("circle", { cx: 15, cy: 15, r: 4.6, fill: "var(--card)" }), svg("path", { d: "m18.6 18.6 2.9 2.9" }));
}

function turnTheme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}

function helpDialog() {
  const rows = HELP.map(([keys, does]) => [h("dt", {}, keys.split(" ").map((key) => [h("kbd", {}, key), " "])), h("dd", {}, does)]);
  const dialog = h("dialog", { "aria-label": "Keys" }, h("h2", {}, "Keys"), h("dl", {}, rows),
    h("p", {}, "When the frame has the focus, arrow keys move it; with Shift they resize it."), h("form", { method: "dialog" }, h("button", {}, "Close")));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}
