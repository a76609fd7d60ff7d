// Follows what happens: when the server says that something changed, the page is fetched again and its live parts are
// replaced. Without this script the page is complete, and refreshes itself every minute.
"use strict";

async function refresh() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = page.getElementById(part.id);
    if (next && next.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) {
      const open = [...part.querySelectorAll("details")].map((each) => each.open);
      part.replaceChildren(...next.childNodes);
      part.querySelectorAll("details").forEach((each, n) => { each.open = open[n] ?? each.open; });
    }
  }
  document.title = page.title;
}

if (document.querySelector("[data-live]")) {
  new EventSource("/live").addEventListener("message", () => { refresh().catch(() => {}); });
}
