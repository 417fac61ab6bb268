// The menu's groups close as people expect: on Escape, on a click elsewhere, and when another one opens. Without
// script they open and close by their own heading.
"use strict";

const groups = [...document.querySelectorAll(".top details")];

function closeAllBut(kept) {
  for (const group of groups) if (group !== kept) group.open = false;
}

for (const group of groups) {
  group.addEventListener("toggle", () => { if (group.open) closeAllBut(group); });
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !group.open) return;
    group.open = false;
    group.querySelector("summary").focus();
  });
}
document.addEventListener("click", (event) => closeAllBut(event.target.closest(".top details")));
document.addEventListener("focusin", (event) => closeAllBut(event.target.closest(".top details")));
