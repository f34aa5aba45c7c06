// Everything here is a convenience: each page reads without it.
const root = document.documentElement;
const saved = localStorage.getItem("theme");
if (saved) root.dataset.theme = saved;

const toast = (text) => {
  const box = document.getElementById("toast");
  if (!box) return;
  box.textContent = text;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (box.textContent = ""), 2500 + text.length * 40);
};

// One dialog asks before everything that cannot be undone.
const ask = (button, go) => {
  const dialog = document.createElement("dialog");
  const part = (tag, props, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    node.append(...children);
    return node;
  };
  const yes = part("button", { className: button.classList.contains("danger") ? "btn danger solid" : "btn primary", value: "yes" }, button.dataset.verb || button.textContent.trim());
  const no = part("button", { className: "btn", value: "", autofocus: true }, "Keep as it is");
  const [title, ...rest] = button.getAttribute("hx-confirm").split(" | ");
  dialog.append(part("form", { method: "dialog" }, part("h2", { id: "ask" }, title), ...rest.map((text) => part("p", {}, text)), part("div", { className: "actions" }, no, yes)));
  dialog.setAttribute("aria-labelledby", "ask");
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (dialog.returnValue) go();
  });
  document.body.append(dialog);
  dialog.showModal();
};

addEventListener("htmx:confirm", (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  ask(event.target, () => event.detail.issueRequest(true));
});

const reason = (xhr) => new DOMParser().parseFromString(xhr.responseText, "text/html").querySelector(".lead")?.textContent;
addEventListener("htmx:responseError", ({ detail: { xhr } }) => toast(xhr.status === 503 ? "Postgres is away; try again soon" : reason(xhr) || `Refused: ${xhr.status}`));
addEventListener("htmx:sendError", () => toast("Mailboat does not answer"));

// The clock of everything that updates by itself: it stops in a hidden tab, and when somebody presses "Live".
let live = true;
const tell = (name) => document.body.dispatchEvent(new CustomEvent(name));
setInterval(() => live && !document.hidden && tell("tick"), 5000);

// While the list is being drawn again, its answer may be older than news that arrives: then once more.
let healing = false;
const heals = (event) => event.target.id === "heal";
addEventListener("htmx:beforeRequest", (event) => {
  if (!heals(event)) return;
  if (live) healing = true;
  else event.preventDefault();
});
addEventListener("htmx:afterRequest", (event) => heals(event) && (healing = false));
addEventListener("htmx:sseBeforeMessage", (event) => {
  if (!live || healing) event.preventDefault();
  if (healing) tell("heal");
});

// Which mail is open, which were read in this browser, and no mail twice.
const KEPT = 1000;
const read = new Set(JSON.parse(localStorage.getItem("read") || "[]"));
const markRows = () => {
  const reader = document.querySelector(".reader[data-mail]");
  const open = reader?.checkVisibility() ? reader : null;
  if (open && !read.has(open.dataset.mail)) {
    read.add(open.dataset.mail);
    localStorage.setItem("read", JSON.stringify([...read].slice(-KEPT)));
  }
  const seen = new Set();
  for (const row of document.querySelectorAll(".mails a[id]")) {
    if (seen.has(row.id)) row.parentElement.remove();
    seen.add(row.id);
    row.classList.toggle("unread", !read.has(row.id));
    if (row.id === open?.dataset.mail) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
};

// The view and the width that one reads mail in stay from mail to mail, and from save to save.
const keepViews = () => {
  for (const name of ["view", "view-width"]) {
    const input = document.querySelector(`:is(.reader, #preview) input[name="${name}"][value="${sessionStorage.getItem(name)}"]`);
    if (input) input.checked = true;
  }
};
addEventListener("change", ({ target }) => target.matches(":is(.reader, #preview) [name^=view]") && sessionStorage.setItem(target.name, target.value));

// What was unfolded stays so when the page brings itself up to date.
let unfolded = [];
addEventListener("htmx:beforeSwap", () => (unfolded = [...document.querySelectorAll("details[id][open]")].map((one) => one.id)));
addEventListener("htmx:afterSwap", () => unfolded.forEach((id) => document.getElementById(id)?.setAttribute("open", "")));

addEventListener("DOMContentLoaded", () => {
  markRows();
  keepViews();
});
addEventListener("htmx:afterSettle", ({ target }) => {
  markRows();
  if (target.id === "preview") keepViews();
  if (target.id !== "mail") return;
  keepViews();
  const back = target.querySelector(".back");
  if (back?.checkVisibility()) back.focus();
});

addEventListener("click", async (event) => {
  const target = event.target.closest("[data-theme-next], [data-live], [data-copy]");
  if (!target) return;
  if ("themeNext" in target.dataset) {
    const dark = (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    localStorage.setItem("theme", (root.dataset.theme = dark ? "light" : "dark"));
  } else if ("live" in target.dataset) {
    live = !live;
    target.setAttribute("aria-pressed", live);
    if (live) tell("heal");
  } else if ("copy" in target.dataset) {
    await navigator.clipboard?.writeText(document.getElementById(target.dataset.copyFrom).textContent);
    target.dataset.done = "";
    toast("Copied");
    setTimeout(() => delete target.dataset.done, 1500);
  }
});

// How many are ticked; what acts on them waits until some are.
const markPicked = () => {
  const bar = document.getElementById("bulk");
  if (!bar) return;
  const boxes = [...document.querySelectorAll("main [name=id][type=checkbox]")];
  const count = boxes.filter((box) => box.checked).length;
  const all = bar.querySelector("[data-all]");
  all.checked = count > 0 && count === boxes.length;
  all.indeterminate = count > 0 && count < boxes.length;
  bar.querySelector("[data-picked]").textContent = count ? `${count} selected` : "None selected";
  for (const button of bar.querySelectorAll("[data-needs-picked]")) button.disabled = !count;
};
addEventListener("change", ({ target }) => {
  if ("all" in target.dataset) for (const box of document.querySelectorAll("main [name=id][type=checkbox]")) box.checked = target.checked;
  if (target.matches("[data-all], [name=id]")) markPicked();
});
addEventListener("DOMContentLoaded", markPicked);
addEventListener("htmx:afterSettle", markPicked);

// A plot's tooltip, written into its legend at once.
addEventListener("pointerover", ({ target }) => {
  const readout = target.closest?.(".hits rect") && target.closest("figure").querySelector(".readout");
  if (readout) readout.textContent = target.textContent;
});

// The template's example again: the browser puts it back after this event.
addEventListener("reset", ({ target }) => setTimeout(() => target.dispatchEvent(new Event("input", { bubbles: true }))));

addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
    const find = document.querySelector("main [data-find]") || document.querySelector("[data-find]");
    event.preventDefault();
    if (!find.checkVisibility()) document.getElementById("nav").showPopover();
    find.focus();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const row = document.activeElement.closest(".mails li");
    const next = event.key === "ArrowDown" ? row?.nextElementSibling : row?.previousElementSibling;
    if (!row) return;
    event.preventDefault();
    next?.querySelector("a")?.focus();
  }
});
