// A scanner types faster than a page is loaded: codes are put in a queue, sent in the background one request at a time,
// and the parts of the page that depend on the list are replaced. Without script each Enter loads the page anew.
"use strict";

const AGAIN_MS = 3000;
const AT_ONCE = 20;

const form = document.querySelector("form[data-scan]");
const field = form.querySelector("#code");
const waiting = document.getElementById("waiting");
const expired = document.getElementById("expired");
const queue = [];
let sending = false;

function showWaiting(offline) {
  waiting.hidden = !offline;
  waiting.querySelector("span").textContent = queue.join(", ");
}

// What is typed into the other fields meanwhile is kept, and so is where the person is.
function kept(part) {
  const values = new Map();
  for (const each of part.querySelectorAll("select, input:not([type=hidden])")) {
    if (each.name) values.set(selector(each), each.type === "checkbox" ? each.checked : each.value);
  }
  return { values, at: part.contains(document.activeElement) ? selector(document.activeElement) : null };
}

function selector(control) {
  return control.id ? `#${CSS.escape(control.id)}` : `[name="${control.name}"]:not([type=hidden])`;
}

function restore(part, { values, at }) {
  for (const [which, value] of values) {
    const control = part.querySelector(which);
    if (!control) continue;
    if (control.type === "checkbox") control.checked = value;
    else if (control.tagName !== "SELECT" || [...control.options].some((each) => each.value === value)) control.value = value;
  }
  if (at) part.querySelector(at)?.focus();
}

function replaceParts(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(part.id);
    if (!next) return false;
    const before = kept(part);
    part.replaceChildren(...next.childNodes);
    restore(part, before);
  }
  return true;
}

async function send(codes) {
  const body = new URLSearchParams(new FormData(form));
  body.delete("code");
  for (const code of codes) body.append("code", code);
  const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/html" }, redirect: "manual" });
  expired.hidden = !(answer.type === "opaqueredirect" || answer.status === 403);
  if (!expired.hidden) await renewToken();
  return answer.ok && replaceParts(await answer.text());
}

// Whoever logs in again in another tab goes on with the list that stands here.
async function renewToken() {
  const answer = await fetch(form.dataset.scan, { headers: { Accept: "text/html", "X-By-Itself": "1" }, redirect: "manual" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  form.querySelector("[name=csrf]").value = fresh.querySelector("[data-scan] [name=csrf]").value;
}

async function pump() {
  if (sending || !queue.length) return;
  sending = true;
  const codes = queue.slice(0, AT_ONCE);
  let done = false;
  try { done = await send(codes); } catch { /* tried again below */ }
  if (done) queue.splice(0, codes.length);
  showWaiting(!done);
  sending = false;
  if (done) pump();
  else setTimeout(pump, AGAIN_MS);
}

form.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button && !button.hasAttribute("data-add")) {
    // A code that waits must not be lost with the page.
    for (const code of queue.splice(0)) {
      const input = document.createElement("input");
      input.type = "hidden";
      input.name = "code";
      input.value = code;
      form.append(input);
    }
    return;
  }
  event.preventDefault();
  const code = field.value.trim();
  field.value = "";
  field.focus();
  if (code) queue.push(code);
  pump();
});
