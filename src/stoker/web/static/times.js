// Times in the viewer's zone or in UTC, as a switch in the header says; the title of each has both.
// Without JavaScript they are in UTC.
"use strict";
(() => {
  const NAME = "stoker-zone";
  const stored = () => {
    try {
      return localStorage.getItem(NAME);
    } catch {
      return null;
    }
  };
  let isUtc = stored() === "utc";
  const parts = (date, timeZone) => {
    const options = {
      timeZone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
    };
    const found = new Intl.DateTimeFormat("en-GB", options).formatToParts(date);
    return Object.fromEntries(found.map(({ type, value }) => [type, value]));
  };
  const words = (date, timeZone) => {
    const { year, month, day, hour, minute, second, timeZoneName } = parts(date, timeZone);
    return `${year}-${month}-${day} ${hour}:${minute}:${second} ${timeZoneName}`;
  };
  const here = () => (isUtc ? "UTC" : undefined);
  window.stokerTime = (date) => {
    const { hour, minute, second } = parts(date, here());
    return `${hour}:${minute}:${second}`;
  };
  const show = (root) => {
    for (const one of root.querySelectorAll("time[datetime]")) {
      const date = new Date(one.dateTime);
      if (Number.isNaN(date.getTime())) continue;
      const [local, utc] = [words(date, undefined), words(date, "UTC")];
      one.title = local === utc ? utc : `${local}\n${utc}`;
      if ("moment" in one.dataset) one.textContent = isUtc ? utc : local;
    }
  };
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link zone";
  const label = () => {
    button.textContent = isUtc ? "UTC" : "local time";
    button.title = isUtc ? "Times are in UTC; show them in local time" : "Times are in local time; show them in UTC";
  };
  button.addEventListener("click", () => {
    isUtc = !isUtc;
    try {
      localStorage.setItem(NAME, isUtc ? "utc" : "local");
    } catch {
      // It holds for this page.
    }
    label();
    show(document);
  });
  label();
  document.querySelector('nav[aria-label="Account"]')?.prepend(button);
  addEventListener("storage", ({ key }) => {
    if (key !== NAME) return;
    isUtc = stored() === "utc";
    label();
    show(document);
  });
  document.addEventListener("stoker:fresh", ({ detail }) => show(detail));
  show(document);
})();
