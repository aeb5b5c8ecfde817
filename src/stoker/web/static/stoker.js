// What makes the pages quicker for those who have JavaScript; without it they work as well.
"use strict";
(() => {
  const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\"'\"'")}'`);
  const python = (value) => {
    if (value === true) return "True";
    if (value === false) return "False";
    if (value === null) return "None";
    if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
    if (typeof value === "object") {
      return `{${Object.entries(value).map(([name, one]) => `${python(name)}: ${python(one)}`).join(", ")}}`;
    }
    return JSON.stringify(value);
  };

  // The calls beside a form follow it.
  const typed = (text, type) => {
    if (type !== "integer" && type !== "number") return text;
    const number = Number(text);
    return text.trim() !== "" && Number.isFinite(number) ? number : text;
  };
  const valueOf = (field) => {
    const { type, kind } = field.dataset;
    const isList = "list" in field.dataset;
    if (kind === "checkbox") return field.querySelector("input").checked;
    if (kind === "radios" || kind === "checkboxes") {
      const found = [...field.querySelectorAll("input:checked")].map((one) => one.value);
      return isList ? found : found[0];
    }
    const text = field.querySelector("input, select, textarea").value;
    if (!isList) return text === "" ? undefined : typed(text, type);
    return text.split("\n").map((line) => line.trim()).filter(Boolean).map((one) => typed(one, type));
  };
  const follow = (form) => {
    const first = new Map();
    const fields = [...form.querySelectorAll("[data-input]")].filter((one) => one.dataset.kind !== "file");
    const hasFiles = form.querySelector("[data-kind=file] [required]") !== null;
    for (const field of fields) first.set(field, JSON.stringify(valueOf(field)));
    form.addEventListener("input", () => {
      const values = {};
      for (const field of fields) {
        const value = valueOf(field);
        const isChanged = JSON.stringify(value) !== first.get(field);
        const isNeeded = field.querySelector("[required]") !== null;
        if (value !== undefined && (isChanged || isNeeded)) values[field.dataset.input] = value;
      }
      const json = Object.entries(values).map(([name, one]) => `${JSON.stringify(name)}: ${JSON.stringify(one)}`);
      const push = Object.entries(values).map(
        ([name, one]) => ` --set ${shell(`${name}=${typeof one === "string" ? one : JSON.stringify(one)}`)}`
      );
      const curl = json.join(", ") + (json.length && hasFiles ? ", " : "");
      const texts = { curl: curl.replaceAll("'", "'\\''"), python: python(values), push: push.join("") };
      for (const one of document.querySelectorAll("[data-call]")) one.textContent = texts[one.dataset.call];
    });
  };

  // A field says what is wrong with it when it is left, by the same rules as when the form is sent.
  const tell = (field, texts) => {
    const control = field.querySelector("input, select, textarea");
    const id = `in.${field.dataset.input}-error`;
    const help = document.getElementById(`in.${field.dataset.input}-help`);
    let line = document.getElementById(id);
    field.classList.toggle("wrong", texts.length > 0);
    if (!texts.length) {
      line?.remove();
      control.removeAttribute("aria-invalid");
      if (help) control.setAttribute("aria-describedby", help.id);
      else control.removeAttribute("aria-describedby");
      return;
    }
    if (!line) {
      line = document.createElement("p");
      line.className = "error";
      line.id = id;
      field.append(line);
    }
    line.textContent = texts.join("; ");
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", help ? `${help.id} ${id}` : id);
  };
  const check = (form) => {
    const left = new Set();
    let asked = null;
    let released = Promise.resolve(); // nothing moves under a pointer that is down
    document.addEventListener("pointerdown", () => {
      released = new Promise((go) => {
        const up = () => setTimeout(go, 50);
        for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, up, { once: true });
      });
    });
    form.addEventListener("focusout", async ({ target, relatedTarget }) => {
      const field = target.closest("[data-input]");
      if (!field || field.dataset.kind === "file" || field.contains(relatedTarget)) return;
      left.add(field.dataset.input);
      asked?.abort();
      asked = new AbortController();
      const content = new FormData(form);
      for (const one of form.querySelectorAll("input[type=file]")) content.delete(one.name);
      try {
        const headers = { Accept: "application/json" };
        const options = { method: "POST", body: content, headers, signal: asked.signal };
        const answer = await fetch(form.dataset.check, options);
        if (!answer.ok) return;
        const { errors } = await answer.json();
        await released;
        for (const one of form.querySelectorAll("[data-input]")) {
          const name = one.dataset.input;
          if (left.has(name)) tell(one, errors.filter((wrong) => wrong.field === name).map((wrong) => wrong.text));
        }
      } catch {
        // The form is checked as a whole once it is sent.
      }
    });
  };

  // Files are sent first, each as an upload that goes on where it broke off, also after a reload.
  const size = (bytes) => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
  const pause = (seconds) => new Promise((go) => setTimeout(go, seconds * 1000));
  const coded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  const tus = { "Tus-Resumable": "1.0.0" };
  class Refused extends Error {}
  const detail = (text) => {
    try {
      return JSON.parse(text).detail;
    } catch {
      return "the service does not say why";
    }
  };
  const remembered = {
    get: (name) => {
      try {
        return localStorage.getItem(name);
      } catch {
        return null;
      }
    },
    set: (name, value) => {
      try {
        if (value === null) localStorage.removeItem(name);
        else localStorage.setItem(name, value);
      } catch {
        // Without a memory an upload starts from scratch after a reload.
      }
    },
  };
  const create = async (form, file) => {
    const pairs = [`filename ${coded(file.name)}`, `filetype ${coded(file.type)}`];
    const headers = { ...tus, "Upload-Length": String(file.size), "Upload-Metadata": pairs.join(",") };
    const answer = await fetch(form.dataset.uploads, { method: "POST", headers });
    if (answer.status === 201) return answer.headers.get("Location").split("/").pop();
    const said = detail(await answer.text());
    throw answer.status === 429 || answer.status === 503 ? new Error(said) : new Refused(said);
  };
  const append = (address, file, offset, onProgress) =>
    new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      request.open("PATCH", address);
      const type = "application/offset+octet-stream";
      const headers = { ...tus, "Upload-Offset": String(offset), "Content-Type": type };
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      request.upload.addEventListener("progress", ({ loaded }) => onProgress(offset + loaded));
      request.addEventListener("load", () => {
        if (request.status === 204) done(Number(request.getResponseHeader("Upload-Offset")));
        else if ([403, 413, 507].includes(request.status)) fail(new Refused(detail(request.responseText)));
        else fail(new Error(`the service answered ${request.status}`));
      });
      request.addEventListener("error", () => fail(new Error("broke off")));
      request.send(offset ? file.slice(offset) : file);
    });
  const upload = async (form, file, onProgress, onBreak) => {
    const place = new URL(form.dataset.uploads, location.href);
    const name = `upload ${place.pathname} ${file.name} ${file.size} ${file.lastModified}`;
    for (let tries = 0; ; tries += 1) {
      try {
        let id = remembered.get(name);
        let offset = 0;
        if (id) {
          const answer = await fetch(`${place.pathname}/${id}`, { method: "HEAD", headers: tus });
          if (answer.ok) offset = Number(answer.headers.get("Upload-Offset"));
          else if (answer.status === 404) id = null;
          else throw new Error(`the service answered ${answer.status}`);
        }
        if (!id) id = await create(form, file);
        remembered.set(name, id);
        onProgress(offset);
        while (offset < file.size) {
          offset = await append(`${place.pathname}/${id}`, file, offset, onProgress);
          tries = 0;
        }
        remembered.set(name, null);
        return id;
      } catch (error) {
        if (error instanceof Refused || tries >= 60) throw error;
        const seconds = Math.min(2 ** Math.min(tries, 10) / 2, 15);
        onBreak(seconds);
        await pause(seconds);
      }
    }
  };
  const send = (form) => {
    const bar = document.getElementById("sent");
    const words = document.getElementById("sent-words");
    const button = form.querySelector("button.main");
    for (const input of form.querySelectorAll("input[type=file][data-max-bytes]")) {
      input.addEventListener("change", () => {
        const limit = Number(input.dataset.maxBytes);
        const large = [...input.files].find((file) => file.size > limit);
        const text = large ? `${large.name} has ${size(large.size)} and may have ${size(limit)}` : "";
        input.setCustomValidity(text);
        words.textContent = text;
      });
    }
    form.addEventListener("submit", async (event) => {
      const inputs = [...form.querySelectorAll("input[type=file]")].filter((one) => one.files.length);
      if (!inputs.length) return;
      event.preventDefault();
      button.disabled = true;
      const total = inputs.flatMap((one) => [...one.files]).reduce((sum, file) => sum + file.size, 0);
      const content = new FormData(form);
      let before = 0;
      let began = performance.now();
      try {
        for (const input of inputs) {
          const field = input.name.replace(/^in\./, "file.");
          content.delete(input.name);
          if (!input.multiple) content.delete(field);
          for (const file of input.files) {
            let first = null;
            const onProgress = (at) => {
              first ??= at;
              bar.hidden = false;
              bar.value = total ? (before + at) / total : 1;
              const seconds = (performance.now() - began) / 1000;
              const rate = (at - first) / seconds;
              const left = rate > 0 ? (total - before - at) / rate : 0;
              words.textContent = `${size(before + at)} of ${size(total)}${left > 2 ? `, ${Math.ceil(left)} s left` : ""}`;
            };
            const onBreak = (seconds) => {
              first = null;
              began = performance.now();
              words.textContent = `The upload broke off. It goes on in ${Math.ceil(seconds)} s.`;
            };
            const id = await upload(form, file, onProgress, onBreak).catch((error) => {
              error.field = input.closest("[data-input]");
              throw error;
            });
            content.append(field, `${id} ${file.name}`);
            before += file.size;
          }
        }
        words.textContent = "Checking …";
        const options = { method: "POST", body: content, headers: { Accept: "text/html" } };
        const answer = await fetch(form.action, options);
        if (answer.redirected) {
          location.assign(answer.url);
          return;
        }
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.querySelector("main").replaceWith(document.adoptNode(page.querySelector("main")));
        begin();
        document.getElementById("mistakes")?.focus();
      } catch (error) {
        if (error instanceof Refused) tell(error.field, [`This file is not taken: ${error.message}`]);
        words.textContent =
          error instanceof Refused
            ? "Nothing was submitted."
            : "The service cannot be reached. Submit again: what has arrived is not sent twice.";
        button.disabled = false;
        bar.hidden = true;
      }
    });
  };

  // The page of a job follows it: quickly at first, then every few seconds, and not while hidden.
  let wait = 500;
  const look = async () => {
    const live = document.querySelector("#live[data-live]");
    if (!live) return;
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          const found = page.getElementById("live");
          const isSame = found && found.isEqualNode(live);
          if (found && !isSame && !live.contains(document.activeElement?.closest("form"))) {
            live.replaceWith(document.adoptNode(found));
            document.dispatchEvent(new CustomEvent("stoker:fresh", { detail: found }));
            document.title = page.title;
          }
        }
      } catch {
        // The next look may reach the service again.
      }
      wait = Math.min(wait * 1.3, 5000);
    }
    setTimeout(look, wait);
  };

  const begin = () => {
    const form = document.getElementById("submit");
    if (form) {
      follow(form);
      if (form.querySelector("button.main")) {
        check(form);
        send(form);
      }
    }
  };
  begin();
  document.getElementById("mistakes")?.focus();
  setTimeout(look, wait);
})();
