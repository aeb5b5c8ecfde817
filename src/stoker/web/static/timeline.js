// A part of the timeline that is marked with the pointer becomes the window. The links of the axis do the
// same by keyboard, by touch and without JavaScript.
"use strict";
(() => {
  const LEAST = 8; // pixels: less is a click
  const find = (target) => target.closest?.("table[data-brush]");
  let brush = null;

  const place = () => {
    const [low, high] = [Math.min(brush.from, brush.to), Math.max(brush.from, brush.to)];
    brush.mark.style.left = `${low}px`;
    brush.mark.style.width = `${high - low}px`;
  };
  const end = () => {
    brush?.mark.remove();
    brush = null;
  };
  const moment = (us) => new Date(us / 1000).toISOString();

  document.addEventListener("pointerdown", (event) => {
    const table = find(event.target);
    const svg = table && event.target.closest("td")?.querySelector("svg");
    if (!svg || event.button !== 0 || event.pointerType === "touch") return;
    const box = svg.getBoundingClientRect();
    const rows = table.getBoundingClientRect();
    const mark = document.createElement("div");
    mark.className = "brush";
    mark.style.top = `${rows.top + scrollY}px`;
    mark.style.height = `${rows.height}px`;
    brush = { table, box, mark, from: event.clientX, to: event.clientX, isDrawn: false };
  });
  document.addEventListener("pointermove", (event) => {
    if (!brush) return;
    brush.to = Math.min(Math.max(event.clientX, brush.box.left), brush.box.right);
    if (!brush.isDrawn && Math.abs(brush.to - brush.from) >= LEAST) {
      brush.isDrawn = true;
      document.body.append(brush.mark);
    }
    if (brush.isDrawn) {
      getSelection()?.removeAllRanges();
      place();
    }
  });
  document.addEventListener("pointerup", () => {
    if (!brush?.isDrawn) return end();
    const { table, box, from, to } = brush;
    const [begin, until] = [Number(table.dataset.begin), Number(table.dataset.end)];
    const at = (x) => begin + ((x - box.left) / box.width) * (until - begin);
    const [low, high] = [at(Math.min(from, to)), at(Math.max(from, to))];
    end();
    // The click that follows would open the attempt below the pointer.
    addEventListener("click", (event) => event.preventDefault(), { capture: true, once: true });
    if (high - low < 1e6) return undefined; // a window is at least a second long
    const address = table.dataset.brush.replace("FROM", encodeURIComponent(moment(low)));
    location.assign(address.replace("TO", encodeURIComponent(moment(high))));
    return undefined;
  });
  document.addEventListener("pointercancel", end);
  document.addEventListener("keydown", (event) => event.key === "Escape" && end());
  document.addEventListener("dragstart", (event) => find(event.target) && event.preventDefault());
})();
