// Messages, badges and states that are rarely seen together.
() => {
  for (const id of ["notice", "away", "live-note", "live-bar", "live-keys", "live-stats"])
    document.getElementById(id).hidden = false;
  for (const [id, text] of [["notice-text", "A message"], ["live-note", "Loading"], ["live-stats", "20.0 fps"]])
    document.getElementById(id).textContent = text;
  document.getElementById("record").setAttribute("aria-pressed", true);
}
