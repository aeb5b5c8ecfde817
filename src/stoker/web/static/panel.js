// Pages that follow what happens. One tab of a browser holds the event stream, and informs the others;
// a hidden tab holds none. Without JavaScript the pages are as they were when they were asked for.
"use strict";
(() => {
  const followed = document.querySelector("[data-follow]");
  if (!followed) return;
  const clock = document.getElementById("clock");
  const say = (words) => {
    if (!clock || clock.textContent === words) return;
    clock.textContent = words;
    clock.classList.toggle("calm", words === "live");
  };

  // Makes one tree like another and keeps its nodes: focus, selections and opened parts stay.
  const liken = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(document.adoptNode(fresh));
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
    after.forEach((node, at) => {
      if (at < before.length) liken(before[at], node);
      else old.append(document.adoptNode(node));
    });
    for (const node of before.slice(after.length)) node.remove();
  };

  // While the service or its store does not answer, the page says so, and how old it is.
  const AGAIN = 5000;
  let seenAt = new Date();
  let awaySince = null;
  let again = 0;
  const clockTime = (date) => window.stokerTime?.(date) ?? date.toISOString().slice(11, 19);
  const missed = (who) => {
    awaySince ??= new Date();
    const away = document.getElementById("away");
    const text = `${who} does not answer since ${clockTime(awaySince)}. What you see is from ${clockTime(seenAt)}; nothing can be changed until it is back.`;
    if (away && away.textContent.trim() !== text) {
      const line = document.createElement("p");
      line.className = "alert";
      line.textContent = text;
      away.replaceChildren(line);
    }
    document.body.classList.add("is-away");
    say("reconnecting");
    clearTimeout(again);
    again = setTimeout(look, AGAIN);
  };
  const answered = (page) => {
    seenAt = new Date();
    const isAway = Boolean(page.querySelector("#away .alert"));
    document.body.classList.toggle("is-away", isAway);
    awaySince = isAway ? (awaySince ?? seenAt) : null;
    clearTimeout(again);
    if (isAway) {
      say(`store away since ${clockTime(awaySince)}`);
      again = setTimeout(look, AGAIN);
    } else say(isStreaming() ? "live" : `looks every ${POLL / 1000} s`);
  };

  let isLooking = false;
  let isDue = false;
  const look = async () => {
    if (document.hidden) return;
    if (isLooking) {
      isDue = true;
      return;
    }
    isLooking = true;
    try {
      const limit = AbortSignal.timeout?.(30000);
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: limit });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.dispatchEvent(new CustomEvent("stoker:fresh", { detail: page }));
        for (const old of document.querySelectorAll("[data-follow]")) {
          const fresh = page.querySelector(`[data-follow="${old.dataset.follow}"]`);
          if (fresh) liken(old, fresh);
        }
        answered(page);
      } else if (answer.status === 503) missed("The store");
    } catch {
      missed("The service");
    }
    isLooking = false;
    if (isDue) {
      isDue = false;
      setTimeout(look, 1000);
    }
  };

  const channel = "BroadcastChannel" in window ? new BroadcastChannel("stoker") : null;
  channel?.addEventListener("message", ({ data }) => {
    others.isStreaming = data.isStreaming;
    if (data.number) look();
    else if (!source && !awaySince && !document.hidden) say(isStreaming() ? "live" : `looks every ${POLL / 1000} s`);
  });
  let source = null;
  let release = null;
  let last = null;
  let poll = 0;

  // Where streams are cut or held up, pages still look every few seconds, and say so.
  const POLL = 15000;
  const others = { isStreaming: false }; // another tab of this browser holds the stream
  const isStreaming = () => source?.readyState === EventSource.OPEN || (!source && others.isStreaming);
  const tellOthers = (message) => channel?.postMessage(message);
  const open = () => {
    source = new EventSource(`${followed.dataset.base}stream`);
    source.addEventListener("open", () => {
      if (!awaySince) say("live");
      tellOthers({ isStreaming: true });
    });
    source.addEventListener("message", (event) => {
      if (event.lastEventId === last) return;
      last = event.lastEventId;
      tellOthers({ isStreaming: true, number: last });
      look();
    });
    source.addEventListener("store", () => {
      tellOthers({ isStreaming: true, number: last ?? "0" });
      look();
    });
    source.addEventListener("error", () => {
      tellOthers({ isStreaming: false });
      look(); // which says what does not answer: the stream alone, or the service
      if (source?.readyState === EventSource.CLOSED) setTimeout(reopen, 8000); // it was refused
    });
  };
  const reopen = () => {
    if (source?.readyState === EventSource.CLOSED) open();
  };
  const close = () => {
    source?.close();
    source = null;
    clearInterval(poll);
    poll = 0;
    clearTimeout(again);
    release?.();
    release = null;
  };
  let waiting = null;
  const begin = () => {
    if (!poll) poll = setInterval(look, POLL); // times pass, and something may cut streams
    if (source || waiting) return;
    if (!navigator.locks || !channel) {
      open();
      return;
    }
    others.isStreaming = true; // whoever holds it says so if it does not
    if (!awaySince) say("live");
    waiting = new AbortController();
    const held = () =>
      new Promise((resolve) => {
        waiting = null;
        release = resolve;
        open();
      });
    navigator.locks.request("stoker-stream", { signal: waiting.signal }, held).catch(() => {});
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      waiting?.abort();
      waiting = null;
      close();
      say("paused");
    } else {
      look();
      begin();
    }
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && begin());
  if (document.querySelector("#away .alert")) answered(document);
  if (!document.hidden) begin();
})();
