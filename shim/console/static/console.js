// Theme, local times, and the live dashboard. Without this script every page works, but stands still.

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

// A part that is replaced keeps the keyboard's place: the same link is focused again.
function replace(id, html) {
  const part = document.getElementById(id);
  const focused = part.contains(document.activeElement)
    ? document.activeElement.getAttribute("href")
    : null;
  part.innerHTML = html;
  localTimes(part);
  if (focused !== null) part.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
}

function listen(dashboard) {
  const state = document.getElementById("live");
  const say = (word, ok) => {
    state.textContent = word;
    state.classList.toggle("on", ok);
  };
  let stream = null;
  const open = () => {
    stream = new EventSource(dashboard.dataset.live);
    stream.addEventListener("parts", (event) => {
      for (const [id, html] of Object.entries(JSON.parse(event.data))) replace(id, html);
      say("live", true);
    });
    stream.addEventListener("error", () => say("connection lost, trying again", false));
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
const dashboard = document.querySelector("[data-live]");
if (dashboard) listen(dashboard);
