// The films and pictures that are being painted, or are done.
import { $, ask, AwayError, element, LockedError, percent, say, tries } from "./common.js";
import { titles } from "./styles.js";

const BUSY_MS = 500;
const IDLE_MS = 4000;
const AWAY_MS = 1500;

const clock = (seconds) => {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return (hours ? [hours, String(minutes).padStart(2, "0")] : [minutes]).concat(String(rest).padStart(2, "0")).join(":");
};
const amount = (bytes) => bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
const words = { queued: "waiting", running: "painting", done: "done", failed: "failed", stopped: "stopped" };
const isOpen = (job) => job.state === "running" || job.state === "queued";

function share(job) {
  const now = job.progress;
  return now?.frames_expected ? Math.min(1, now.frames_done / now.frames_expected) : null;
}
function describe(job) {
  const now = job.progress;
  const parts = [titles[job.style] || job.style];
  if (job.strength < 1) parts.push(`${percent(job.strength)} strong`);
  if (job.state === "done") {
    if (job.report.frames) parts.push(`${job.report.frames} frames`);
    parts.push(amount(job.bytes));
  } else if (now && job.state === "running") {
    parts.push(now.frames_expected ? `${now.frames_done} of ${now.frames_expected} frames` : `${now.frames_done} frames`);
    if (now.fps > 0) parts.push(`${now.fps.toFixed(1)} a second`);
    if (now.eta_seconds !== null && !job.stopping) parts.push(`${clock(now.eta_seconds)} left`);
  }
  return parts.join(" · ");
}
function state(job) {
  if (job.state === "running" && job.stopping) return "stopping";
  if (job.state === "done" && job.report.lossy) return "done, with loss";
  return job.state === "running" && job.doing === "checking" ? "checking" : words[job.state];
}

function act(word, path, method = "POST") {
  const button = element("button", { type: "button", textContent: word });
  button.addEventListener("click", tries(async () => {
    say("");
    button.disabled = true;
    try {
      await ask(path, { method });
    } finally {
      button.disabled = false;
    }
    await refresh();
  }));
  return button;
}
function result(job, here) {
  if (job.kind === "image") return element("img", { src: `${here}/result`, alt: `${job.name}, painted` });
  const video = element("video", { src: `${here}/result`, controls: true, preload: "metadata", playsInline: true });
  video.setAttribute("aria-label", `${job.name}, painted`);
  video.addEventListener("error", () => video.replaceWith(element("p", { textContent: "This browser cannot play it; download it." })));
  return video;
}
function draw(job) {
  const here = `/api/jobs/${job.id}`;
  const item = element("li", { className: job.report.lossy ? `${job.state} lossy` : job.state });
  item.dataset.job = job.id;
  item.append(
    element("div", { className: "head" },
      element("span", { className: "name", textContent: job.name, title: job.name }),
      element("span", { className: "state" })),
    element("p", { className: "facts" }));
  if (job.state === "running") {
    const bar = element("progress", { max: 1 });
    bar.setAttribute("role", "progressbar");
    bar.setAttribute("aria-label", `${job.name}, progress`);
    item.append(bar);
  }
  if (job.error) item.append(element("p", { className: "error", textContent: job.error }));
  for (const note of job.report.notes || []) item.append(element("p", { textContent: `Note: ${note}` }));
  if (job.state === "done") item.append(result(job, here));
  const bar = element("div", { className: "bar" });
  if (job.state === "done") bar.append(element("a", { className: "button", href: `${here}/result`, download: job.result, textContent: "Download" }));
  if (isOpen(job)) bar.append(act("Cancel", `${here}/stop`));
  if (job.can_resume) bar.append(act(job.kind === "video" ? "Resume" : "Try again", `${here}/resume`));
  if (job.state !== "running") bar.append(act("Remove", here, "DELETE"));
  for (const one of bar.children) one.setAttribute("aria-label", `${one.textContent} ${job.name}`);
  item.append(bar);
  return item;
}
// What changes many times; the rest of an item stays the same elements as long as its state does.
function write(item, job) {
  for (const [part, text] of [[".state", state(job)], [".facts", describe(job)]]) {
    const place = item.querySelector(part);
    if (place.textContent !== text) place.textContent = text;
  }
  const bar = item.querySelector("progress");
  if (bar && share(job) !== null) bar.value = share(job);
  const cancel = bar && item.querySelector(".bar button");
  if (cancel && job.stopping) cancel.disabled = true;
}

const drawn = new Map();
function itemOf(job) {
  const key = JSON.stringify([job.state, job.error, job.can_resume, job.report, job.bytes]);
  let known = drawn.get(job.id);
  if (known?.key !== key) {
    const item = draw(job);
    const focus = known?.item.contains(document.activeElement) && document.activeElement.textContent;
    if (focus !== undefined && focus !== false) {
      requestAnimationFrame(() => {
        const all = [...item.querySelectorAll("button, a")];
        (all.find((one) => one.textContent === focus) || all[0])?.focus();
      });
    }
    drawn.set(job.id, known = { key, item });
  }
  write(known.item, job);
  return known.item;
}

let timer = 0;
let turn = 0;
export async function refresh() {
  clearTimeout(timer);
  const mine = ++turn;
  let pause = AWAY_MS;
  try {
    const { jobs } = await ask("/api/jobs");
    // An answer that was overtaken by a later question is old.
    if (mine !== turn) return;
    pause = jobs.some(isOpen) ? BUSY_MS : IDLE_MS;
    const known = new Set(jobs.map((job) => job.id));
    for (const id of drawn.keys()) if (!known.has(id)) drawn.delete(id);
    for (const [kind, place] of [["video", "movie"], ["image", "image"]]) {
      const list = $(`${place}-jobs`);
      const items = jobs.filter((job) => job.kind === kind).reverse().map(itemOf);
      $(`${place}-jobs-title`).hidden = !items.length;
      if (items.length !== list.children.length || items.some((item, at) => item !== list.children[at])) list.replaceChildren(...items);
    }
    const now = jobs.find((job) => job.state === "running" && job.kind === "video");
    document.title = now && share(now) !== null ? `${percent(share(now))} · rtstyle` : "rtstyle";
  } catch (error) {
    // Only the address opens it again, which loads the page anew.
    if (error instanceof LockedError) pause = null;
    throw error;
  } finally {
    if (mine === turn && pause !== null) timer = setTimeout(() => refresh().catch(complain), pause);
  }
}
export const countJobs = () => drawn.size;
const complain = (error) => {
  if (!(error instanceof AwayError)) say(error.message);
};
