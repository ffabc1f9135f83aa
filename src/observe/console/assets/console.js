// Keeps a page up to date, and sends what is to change to the API. Pages are made by the service: a change on the
// stream fetches the page once more, and what differs is put into this one. Nothing is ever made of text as HTML here
// but whole pages of the service, which has escaped them.
"use strict";

(() => {
  document.documentElement.classList.add("script");

  const API = "/api/v1";
  // A page is fetched once a second at most, however many events come.
  const BETWEEN = 1000;
  const PATIENCE = 15000;

  const whenReady = (then) =>
    document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", then, { once: true }) : then();

  const send = (method, path, body) =>
    fetch(API + path, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });

  // Returns the API's own text of a failure.
  const problemOf = async (answer) => {
    try {
      return (await answer.json()).text || `The service answered ${answer.status}.`;
    } catch {
      return `The service answered ${answer.status}.`;
    }
  };

  const fetchPage = async (address) => {
    const answer = await fetch(address, {
      headers: { accept: "text/html" },
      credentials: "same-origin",
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (answer.redirected) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  // ---- What differs --------------------------------------------------------------------------------------------

  const keyOf = (node) => (node.nodeType === 1 ? node.id || node.dataset.key || null : null);

  // Makes `old` as `fresh` is. Elements with a key keep their identity, so that a focus, a choice and what was opened stay.
  const bring = (old, fresh) => {
    if (old.nodeType === 3) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.nodeType !== 1 || old.dataset.kept !== undefined) return;
    const own = old.nodeName === "DETAILS" ? ["open"] : old.nodeName === "BUTTON" ? ["disabled", "aria-pressed"] : [];
    for (const { name, value } of [...fresh.attributes])
      if (!own.includes(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes])
      if (!own.includes(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
    if (old.nodeName === "SELECT" || old.id === "result" || old.id === "chosen" || old.classList.contains("result")) return;
    bringChildren(old, fresh);
  };

  const bringChildren = (old, fresh) => {
    const keyed = new Map();
    for (const child of old.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
    const isTable = old.nodeName === "TBODY" && old.childNodes.length > 0;
    let at = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const key = keyOf(wanted);
      let match = key ? keyed.get(key) : at;
      if (!key) while (match && (keyOf(match) || match.nodeName !== wanted.nodeName)) match = match.nextSibling;
      if (match && match.nodeName === wanted.nodeName) {
        if (match === at) at = at.nextSibling;
        else if (!match.contains(document.activeElement)) old.insertBefore(match, at);
        keyed.delete(key);
        bring(match, wanted);
        match.wanted = true;
      } else {
        const made = document.importNode(wanted, true);
        if (isTable && made.nodeType === 1) made.classList.add("new");
        made.wanted = true;
        old.insertBefore(made, at);
      }
    }
    for (const child of [...old.childNodes]) {
      if (child.wanted) delete child.wanted;
      else child.remove();
    }
  };

  // ---- Live ----------------------------------------------------------------------------------------------------

  const live = () => {
    const main = document.getElementById("content");
    const shown = document.getElementById("live");
    const pause = document.getElementById("pause");
    if (!main.dataset.live || !shown) return;
    let source = null, last = 0, due = null, busy = false, again = false;

    const say = (state, word) => {
      shown.dataset.state = state;
      const element = shown.querySelector(".word");
      if (element.textContent !== word) element.textContent = word;
    };
    const paused = () => pause !== null && pause.getAttribute("aria-pressed") === "true";

    const refresh = async () => {
      due = null;
      if (busy) return void (again = true);
      busy = true;
      last = performance.now();
      try {
        const page = await fetchPage(location.href);
        if (page && !paused()) {
          for (const id of ["content", "ways"]) {
            const fresh = page.getElementById(id), old = document.getElementById(id);
            if (fresh && old) bring(old, fresh);
          }
          document.dispatchEvent(new Event("brought"));
          say("on", "live");
        }
      } catch {
        say("off", "no answer, trying again");
      }
      busy = false;
      if (again) { again = false; changed(); }
      // A page that has nothing more to wait for.
      if (!main.dataset.live) close("complete");
    };
    const changed = () => {
      if (paused() || due !== null) return;
      due = setTimeout(refresh, Math.max(0, BETWEEN - (performance.now() - last)));
    };
    const close = (word) => {
      if (source) source.close();
      source = null;
      say(word === "complete" ? "on" : "wait", word);
    };
    const open = () => {
      if (source || !main.dataset.live) return;
      source = new EventSource(main.dataset.live);
      source.onopen = () => { say(paused() ? "wait" : "on", paused() ? "paused" : "live"); changed(); };
      source.onerror = () => {
        say("off", "no connection, trying again");
        // A stream that was refused is not tried again by the browser.
        if (source && source.readyState === EventSource.CLOSED) {
          source = null;
          setTimeout(open, 5000);
        }
      };
      for (const name of ["status", "delivery", "missed"]) source.addEventListener(name, changed);
    };

    if (pause)
      pause.addEventListener("click", () => {
        const on = !paused();
        pause.setAttribute("aria-pressed", String(on));
        pause.textContent = on ? "Resume" : "Pause";
        say(on ? "wait" : "on", on ? "paused" : "live");
        if (!on) changed();
      });
    // A page that is not seen asks for nothing.
    document.addEventListener("visibilitychange", () => (document.hidden ? close("asleep") : open()));
    if (!document.hidden) open();
  };

  // ---- Small things --------------------------------------------------------------------------------------------

  const theme = () => {
    const root = document.documentElement;
    for (const button of document.querySelectorAll("[data-theme-choice]"))
      button.addEventListener("click", () => {
        const value = button.dataset.themeChoice;
        root.dataset.theme = value;
        document.cookie = `millrace-theme=${value}; path=/; max-age=31536000; samesite=strict`;
        for (const other of document.querySelectorAll("[data-theme-choice]"))
          other.setAttribute("aria-pressed", String(other === button));
      });
  };

  const filters = () => {
    for (const form of document.querySelectorAll("[data-filters]"))
      form.addEventListener("change", () => {
        const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
        location.assign(form.getAttribute("action") + (query.size > 0 ? `?${query}` : ""));
      });
  };

  const copy = () =>
    document.addEventListener("click", async (event) => {
      const button = event.target.closest("[data-copy]");
      if (!button) return;
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not copied";
      }
      setTimeout(() => (button.textContent = "Copy path"), 1500);
    });

  // ---- Sending -------------------------------------------------------------------------------------------------

  // Pairs of a name and a text, as a list of facts.
  const facts = (pairs) => {
    const list = document.createElement("dl");
    list.className = "pairs";
    for (const [name, value] of pairs) {
      const term = document.createElement("dt"), description = document.createElement("dd");
      term.textContent = name;
      description.textContent = value;
      description.className = "mono";
      list.append(term, description);
    }
    return list;
  };
  const note = (text) => {
    const element = document.createElement("p");
    element.className = "note";
    element.textContent = text;
    return element;
  };

  const tests = () => {
    for (const form of document.querySelectorAll("[data-test]")) {
      const result = form.querySelector(".result"), button = form.querySelector("button");
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        button.disabled = true;
        try {
          const type = form.elements.type.value;
          const answer = await send("POST", "/test-deliveries", type ? { source: form.dataset.test, type } : { source: form.dataset.test });
          if (!answer.ok) result.replaceChildren(note(await problemOf(answer)));
          else {
            const said = await answer.json();
            const where = said.offset === null ? said.topic : `${said.topic}, partition ${said.partition}, offset ${said.offset}`;
            result.replaceChildren(
              ...(said.error === null ? [] : [note(said.error)]),
              facts([
                [said.error === null ? "Arrived on" : "Did not arrive on", where],
                ["ce_id", said.id],
                ["Took", `${said.milliseconds.toFixed(1)} ms`],
                ["A real one goes to", said.would_go_to ?? `no topic: ${said.left_out_by} leaves it out`],
              ]),
            );
          }
        } catch {
          result.replaceChildren(note("The service does not answer."));
        }
        button.disabled = false;
        button.focus();
      });
    }
  };

  const replays = () => {
    const panel = document.querySelector("[data-replay]");
    if (!panel || !panel.querySelector("[data-try]")) return;
    const tryIt = panel.querySelector("[data-try]"), sendIt = panel.querySelector("[data-send]");
    const result = document.getElementById("result"), says = document.getElementById("chosen");
    const matching = document.getElementById("choose-matching");
    const boxes = () => [...document.querySelectorAll('input[name="chosen"]')];
    // The chosen events, as the API takes them; the last ones tried, and whether a request is under way.
    const chosen = new Map();
    let tried = null, busy = false;

    const asked = () => {
      const { replay, source, position } = panel.dataset;
      if (position) return { from: replay, positions: [{ source, position }] };
      if (matching && matching.checked) {
        const filter = {};
        for (const name of ["Source", "Reason", "Since"])
          if (panel.dataset[`filter${name}`]) filter[name.toLowerCase()] = panel.dataset[`filter${name}`];
        return { from: replay, filter };
      }
      return chosen.size > 0 ? { from: replay, positions: [...chosen.values()] } : null;
    };
    const show = () => {
      const what = asked();
      tryIt.disabled = busy || what === null;
      sendIt.disabled = busy || tried === null || tried.sent === 0 || tried.what !== JSON.stringify(what);
      sendIt.textContent = sendIt.disabled ? "Send" : `Send ${tried.sent.toLocaleString("en")}`;
      if (says) says.textContent = chosen.size === 0 ? "Nothing is chosen." : chosen.size === 1 ? "1 letter is chosen." : `${chosen.size.toLocaleString("en")} letters are chosen.`;
      const all = document.getElementById("choose-all");
      if (all) {
        const every = boxes();
        all.checked = every.length > 0 && every.every((box) => box.checked);
        all.indeterminate = !all.checked && every.some((box) => box.checked);
      }
    };
    const note_box = (box) => {
      const { source, position } = box.dataset;
      if (box.checked) chosen.set(`${source} ${position}`, { source, position });
      else chosen.delete(`${source} ${position}`);
    };
    document.addEventListener("change", (event) => {
      const box = event.target;
      if (box.id === "choose-all") for (const it of boxes()) { it.checked = box.checked; note_box(it); }
      else if (box.name === "chosen") note_box(box);
      else if (box.id !== "choose-matching") return;
      show();
    });
    // Letters that are gone from the page are chosen no more, and those that came are as they were.
    document.addEventListener("brought", () => {
      if (!says) return;
      const there = new Set(boxes().map((box) => `${box.dataset.source} ${box.dataset.position}`));
      for (const key of chosen.keys()) if (!there.has(key)) chosen.delete(key);
      for (const box of boxes()) box.checked = chosen.has(`${box.dataset.source} ${box.dataset.position}`);
      show();
    });

    const run = async (dry) => {
      const what = asked();
      if (what === null || busy) return;
      busy = true;
      const text = JSON.stringify(what);
      show();
      try {
        const answer = await send("POST", "/replays", { ...what, dry_run: dry });
        if (!answer.ok) result.replaceChildren(note(await problemOf(answer)));
        else {
          const { id } = await answer.json();
          for (;;) {
            const page = await fetchPage(`/replays/${encodeURIComponent(id)}`);
            const fresh = page.querySelector("[data-replay-state]");
            const old = result.firstElementChild;
            if (old && old.dataset.replayId === id) bring(old, fresh);
            else result.replaceChildren(document.importNode(fresh, true));
            const { replayState, replaySent } = fresh.dataset;
            if (replayState !== "running") {
              tried = dry && replayState === "done" ? { what: text, sent: Number(replaySent) } : null;
              break;
            }
            await new Promise((then) => setTimeout(then, 400));
          }
        }
      } catch {
        result.replaceChildren(note("The service does not answer; whether anything was sent is on the page of its last replays."));
        tried = null;
      }
      busy = false;
      show();
      const next = sendIt.disabled ? tryIt : sendIt;
      if (!next.disabled && (document.activeElement === document.body || panel.contains(document.activeElement))) next.focus();
    };
    tryIt.addEventListener("click", () => run(true));
    sendIt.addEventListener("click", () => run(false));
    for (const box of boxes()) note_box(box);
    show();
  };

  whenReady(() => {
    theme();
    live();
    filters();
    copy();
    tests();
    replays();
  });
})();
