// Keeps the page current: on every change the server tells, and now and then in any case, the same page is
// fetched again and its live parts are replaced. Without script the page works too, it just stands still.
"use strict";

const SOON_MS = 800;
const ANYWAY_MS = 20000;

function showLocalTimes(root) {
  const form = new Intl.DateTimeFormat(document.documentElement.lang === "da" ? "da-DK" : "en-GB", { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    const said = form.format(new Date(time.dateTime));
    if ("relative" in time.dataset) time.title = said;
    else time.textContent = said;
  }
}

function busyIn(part) {
  return part.contains(document.activeElement) && document.activeElement !== document.body;
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-By-Itself": "1" }, redirect: "manual" });
  if (answer.type === "opaqueredirect") { location.reload(); return; }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const next = fresh.getElementById(part.id);
    if (!next || busyIn(part)) continue;
    showLocalTimes(next);
    if (next.innerHTML === part.innerHTML && next.className === part.className) continue;
    part.className = next.className;
    part.replaceChildren(...next.childNodes);
  }
}

let timer = null;
let running = false;
function refreshIn(wait) {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    if (!running && document.visibilityState === "visible") {
      running = true;
      try { await refresh(); } catch { /* the next one may succeed */ } finally { running = false; }
    }
    refreshIn(ANYWAY_MS);
  }, wait);
}

showLocalTimes(document);
if (document.body.dataset.live) {
  const types = ["kit.created", "kit.edited", "kit.moved", "kit.located", "kit.swapped", "kit.assigned", "kits.imported", "kit.changed", "alert.opened", "alert.cleared",
    "alert.acknowledged", "alert.unacknowledged", "alert.shelved", "alert.unshelved", "alert.unsuppressed", "alert.flapping",
    "maintenance.began", "maintenance.ended", "request.opened", "request.changed", "request.resolved", "incident.opened", "incident.cleared",
    "visit.planned", "visit.started", "visit.done", "visit.failed", "visit.cancelled", "reset"];
  let events = null;
  let due = 0;
  const soon = () => {
    // The first change of a burst sets the time; later ones do not push it away.
    if (Date.now() >= due) { due = Date.now() + SOON_MS; refreshIn(SOON_MS); }
  };
  // A browser has few connections per server: a page nobody looks at holds none.
  const follow = () => {
    events?.close();
    events = null;
    if (document.visibilityState !== "visible") return;
    events = new EventSource("/api/v1/events");
    for (const type of types) events.addEventListener(type, soon);
    refreshIn(ANYWAY_MS);
  };
  document.addEventListener("visibilitychange", () => { follow(); soon(); });
  window.addEventListener("pagehide", () => events?.close());
  follow();
}
