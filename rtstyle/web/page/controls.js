// The camera's picture by hand: keys as in the window of rtstyle live, and the split by pointer.
import { $, recall, remember, say } from "./common.js";
import { chosen, slide, step } from "./styles.js";

const KEY = 0.1;
const turned = (id, one) => slide(id, Number($(id).value) > 0 ? 0 : one);
const wishes = {
  n: () => step(1),
  p: () => step(-1),
  ArrowUp: () => slide("strength", Number($("strength").value) + KEY),
  ArrowDown: () => slide("strength", Number($("strength").value) - KEY),
  c: () => turned("colour", 1),
  b: () => turned("split", 0.5),
  s: () => $("snapshot").click(),
  r: () => $("record").click(),
  f: () => $("full").click(),
  q: () => $("camera-off").click(),
};

// Where a key has a meaning of its own, it keeps it.
function isTaken(event) {
  const at = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || at.matches("select, input:not([type=range], [type=checkbox])")) return true;
  return event.key.startsWith("Arrow") && at.matches("input[type=range], [role=radio], [role=tab]");
}

window.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return say("");
  const wish = wishes[event.key] || wishes[event.key?.toLowerCase()];
  if (!wish || chosen.tab !== "live" || $("painted").hidden || !$("keys-on").checked || isTaken(event)) return;
  event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) wish();
});

// Whoever types by voice or by a switch must be able to turn single letters off.
$("keys-on").checked = recall("keys", true);
$("keys-on").addEventListener("change", () => remember("keys", $("keys-on").checked));

const stage = $("live-stage");
stage.addEventListener("pointerdown", (event) => {
  if ($("painted").hidden || !Number($("split").value)) return;
  stage.setPointerCapture(event.pointerId);
  drag(event);
});
stage.addEventListener("pointermove", (event) => stage.hasPointerCapture(event.pointerId) && drag(event));
function drag(event) {
  const video = $("painted");
  const box = video.getBoundingClientRect();
  // The picture keeps its shape, so it may leave a border at both sides.
  const width = Math.min(box.width, (box.height * video.videoWidth) / video.videoHeight);
  const place = (event.clientX - box.left - (box.width - width) / 2) / width;
  slide("split", Math.min(1, Math.max(0.01, place)));
}

$("painted").addEventListener("resize", () => {
  const { videoWidth, videoHeight } = $("painted");
  if (videoHeight) stage.style.setProperty("--ratio", videoWidth / videoHeight);
});
$("full").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen().catch(() => say("this browser shows nothing in full screen here"));
});
