"use strict";
// Sets the theme before anything is drawn: the one that was chosen, else the system's.
const systemTheme = matchMedia("(prefers-color-scheme: dark)");
function applyTheme() {
  const chosen = localStorage.getItem("theme");
  document.documentElement.dataset.theme = chosen || (systemTheme.matches ? "dark" : "light");
}
systemTheme.addEventListener("change", applyTheme);
applyTheme();
