// Keys for people who repair all day; everything that they do is a link or a button of the page too.
"use strict";
(() => {
  const OFF = "stoker-keys-off";
  const LIST = "stoker-list";
  const GO = {
    o: "overview", i: "items", f: "failures", t: "timeline", m: "machines", s: "processes", r: "sources", j: "journal",
  };
  const stored = (store, name, value) => {
    try {
      if (value === undefined) return store.getItem(name);
      if (value === null) store.removeItem(name);
      else store.setItem(name, value);
    } catch {
      // Without a memory it holds for this page.
    }
    return value ?? null;
  };
  let isOff = stored(localStorage, OFF) !== null;

  // Rows that can be gone through: those of a list, the causes, the places that a search found.
  const rows = () =>
    [...document.querySelectorAll("main table.rows tbody tr, main .causes > li, main .hits > li, main .line")].filter((row) =>
      row.querySelector("a")
    );
  const current = () => rows().find((row) => row.contains(document.activeElement));
  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(current());
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
    next.querySelector("a").focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const press = (selector) => {
    const found = current()?.querySelector(selector) ?? document.querySelector(`main ${selector}`);
    found?.click();
  };

  // The items of the list that one came from lead to one another.
  const remember = () => {
    const links = [...document.querySelectorAll('main table.rows th[scope="row"] a[href*="item?"]')].map((one) => one.href);
    if (links.length) stored(sessionStorage, LIST, JSON.stringify(links));
  };
  const neighbours = () => {
    const links = JSON.parse(stored(sessionStorage, LIST) ?? "[]");
    const at = links.indexOf(location.href);
    const title = document.querySelector('main [data-follow="item"] h1');
    if (at < 0 || !title) return;
    const nav = document.createElement("nav");
    nav.className = "neighbours";
    nav.setAttribute("aria-label", "Items of the list");
    for (const [by, rel, text] of [[-1, "prev", "Previous"], [1, "next", "Next"]]) {
      if (!links[at + by]) continue;
      const link = document.createElement("a");
      Object.assign(link, { href: links[at + by], rel, textContent: text });
      nav.append(link);
    }
    title.closest("[data-follow]").before(nav);
  };

  const HELP = [
    ["/", "search, or filter the list"],
    ["g, then o i f t m s r j", "overview, items, failures, timeline, machines, submit, sources, journal"],
    ["j, k", "next and previous row"],
    ["Enter", "open the row"],
    ["x", "select the row"],
    ["r, h", "retry, hold: asks first"],
    ["[, ]", "previous and next item or page"],
    ["?", "this help"],
  ];
  let dialog = null;
  const help = () => {
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.className = "card keys";
      dialog.setAttribute("aria-labelledby", "keys-title");
      const title = document.createElement("h2");
      title.id = "keys-title";
      title.textContent = "Keys";
      const list = document.createElement("dl");
      for (const [keys, does] of HELP) {
        const [term, text] = [document.createElement("dt"), document.createElement("dd")];
        term.textContent = keys;
        text.textContent = does;
        list.append(term, text);
      }
      const label = document.createElement("label");
      label.className = "choice";
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = !isOff;
      box.addEventListener("change", () => {
        isOff = !box.checked;
        stored(localStorage, OFF, isOff ? "off" : null);
      });
      label.append(box, "use these keys (? always works)");
      const form = document.createElement("form");
      form.method = "dialog";
      const close = document.createElement("button");
      close.textContent = "Close";
      form.append(close);
      dialog.append(title, list, label, form);
      document.body.append(dialog);
    }
    if (!dialog.open) dialog.showModal();
  };

  let isGoing = 0;
  const act = {
    "/": () => document.querySelector("[data-search], header input[type=search], main .filters input:not([type=hidden])")?.focus(),
    g: () => {
      isGoing = performance.now();
    },
    j: () => step(1),
    k: () => step(-1),
    x: () => current()?.querySelector("input[type=checkbox]")?.click(),
    r: () => press('a[href*="verb=retry"]'),
    h: () => press('a[href*="verb=hold"]'),
    "[": () => document.querySelector('main a[rel="prev"]')?.click(),
    "]": () => document.querySelector('main a[rel="next"]')?.click(),
    "?": help,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat && event.key !== "j" && event.key !== "k") return;
    const { target, key } = event;
    if (target.closest?.("input, textarea, select, [contenteditable], dialog")) return;
    if (isOff && key !== "?") return;
    const place = isGoing && performance.now() - isGoing < 1500 ? GO[key] : null;
    isGoing = 0;
    if (place) {
      [...document.querySelectorAll(".rail a")].find((one) => one.pathname.endsWith(`/${place}`))?.click();
      event.preventDefault();
    } else if (Object.hasOwn(act, key)) {
      act[key]();
      event.preventDefault();
    }
  });

  const button = document.createElement("button");
  button.type = "button";
  button.className = "link keys-help";
  button.textContent = "?";
  button.setAttribute("aria-label", "Keys");
  button.addEventListener("click", help);
  document.querySelector('nav[aria-label="Account"]')?.prepend(button);
  remember();
  neighbours();
})();
