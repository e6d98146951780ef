// Keeps the page up to date from the stream of events, and says so when the stream is lost. Without it the page works.
// What arrives is only ever set as text or as attributes of the few kinds of elements below; no markup is parsed.
"use strict";
(() => {
  const SVG = new Set(["svg", "rect", "path"]);
  const HTML = new Set(("article caption dd div dl dt h2 h3 li p section small span strong table tbody td th thead tr " +
    "ul").split(" "));
  const THEMES = ["auto", "light", "dark"];
  const root = document.documentElement;

  function theme(chosen) {
    const name = THEMES.includes(chosen) ? chosen : "auto";
    name === "auto" ? delete root.dataset.theme : (root.dataset.theme = name);
    return name;
  }

  function kept(value) { // storage may be forbidden; the choice then lasts as long as the page
    try {
      if (value) localStorage.setItem("goodwatt-theme", value);
      return localStorage.getItem("goodwatt-theme");
    } catch {
      return value;
    }
  }

  let themed = theme(kept()); // before anything is painted

  function made(node) {
    if (typeof node === "string") return document.createTextNode(node);
    const [tag, attributes, children] = node;
    if (!SVG.has(tag) && !HTML.has(tag)) throw new Error(`no element of the page: ${tag}`);
    const element = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    return fitted(element, attributes, children);
  }

  // Only what differs is touched, so that focus, selection and scrolling stay.
  function fitted(element, attributes, children) {
    for (const { name } of [...element.attributes]) if (!(name in attributes)) element.removeAttribute(name);
    for (const [name, value] of Object.entries(attributes)) {
      if (element.getAttribute(name) !== value) element.setAttribute(name, value);
    }
    fill(element, children);
    return element;
  }

  function fill(element, children) {
    children.forEach((child, place) => {
      const old = element.childNodes[place];
      if (!old) element.append(made(child));
      else if (typeof child !== "string" && old.localName === child[0]) fitted(old, child[1], child[2]);
      else if (typeof child !== "string" || old.nodeType !== Node.TEXT_NODE) old.replaceWith(made(child));
      else if (old.data !== child) old.data = child;
    });
    while (element.childNodes.length > children.length) element.lastChild.remove();
  }

  function start() {
    const [live, link, pause, toggle] = ["live", "link", "pause", "theme"].map((id) => document.getElementById(id));
    const { version, events } = document.body.dataset;
    const title = document.title;
    let source, again, watch, seconds = 5, failures = 0, lost = null, at = null, paused = false, agreed = false, full = false;

    function say(state, text) { // once: every change is read aloud
      if (link.textContent !== text) link.textContent = text;
      link.dataset.state = root.dataset.link = state;
      document.title = state === "lost" ? `lost \u00b7 ${title}` : title;
    }

    function named() {
      toggle.textContent = `\u25d0 ${themed}`;
      toggle.setAttribute("aria-label", `Theme: ${themed}`);
    }

    const clock = (when) => when.toLocaleTimeString([], { hourCycle: "h23" });

    function shown(message) {
      const told = JSON.parse(message.data);
      if (agreed && told.version !== version) return location.reload(); // another goodwatt, with another script
      agreed ||= told.version === version;
      expect(seconds = told.interval_seconds);
      const old = told.at === at;
      at = told.at;
      failures = 0;
      if (old) return; // the same snapshot again: it answers, and has read nothing new
      fill(live, told.live);
      say("live", lost ? `live again since ${clock(new Date())}` : link.dataset.state === "live" ? link.textContent : "live");
      lost = null;
    }

    function expect(interval) {
      clearTimeout(watch);
      watch = setTimeout(lose, Math.max(3 * interval + 2, 10) * 1000);
    }

    function lose() {
      stop();
      lost ??= new Date();
      failures += 1;
      complain();
      if (failures > 2) crowded();
      again = setTimeout(listen, Math.min(1000 * 2 ** (failures - 1), 15000));
    }

    function complain() {
      say("lost", full ? `not live since ${clock(lost)}: too many pages are open`
        : `lost since ${clock(lost)}; the figures are from before. Trying again`);
    }

    async function crowded() { // an event source does not tell why it was refused
      const answer = await fetch(events, { method: "HEAD" }).catch(() => null);
      full = answer?.status === 503;
      if (lost) complain();
    }

    function stop() {
      source?.close();
      clearTimeout(again);
      clearTimeout(watch);
    }

    function listen() {
      stop();
      source = new EventSource(events);
      source.onmessage = shown;
      source.onerror = lose;
      expect(seconds);
    }

    function turn() { // nobody looks at a hidden page, so it listens to nothing
      if (!paused && !document.hidden) return listen();
      stop();
      if (paused) say("paused", `paused at ${clock(new Date())}`);
    }

    pause.hidden = toggle.hidden = false;
    pause.onclick = () => {
      paused = !paused;
      lost = at = null;
      pause.textContent = paused ? "Resume" : "Pause";
      if (!paused) say("waiting", "connecting");
      turn();
    };
    toggle.onclick = () => {
      themed = theme(THEMES[(THEMES.indexOf(themed) + 1) % THEMES.length]);
      kept(themed);
      named();
    };
    named();
    document.addEventListener("visibilitychange", turn);
    addEventListener("pagehide", stop);
    addEventListener("pageshow", (shownAgain) => shownAgain.persisted && turn());
    say("waiting", "connecting");
    turn();
  }

  addEventListener("DOMContentLoaded", start);
})();
