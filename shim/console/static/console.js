// Theme, local times, and pages that update themselves. Without this script every page works, but stands still.

const root = document.documentElement;

document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function localTimes(within) {
  for (const time of within.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    const today = at.toDateString() === new Date().toDateString();
    time.title = time.dateTime;
    time.textContent = (today ? clock : calendar).format(at);
  }
}

// Nodes that stay the same are kept: with them the keyboard's place, what is scrolled and what is selected.
function become(part, wanted) {
  const kept = [...part.childNodes];
  const nodes = [...wanted.childNodes];
  nodes.forEach((node, place) => {
    const old = kept[place];
    if (old === undefined) part.append(node);
    else if (old.nodeName !== node.nodeName) old.replaceWith(node);
    else if (node.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== node.data) old.data = node.data;
    } else {
      for (const { name } of [...old.attributes]) {
        if (!node.hasAttribute(name)) old.removeAttribute(name);
      }
      for (const { name, value } of node.attributes) {
        if (old.getAttribute(name) !== value) old.setAttribute(name, value);
      }
      become(old, node);
    }
  });
  for (const old of kept.slice(nodes.length)) old.remove();
}

// If the link that has the keyboard's place has moved, the place moves with it.
function replace(id, html) {
  const part = document.getElementById(id);
  const link = (element) => element?.getAttribute("href") ?? null;
  const focused = part.contains(document.activeElement) ? link(document.activeElement) : null;
  const wanted = document.createElement("template");
  wanted.innerHTML = html;
  localTimes(wanted.content);
  become(part, wanted.content);
  if (focused !== null && link(document.activeElement) !== focused) {
    part.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  }
}

function listen(page) {
  const state = document.getElementById("live");
  const say = (word, ok) => {
    state.textContent = word;
    state.classList.toggle("on", ok);
  };
  let stream = null;
  const open = () => {
    stream = new EventSource(page.dataset.live);
    stream.addEventListener("parts", (event) => {
      for (const [id, html] of Object.entries(JSON.parse(event.data))) replace(id, html);
      say("live", true);
    });
    stream.addEventListener("error", () => {
      say("connection lost, trying again", false);
      // A browser gives up when a proxy answers for a shim that restarts.
      if (stream?.readyState === EventSource.CLOSED) {
        stream = null;
        setTimeout(() => stream === null && !document.hidden && open(), 5000);
      }
    });
  };
  // A page that nobody sees asks nothing of the server.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stream?.close();
      stream = null;
    } else if (stream === null) open();
  });
  addEventListener("pagehide", () => stream?.close());
  open();
}

localTimes(document);
const page = document.querySelector("[data-live]");
if (page) listen(page);
