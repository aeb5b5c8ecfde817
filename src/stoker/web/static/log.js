// A log that is still written grows on its page: the server renders what is new, and only the newest
// lines stay. A hidden tab asks for nothing. Without JavaScript a link shows what has come.
"use strict";
(() => {
  const MOST = 5000; // lines in the page
  const log = () => document.querySelector("[data-log]");
  if (!log()) return;
  let wait = 1000;

  const isAtEnd = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 60;
  const show = (fresh, old) => {
    const wasAtEnd = isAtEnd();
    const isGap = Number(fresh.dataset.start) > Number(old.dataset.end); // it writes faster than we look
    if (old.tagName === "P" || isGap) old.replaceWith(document.adoptNode(fresh));
    else {
      // The last line may have grown: it is shown again.
      const lines = old.querySelector("ol");
      for (const row of [...fresh.querySelector("ol").children]) {
        document.getElementById(row.id)?.remove();
        lines.append(document.adoptNode(row));
      }
      const nTooMany = Math.max(lines.children.length - MOST, 0);
      for (let n = nTooMany; n > 0; n -= 1) lines.firstElementChild.remove();
      if (lines.hasAttribute("start")) lines.start += nTooMany;
      old.dataset.rest = fresh.dataset.rest;
      old.dataset.end = fresh.dataset.end;
    }
    if (wasAtEnd) window.scrollTo(0, document.documentElement.scrollHeight);
  };
  const look = async () => {
    const old = log();
    if (!document.hidden && old) {
      try {
        const answer = await fetch(`${old.dataset.log}&follow=${old.dataset.rest}`, { headers: { Accept: "text/html" } });
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          document.dispatchEvent(new CustomEvent("stoker:fresh", { detail: page }));
          const fresh = page.getElementById("lines");
          const isNew = fresh && fresh.tagName === "DIV" && fresh.dataset.end !== old.dataset.end;
          if (isNew) show(fresh, old);
          wait = isNew ? 1000 : Math.min(wait * 1.5, 5000);
          const state = page.querySelector("main .state");
          if (state) document.querySelector("main .state").replaceWith(document.adoptNode(state));
          const extent = page.getElementById("extent");
          if (extent) document.getElementById("extent").replaceWith(document.adoptNode(extent));
          if (fresh?.dataset.over !== undefined) {
            log().removeAttribute("data-log");
            document.getElementById("again")?.remove();
            return;
          }
        }
      } catch {
        wait = 5000; // the next look may reach the service again
      }
    }
    setTimeout(look, wait);
  };
  document.getElementById("again")?.replaceChildren("It still writes; new lines appear by themselves");
  setTimeout(look, wait);
})();
