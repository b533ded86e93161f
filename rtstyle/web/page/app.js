// The page as a whole: its tabs, and how its parts hear of each other.
import { $, ask, say, tries } from "./common.js";
import "./controls.js";
import { allow, preview, restore, watchDrops } from "./files.js";
import { countJobs, refresh } from "./jobs.js";
import { Live } from "./live.js";
import { chosen, fillGallery, keep, watchStyles } from "./styles.js";

const live = new Live(() => ({
  style: chosen.style,
  strength: chosen.strength,
  keep_colour: Number($("colour").value),
  split: Number($("split").value),
}));

const tabs = ["live", "movie", "image"];
function show(name) {
  for (const tab of tabs) {
    const on = tab === name;
    $(tab).hidden = !on;
    if (tab !== "live") $(`${tab}-list`).hidden = !on;
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
    const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: -1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const tab = tabs.at(next % tabs.length);
    show(tab);
    $(`tab-${tab}`).focus();
  });
});

async function meet() {
  const about = await ask("/api/about");
  allow(about.max_upload_bytes);
  $("version").textContent = `rtstyle ${about.version}`;
  fillGallery(about.styles);
  await restore();
  await refresh();
}

// The server was away: it may be another one now, with other styles and without the files.
window.addEventListener("back", tries(async () => {
  const before = countJobs();
  await meet();
  if (countJobs() < before) say("rtstyle was started anew; files and results of before are gone");
}));

// The token of the address becomes a cookie, and goes out of the address line.
async function unlock() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return false;
  history.replaceState(null, "", "/");
  await ask("/api/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  return true;
}
// The printed address, opened in a tab that is here already, loads nothing by itself.
window.addEventListener("hashchange", tries(async () => {
  if (await unlock()) location.reload();
}));

tries(async () => {
  await unlock();
  watchStyles((settled) => {
    live.change();
    if (settled) preview();
  });
  watchDrops(show);
  show(tabs.includes(chosen.tab) ? chosen.tab : "live");
  await meet().catch((error) => {
    refresh().catch(() => {});
    throw error;
  });
})();
