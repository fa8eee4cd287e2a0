// Airflow keeps the theme that its user has chosen; without one both follow the system's.
const theme = () => { document.documentElement.dataset.theme = localStorage.getItem("theme") || ""; };
theme();
addEventListener("storage", theme);

// Airflow shows these pages in a frame that may not lead its window elsewhere: the window's own document does.
addEventListener("click", (event) => {
  const link = event.target.closest("a[target=_top]");
  if (!link || parent === window) return;
  event.preventDefault();
  const outer = parent.document.createElement("a");
  outer.href = link.href;
  outer.click();
});

// What runs now is asked for anew every few seconds while the page is looked at.
const EVERY_MS = 5000;
setInterval(async () => {
  const now = document.getElementById("now");
  if (!now || document.hidden) return;
  try {
    const answer = await fetch("now", { credentials: "same-origin" });
    if (answer.ok && !answer.redirected) now.innerHTML = await answer.text();
  } catch { /* Airflow is away for a moment */ }
}, EVERY_MS);
