// The page: styles, films and pictures. The camera is in live.js.
import { Live } from "./live.js";

const $ = (id) => document.getElementById(id);
const percent = (value) => `${Math.round(value * 100)} %`;

export async function ask(path, { method = "GET", body, ...rest } = {}) {
  const options = { method, ...rest };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json", ...rest.headers };
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("rtstyle does not answer. Is it still running?");
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.error || `the server answered ${answer.status}`);
  return found;
}

export function say(message) {
  $("notice").textContent = message || "";
  $("notice").hidden = !message;
}

const tries = (work) => (...given) => Promise.resolve(work(...given)).catch((error) => say(error.message));

// What is chosen, kept over a reload.
const chosen = { tab: "live", style: "", strength: 1, ...JSON.parse(sessionStorage.getItem("chosen") || "{}") };
const keep = () => sessionStorage.setItem("chosen", JSON.stringify(chosen));

let titles = {};
let most = Infinity;
const live = new Live(() => ({
  style: chosen.style,
  strength: chosen.strength,
  keep_colour: Number($("colour").value),
  split: Number($("split").value),
}));

/* Tabs */
const tabs = ["live", "movie", "image"];
function show(name) {
  for (const tab of tabs) {
    const on = tab === name;
    $(tab).hidden = !on;
    $(`tab-${tab}`).setAttribute("aria-selected", on);
    $(`tab-${tab}`).tabIndex = on ? 0 : -1;
  }
  for (const label of document.querySelectorAll(".live-only")) label.hidden = name !== "live";
  chosen.tab = name;
  keep();
}
tabs.forEach((name, place) => {
  $(`tab-${name}`).addEventListener("click", () => show(name));
  $(`tab-${name}`).addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(place + step + tabs.length) % tabs.length];
    show(next);
    $(`tab-${next}`).focus();
  });
});

/* Styles */
function choose(name) {
  chosen.style = name;
  keep();
  for (const button of $("gallery").children) {
    const on = button.dataset.style === name;
    button.setAttribute("aria-checked", on);
    button.tabIndex = on ? 0 : -1;
  }
  live.change();
  preview();
}
function fillGallery(styles) {
  titles = Object.fromEntries(styles.map((style) => [style.name, style.title]));
  $("gallery").replaceChildren(...styles.map((style, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("role", "radio");
    button.dataset.style = style.name;
    button.title = `${style.name}, ${style.licence}`;
    const picture = document.createElement("img");
    picture.alt = "";
    picture.src = `/api/styles/${encodeURIComponent(style.name)}/picture`;
    const title = document.createElement("span");
    title.textContent = style.title;
    button.append(picture, title);
    button.addEventListener("click", () => choose(style.name));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = styles[(place + step + styles.length) % styles.length].name;
      choose(next);
      $("gallery").querySelector(`[data-style="${next}"]`).focus();
    });
    return button;
  }));
  choose(styles.some((style) => style.name === chosen.style) ? chosen.style : styles[0].name);
}
for (const [id, word] of [["strength", percent], ["colour", percent], ["split", (v) => (v > 0 ? percent(v) : "off")]]) {
  $(id).addEventListener("input", () => {
    const value = Number($(id).value);
    $(`${id}-value`).textContent = word(value);
    if (id === "strength") {
      chosen.strength = value;
      keep();
    }
    live.change();
  });
}
$("strength").addEventListener("change", () => preview());

/* Uploads */
function upload(file, told) {
  if (file.size > most) return Promise.reject(new Error(`${file.name} is too large; at most ${Math.round(most / 2 ** 20)} MiB`));
  // fetch tells nothing of how far an upload is.
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/uploads?name=${encodeURIComponent(file.name.slice(-200))}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = (event) => told(event.loaded / Math.max(1, event.total));
    request.onload = () => request.status === 200
      ? done(request.response)
      : failed(new Error(request.response?.error || `the server answered ${request.status}`));
    request.onerror = () => failed(new Error("the upload broke off; try it again"));
    request.send(file);
  });
}
function droppable(area, input, take) {
  const over = (on) => (event) => {
    event.preventDefault();
    area.classList.toggle("over", on);
  };
  area.addEventListener("dragover", over(true));
  area.addEventListener("dragleave", over(false));
  area.addEventListener("drop", (event) => {
    over(false)(event);
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  });
  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
    input.value = "";
  });
}
// A file that misses the area must not replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

/* Movie */
let film = JSON.parse(sessionStorage.getItem("film") || "null");
let shown = "";
function showFilm(found) {
  film = found;
  sessionStorage.setItem("film", JSON.stringify(film));
  $("movie-drop").hidden = !!film;
  $("movie-chosen").hidden = !film;
  $("movie-compare").hidden = true;
  $("movie-name").textContent = film ? film.name : "";
  shown = "";
}
const takeFilm = tries(async ([file]) => {
  say("");
  showFilm({ name: file.name });
  $("movie-start").disabled = true;
  try {
    showFilm(await upload(file, (share) => { $("movie-wait").textContent = `Uploading, ${percent(share)}`; }));
  } catch (error) {
    showFilm(null);
    throw error;
  }
  $("movie-start").disabled = false;
  await preview();
});
const preview = tries(async () => {
  const wanted = film?.id && `${film.id} ${chosen.style} ${chosen.strength}`;
  if (!wanted || wanted === shown || !chosen.style) return;
  shown = wanted;
  $("movie-wait").textContent = "Painting a picture of it";
  const started = await ask("/api/jobs", { method: "POST", body: { kind: "preview", upload: film.id, style: chosen.style, strength: chosen.strength } }).catch((error) => {
    // A film of an earlier server.
    showFilm(null);
    throw error;
  });
  for (;;) {
    await new Promise((wake) => setTimeout(wake, 400));
    if (shown !== wanted) return;
    const job = (await ask("/api/jobs")).jobs.find((one) => one.id === started.id);
    if (!job) return;
    if (job.state === "failed") {
      $("movie-wait").textContent = "";
      showFilm(null);
      throw new Error(job.error);
    }
    if (job.state === "done") break;
  }
  const [after, before] = $("movie-compare").querySelectorAll("img");
  after.src = `/api/jobs/${started.id}/result`;
  before.src = `/api/jobs/${started.id}/before`;
  await Promise.all([after.decode(), before.decode()]);
  $("movie-compare").style.aspectRatio = `${after.naturalWidth} / ${after.naturalHeight}`;
  $("movie-compare").hidden = false;
  $("movie-wait").textContent = "";
});
const split = $("movie-compare").querySelector("input");
const cut = () => {
  $("movie-compare").querySelector(".before").style.clipPath = `inset(0 ${100 - split.value * 100}% 0 0)`;
};
split.addEventListener("input", cut);
cut();
$("movie-other").addEventListener("click", () => showFilm(null));
$("movie-start").addEventListener("click", tries(async () => {
  say("");
  await ask("/api/jobs", { method: "POST", body: {
    kind: "video", upload: film.id, style: chosen.style, strength: chosen.strength,
    container: $("movie-container").value, audio: $("movie-audio").value,
  } });
  await refresh();
}));
droppable($("movie-drop"), $("movie-file"), takeFilm);

/* Image */
droppable($("image-drop"), $("image-file"), tries(async (files) => {
  say("");
  for (const file of files) {
    const found = await upload(file, () => {});
    await ask("/api/jobs", { method: "POST", body: {
      kind: "image", upload: found.id, style: chosen.style, strength: chosen.strength, format: $("image-format").value,
    } });
    await refresh();
  }
}));

/* Jobs */
const clock = (seconds) => {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return (hours ? [hours, String(minutes).padStart(2, "0")] : [minutes]).concat(String(rest).padStart(2, "0")).join(":");
};
const amount = (bytes) => bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
const words = { queued: "waiting", running: "painting", done: "done", failed: "failed", stopped: "stopped" };
function describe(job) {
  const now = job.progress;
  if (job.state === "done") return `${job.report.frames ? `${job.report.frames} frames, ` : ""}${amount(job.bytes)}`;
  if (!now || job.state !== "running") return "";
  const parts = [now.frames_expected ? `${now.frames_done} of ${now.frames_expected} frames` : `${now.frames_done} frames`];
  if (now.fps > 0) parts.push(`${now.fps.toFixed(1)} a second`);
  if (now.eta_seconds !== null) parts.push(`${clock(now.eta_seconds)} left`);
  return parts.join(", ");
}
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
function act(job, word, path, method = "POST") {
  const button = element("button", { type: "button", textContent: word });
  button.addEventListener("click", tries(async () => {
    say("");
    button.disabled = true;
    await ask(path, { method });
    await refresh();
  }));
  return button;
}
function draw(job) {
  const item = element("li", { className: job.state });
  item.dataset.job = job.id;
  const state = job.state === "running" && job.doing === "checking" ? "checking" : job.state === "running" && job.stopping ? "stopping" : words[job.state];
  item.append(element("div", { className: "head" },
    element("span", { className: "name", textContent: job.name, title: job.name }),
    element("span", { className: "state", textContent: state })));
  item.append(element("p", { textContent: [titles[job.style] || job.style, percent(job.strength), describe(job)].filter(Boolean).join(" · ") }));
  if (job.state === "running" || job.state === "queued") {
    const bar = element("progress", { max: 1 });
    bar.setAttribute("aria-label", `${job.name}: progress`);
    if (job.progress?.frames_expected) bar.value = Math.min(1, job.progress.frames_done / job.progress.frames_expected);
    item.append(bar);
  }
  if (job.error) item.append(element("p", { className: "error", textContent: job.error }));
  for (const note of job.report.notes || []) item.append(element("p", { textContent: `Note: ${note}` }));
  const here = `/api/jobs/${job.id}`;
  if (job.state === "done") {
    item.append(job.kind === "image"
      ? element("img", { src: `${here}/result`, alt: `${job.name}, painted` })
      : element("video", { src: `${here}/result`, controls: true, preload: "metadata", playsInline: true }));
  }
  const bar = element("div", { className: "bar" });
  if (job.state === "done") bar.append(element("a", { className: "button", href: `${here}/result`, download: job.result, textContent: "Download" }));
  if (job.state === "running" || job.state === "queued") bar.append(act(job, "Cancel", `${here}/stop`));
  if (job.can_resume) bar.append(act(job, job.kind === "video" ? "Resume" : "Try again", `${here}/resume`));
  if (job.state !== "running") bar.append(act(job, "Remove", here, "DELETE"));
  item.append(bar);
  return item;
}
const drawn = new Map();
let timer = 0;
async function refresh() {
  clearTimeout(timer);
  let busy = false;
  try {
    const { jobs } = await ask("/api/jobs");
    for (const [kind, place] of [["video", "movie"], ["image", "image"]]) {
      const list = $(`${place}-jobs`);
      const mine = jobs.filter((job) => job.kind === kind).reverse();
      $(`${place}-jobs-title`).hidden = !mine.length;
      const items = mine.map((job) => {
        busy ||= job.state === "running" || job.state === "queued";
        // What did not change is left alone: a film goes on playing, a button keeps its focus.
        const key = JSON.stringify(job);
        const old = drawn.get(job.id);
        if (old?.key === key) return old.item;
        const item = draw(job);
        const focus = old?.item.contains(document.activeElement) && document.activeElement.textContent;
        drawn.set(job.id, { key, item });
        if (focus) requestAnimationFrame(() => [...item.querySelectorAll("button, a")].find((one) => one.textContent === focus)?.focus());
        return item;
      });
      if (items.length !== list.children.length || items.some((item, at) => item !== list.children[at])) list.replaceChildren(...items);
    }
  } finally {
    timer = setTimeout(() => refresh().catch((error) => say(error.message)), busy ? 500 : 4000);
  }
}

/* Start */
tries(async () => {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", "/");
    await ask("/api/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  }
  $("strength").value = chosen.strength;
  $("strength-value").textContent = percent(chosen.strength);
  show(chosen.tab);
  const about = await ask("/api/about");
  most = about.max_upload_bytes;
  $("version").textContent = `rtstyle ${about.version}`;
  showFilm(film?.id ? film : null);
  fillGallery(about.styles);
  await refresh();
})();
