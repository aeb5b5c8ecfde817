// A table that is whole on its page is sorted by a click on the head of a column, and stays so while the
// page follows what happens. Without JavaScript it is in the order in which the server wrote it.
"use strict";
(() => {
  const UNITS = {
    ms: 1e-3, s: 1, min: 60, h: 3600, day: 86400, days: 86400,
    B: 1, kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4,
    KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4,
  };
  const chosen = new Map(); // by the place of a table on the page: its column, and whether it falls
  const tables = (root) => [...root.querySelectorAll("main table.rows:not(.timeline):not([data-part])")];

  // What a cell is sorted by: a moment, a number with its unit, or its text.
  const value = (row, at) => {
    const cell = row.cells[at];
    const time = cell?.querySelector("time[datetime]");
    if (time) return Date.parse(time.getAttribute("datetime"));
    const shape = cell?.querySelector("[aria-hidden]")?.textContent ?? ""; // of a state, before its word
    const text = (cell?.textContent ?? "").replace(shape, "").trim();
    const parts = [...text.replaceAll(",", "").matchAll(/(-?\d+(?:\.\d+)?) ?([A-Za-z]*)/g)];
    if (/^-?\d/.test(text) && parts.length) {
      return parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNITS[unit] ?? 1), 0);
    }
    return text;
  };
  const compare = (one, other) => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
    return one.localeCompare(other, undefined, { numeric: true });
  };
  const sort = (table, { at, falls }) => {
    const body = table.tBodies[0];
    if (!body) return;
    const rows = [...body.rows].map((row) => ({ row, is: value(row, at) }));
    rows.sort((one, other) => (falls ? -1 : 1) * compare(one.is, other.is));
    body.append(...rows.map(({ row }) => row));
  };
  const mark = (table, number) => {
    const order = chosen.get(number);
    [...(table.tHead?.rows[0]?.cells ?? [])].forEach((head, at) => {
      const isIt = order?.at === at;
      if (isIt) head.setAttribute("aria-sort", order.falls ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };
  const prepare = (table, number) => {
    if ((table.tBodies[0]?.rows.length ?? 0) < 3) return;
    [...(table.tHead?.rows[0]?.cells ?? [])].forEach((head, at) => {
      if (head.querySelector("button, .hidden") || !head.textContent.trim()) return;
      const button = table.ownerDocument.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.dataset.sort = `${number} ${at}`;
    });
    if (chosen.has(number)) {
      sort(table, chosen.get(number));
      mark(table, number);
    }
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-sort]");
    if (!button) return;
    const [number, at] = button.dataset.sort.split(" ").map(Number);
    const before = chosen.get(number);
    chosen.set(number, { at, falls: before?.at === at && !before.falls });
    const table = button.closest("table");
    sort(table, chosen.get(number));
    mark(table, number);
  });
  // What comes later is prepared the same way before the page becomes like it.
  document.addEventListener("stoker:fresh", ({ detail }) => tables(detail).forEach(prepare));
  tables(document).forEach(prepare);
})();
