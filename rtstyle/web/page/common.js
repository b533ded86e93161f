// What all parts of the page use: the server, messages, words.

export const $ = (id) => document.getElementById(id);
export const percent = (value) => `${Math.round(value * 100)} %`;
export const mebibytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`;

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Kept over a reload, or not at all: browsers may forbid it, and it may be of another version.
export function recall(key, otherwise) {
  try {
    return JSON.parse(sessionStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}
export function remember(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Then the page begins anew after a reload.
  }
}

/* Messages */
export function say(message) {
  $("notice-text").textContent = message || "";
  $("notice").hidden = !message;
}
$("notice-close").addEventListener("click", () => say(""));

// The server is away, or does not know this page: that stands in a place of its own until it is
// over, not in a message.
export class AwayError extends Error {}
export class LockedError extends AwayError {}

export const tries = (work) => (...given) => Promise.resolve(work(...given)).catch((error) => {
  if (!(error instanceof AwayError)) say(error.message);
});

/* The server */
let away = false;
function heard(answered) {
  if (away === !answered) return;
  away = !answered;
  $("away").hidden = !away;
  if (!away) window.dispatchEvent(new Event("back"));
}

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
    $("locked").hidden = true;
    heard(false);
    throw new AwayError("rtstyle does not answer. Is it still running?");
  }
  $("locked").hidden = answer.status !== 401;
  if (answer.status === 401) {
    away = false;
    $("away").hidden = true;
    throw new LockedError("rtstyle does not know this page");
  }
  heard(true);
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.error || `the server answered ${answer.status}`);
  return found;
}

// fetch tells nothing of how far an upload is.
export function upload(file, { told = () => {}, signal, most = Infinity } = {}) {
  if (file.size > most) return Promise.reject(new Error(`${file.name} is too large (${mebibytes(file.size)}); at most ${mebibytes(most)} are taken`));
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/uploads?name=${encodeURIComponent([...file.name].slice(-200).join(""))}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = (event) => told(event.loaded / Math.max(1, event.total));
    request.onload = () => request.status === 200
      ? done(request.response)
      : failed(new Error(request.response?.error || `the server answered ${request.status}`));
    request.onerror = () => failed(new Error(`the upload of ${file.name} broke off; try it again`));
    request.onabort = () => failed(new DOMException("given up", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

// What would be lost by leaving the page: uploads and recordings that are not done.
const unfinished = new Set();
export async function holding(work) {
  const mark = {};
  unfinished.add(mark);
  try {
    return await work();
  } finally {
    unfinished.delete(mark);
  }
}
window.addEventListener("beforeunload", (event) => {
  if (unfinished.size) event.preventDefault();
});
