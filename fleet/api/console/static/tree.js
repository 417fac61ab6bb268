// Makes editing a tree easier: a fault leads to its line, and a file's text is taken into the field. Without script the
// faults tell their lines, and the text is pasted.
"use strict";

const MOST_BYTES = 65536;
const body = document.getElementById("body");

for (const button of document.querySelectorAll("[data-line]")) {
  button.addEventListener("click", () => {
    const rows = body.value.split("\n");
    const line = Number(button.dataset.line) - 1;
    const start = rows.slice(0, line).reduce((sum, row) => sum + row.length + 1, 0);
    body.focus();
    body.setSelectionRange(start, start + (rows[line] ?? "").length);
    body.scrollTop = (body.scrollHeight / rows.length) * Math.max(0, line - 3);
  });
}

const fromFile = document.getElementById("from-file");
fromFile.hidden = false;
fromFile.querySelector("input").addEventListener("change", async (event) => {
  const file = event.target.files[0];
  if (file && file.size <= MOST_BYTES) body.value = await file.text();
});
