// The styles to choose from, and how strongly they are laid on.
import { $, element, percent, recall, remember } from "./common.js";

// What is chosen, kept over a reload.
export const chosen = { tab: "live", style: "", strength: 1, ...recall("chosen", {}) };
export const keep = () => remember("chosen", chosen);
export const titles = {};

let names = [];
let changed = () => {};
const picture = (name) => `/api/styles/${encodeURIComponent(name)}/picture`;
const button = (name) => [...$("gallery").children].find((one) => one.dataset.style === name);

export function choose(name) {
  chosen.style = name;
  keep();
  for (const one of $("gallery").children) {
    const on = one.dataset.style === name;
    one.setAttribute("aria-checked", on);
    one.tabIndex = on ? 0 : -1;
  }
  if ($("live-scene").getAttribute("src") !== picture(name)) $("live-scene").src = picture(name);
  reveal(button(name));
  changed(true);
}

// Inside the gallery only: the page itself stays where it is.
function reveal(one) {
  const [gallery, room] = [$("gallery"), 8];
  for (const [at, size, scroll] of [["offsetTop", "offsetHeight", "scrollTop"], ["offsetLeft", "offsetWidth", "scrollLeft"]]) {
    const inner = size === "offsetHeight" ? gallery.clientHeight : gallery.clientWidth;
    if (one[at] - room < gallery[scroll]) gallery[scroll] = one[at] - room;
    else if (one[at] + one[size] + room > gallery[scroll] + inner) gallery[scroll] = one[at] + one[size] + room - inner;
  }
}

export function step(by) {
  if (names.length) choose(names[(names.indexOf(chosen.style) + by + names.length) % names.length]);
}

function tile(style) {
  const shown = element("img", { alt: "", loading: "lazy", src: picture(style.name) });
  // The name alone says enough; why it cannot be shown is said when it is used.
  shown.addEventListener("error", () => shown.classList.add("missing"));
  const made = element("button", { type: "button", title: `${style.title} (${style.name}, ${style.licence})` },
    shown, element("span", { textContent: style.title }));
  made.setAttribute("role", "radio");
  made.dataset.style = style.name;
  made.addEventListener("click", () => choose(style.name));
  made.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (by) step(by);
    else if (event.key === "Home") choose(names[0]);
    else if (event.key === "End") choose(names.at(-1));
    else return;
    event.preventDefault();
    button(chosen.style).focus({ preventScroll: true });
  });
  return made;
}

export function fillGallery(styles) {
  const found = styles.map((style) => style.name);
  if (found.join() === names.join()) return;
  names = found;
  for (const style of styles) titles[style.name] = style.title;
  $("gallery").replaceChildren(...styles.map(tile));
  choose(names.includes(chosen.style) ? chosen.style : names[0]);
}

const words = { strength: percent, colour: percent, split: (value) => (value > 0 ? percent(value) : "off") };
const write = (id) => { $(`${id}-value`).textContent = words[id](Number($(id).value)); };

export function slide(id, value) {
  $(id).value = Math.min(1, Math.max(0, value));
  $(id).dispatchEvent(new Event("input"));
  $(id).dispatchEvent(new Event("change"));
}

// `told` hears of every change; its argument says whether it is one to paint a new preview for.
export function watchStyles(told) {
  changed = told;
  $("strength").value = chosen.strength;
  for (const id of Object.keys(words)) {
    write(id);
    $(id).addEventListener("input", () => {
      write(id);
      if (id === "strength") {
        chosen.strength = Number($(id).value);
        keep();
      }
      changed(false);
    });
  }
  $("strength").addEventListener("change", () => changed(true));
}
