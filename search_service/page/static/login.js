// A browser keeps the session from requests that another site starts (SameSite=Strict). Who came by a link from there and is logged in
// already is led on: this script's own request carries the session.

const next = document.querySelector("[name=next]").value;
const answer = await fetch("/session", { credentials: "same-origin" });
if (answer.ok && (await answer.json()).is_open) location.replace(next);
