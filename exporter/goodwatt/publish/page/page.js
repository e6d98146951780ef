// Updates the page from the event stream and shows when the stream is lost. The page also works without this script.
// Received values are only set as text, or as attributes of the elements listed below; markup is never parsed.
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

  function storedTheme(value) { // storage may be blocked; the choice then lasts until the page is closed
    try {
      if (value) localStorage.setItem("goodwatt-theme", value);
      return localStorage.getItem("goodwatt-theme");
    } catch {
      return value;
    }
  }

  let themed = theme(storedTheme()); // before the first paint

  function createNode(node) {
    if (typeof node === "string") return document.createTextNode(node);
    const [tag, attributes, children] = node;
    if (!SVG.has(tag) && !HTML.has(tag)) throw new Error(`unexpected element: ${tag}`);
    const element = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    return patch(element, attributes, children);
  }

  // Touches only what differs, to keep focus, selection and scroll position.
  function patch(element, attributes, children) {
    for (const { name } of [...element.attributes]) if (!(name in attributes)) element.removeAttribute(name);
    for (const [name, value] of Object.entries(attributes)) {
      if (element.getAttribute(name) !== value) element.setAttribute(name, value);
    }
    patchChildren(element, children);
    return element;
  }

  function patchChildren(element, children) {
    children.forEach((child, place) => {
      const old = element.childNodes[place];
      if (!old) element.append(createNode(child));
      else if (typeof child !== "string" && old.localName === child[0]) patch(old, child[1], child[2]);
      else if (typeof child !== "string" || old.nodeType !== Node.TEXT_NODE) old.replaceWith(createNode(child));
      else if (old.data !== child) old.data = child;
    });
    while (element.childNodes.length > children.length) element.lastChild.remove();
  }

  function start() {
    const [live, link, pause, toggle] = ["live", "link", "pause", "theme"].map((id) => document.getElementById(id));
    const { version, events } = document.body.dataset;
    const title = document.title;
    let source, again, watch, seconds = 5, failures = 0, lost = null, at = null, paused = false, agreed = false, full = false;

    function showStatus(state, text) { // only on change: screen readers announce every update
      if (link.textContent !== text) link.textContent = text;
      link.dataset.state = root.dataset.link = state;
      document.title = state === "lost" ? `lost \u00b7 ${title}` : title;
    }

    function labelToggle() {
      toggle.textContent = `\u25d0 ${themed}`;
      toggle.setAttribute("aria-label", `Theme: ${themed}`);
    }

    const clock = (when) => when.toLocaleTimeString([], { hourCycle: "h23" });

    function onMessage(message) {
      const received = JSON.parse(message.data);
      if (agreed && received.version !== version) return location.reload(); // goodwatt was upgraded; load its script
      agreed ||= received.version === version;
      expect(seconds = received.interval_seconds);
      const old = received.at === at;
      at = received.at;
      failures = 0;
      if (old) return; // same snapshot: the exporter is up but has read nothing new
      patchChildren(live, received.live);
      showStatus("live", lost ? `live again since ${clock(new Date())}` : link.dataset.state === "live" ? link.textContent : "live");
      lost = null;
    }

    function expect(interval) {
      clearTimeout(watch);
      watch = setTimeout(connectionLost, Math.max(3 * interval + 2, 10) * 1000);
    }

    function connectionLost() {
      stop();
      lost ??= new Date();
      failures += 1;
      showLost();
      if (failures > 2) checkIfFull();
      again = setTimeout(listen, Math.min(1000 * 2 ** (failures - 1), 15000));
    }

    function showLost() {
      showStatus("lost", full ? `not live since ${clock(lost)}: too many pages are open`
        : `lost since ${clock(lost)}; showing the last figures received. Reconnecting`);
    }

    async function checkIfFull() { // EventSource does not report the HTTP status
      const answer = await fetch(events, { method: "HEAD" }).catch(() => null);
      full = answer?.status === 503;
      if (lost) showLost();
    }

    function stop() {
      source?.close();
      clearTimeout(again);
      clearTimeout(watch);
    }

    function listen() {
      stop();
      source = new EventSource(events);
      source.onmessage = onMessage;
      source.onerror = connectionLost;
      expect(seconds);
    }

    function followVisibility() { // disconnects while the page is hidden
      if (!paused && !document.hidden) return listen();
      stop();
      if (paused) showStatus("paused", `paused at ${clock(new Date())}`);
    }

    pause.hidden = toggle.hidden = false;
    pause.onclick = () => {
      paused = !paused;
      lost = at = null;
      pause.textContent = paused ? "Resume" : "Pause";
      if (!paused) showStatus("waiting", "connecting");
      followVisibility();
    };
    toggle.onclick = () => {
      themed = theme(THEMES[(THEMES.indexOf(themed) + 1) % THEMES.length]);
      storedTheme(themed);
      labelToggle();
    };
    labelToggle();
    document.addEventListener("visibilitychange", followVisibility);
    addEventListener("pagehide", stop);
    addEventListener("pageshow", (shownAgain) => shownAgain.persisted && followVisibility());
    showStatus("waiting", "connecting");
    followVisibility();
  }

  addEventListener("DOMContentLoaded", start);
})();
