// Films and pictures: dropped or chosen, uploaded, previewed, started.
import { $, ask, AwayError, holding, percent, recall, remember, say, tries, upload } from "./common.js";
import { refresh } from "./jobs.js";
import { chosen } from "./styles.js";

let most = Infinity;
export const allow = (bytes) => { most = bytes; };
const start = (body) => ask("/api/jobs", { method: "POST", body: { style: chosen.style, strength: chosen.strength, ...body } });

function wait(place, text, share) {
  const [words, bar] = $(`${place}-wait`).children;
  words.textContent = text;
  bar.hidden = share === undefined;
  // Without a value it says that something goes on, not how far.
  if (share === null) bar.removeAttribute("value");
  else bar.value = share || 0;
  $(`${place}-wait`).hidden = !text;
}

/* Movie */
let film = recall("film", null);
let shown = "";
let sending = null;
function showFilm(found) {
  film = found;
  remember("film", film);
  $("movie-drop").hidden = !!film;
  $("movie-chosen").hidden = !film;
  $("movie-compare").hidden = true;
  $("movie-name").textContent = $("movie-name").title = film ? film.name : "";
  $("movie-start").disabled = !film?.id;
  wait("movie", "");
  shown = "";
}

// An upload that nothing was made of would only fill the disk.
async function forget() {
  sending?.abort();
  sending = null;
  const old = film?.id;
  showFilm(null);
  if (!old) return;
  const { jobs } = await ask("/api/jobs");
  if (!jobs.some((job) => job.upload === old && job.kind !== "preview")) await ask(`/api/uploads/${old}`, { method: "DELETE" });
}

export const takeFilm = tries(async (files) => {
  const [file] = files;
  await forget().catch(() => {});
  say(files.length > 1 ? `Films are taken one by one: of ${files.length} files this is ${file.name}.` : "");
  showFilm({ name: file.name });
  const mine = sending = new AbortController();
  wait("movie", "Uploading", 0);
  try {
    const found = await holding(() => upload(file, {
      most, signal: mine.signal, told: (share) => wait("movie", share < 1 ? `Uploading, ${percent(share)}` : "Storing", share),
    }));
    if (mine.signal.aborted) return;
    sending = null;
    if (found.is_picture) {
      await ask(`/api/uploads/${found.id}`, { method: "DELETE" });
      throw new Error(`${file.name} is a picture; drop it under Image`);
    }
    showFilm(found);
  } catch (error) {
    if (mine.signal.aborted) return;
    sending = null;
    showFilm(null);
    throw error;
  }
  await preview();
});

export const preview = tries(async () => {
  const wanted = film?.id && chosen.style && `${film.id} ${chosen.style} ${chosen.strength}`;
  if (!wanted || wanted === shown) return;
  shown = wanted;
  wait("movie", "Painting a picture of it", null);
  try {
    const job = await finished(await start({ kind: "preview", upload: film.id }), () => shown === wanted);
    if (!job) return;
    const [after, before] = $("movie-compare").querySelectorAll("img");
    after.src = `/api/jobs/${job.id}/result`;
    before.src = `/api/jobs/${job.id}/before`;
    await Promise.all([after.decode(), before.decode()]);
    if (shown !== wanted) return;
    $("movie-compare").style.setProperty("--ratio", after.naturalWidth / after.naturalHeight);
    $("movie-compare").hidden = false;
    wait("movie", "");
  } catch (error) {
    if (shown !== wanted) return;
    if (error instanceof AwayError) shown = "";
    else showFilm(null);
    throw error;
  }
});
async function finished(job, wanted) {
  while (job.state !== "done") {
    if (job.state === "failed" || job.state === "stopped") throw new Error(job.error || "the preview was stopped");
    await new Promise((wake) => setTimeout(wake, 300));
    if (!wanted()) return null;
    job = (await ask("/api/jobs")).jobs.find((one) => one.id === job.id);
    if (!job) return null;
  }
  return job;
}

const split = $("movie-compare").querySelector("input");
const cut = () => $("movie-compare").style.setProperty("--split", split.value);
split.addEventListener("input", cut);
cut();
$("movie-other").addEventListener("click", tries(async () => {
  say("");
  await forget();
  $("movie-file").focus();
}));
$("movie-start").addEventListener("click", tries(async () => {
  say("");
  $("movie-start").disabled = true;
  try {
    await start({ kind: "video", upload: film.id, container: $("movie-container").value, audio: $("movie-audio").value });
  } finally {
    $("movie-start").disabled = !film?.id;
  }
  await refresh();
}));

/* Image */
export const takePictures = tries(async (files) => {
  say("");
  const troubles = [];
  for (const [place, file] of files.entries()) {
    wait("image", `Uploading ${file.name}${files.length > 1 ? `, ${place + 1} of ${files.length}` : ""}`, place / files.length);
    try {
      const found = await holding(() => upload(file, { most, told: (share) => wait("image", $("image-wait").textContent, (place + share) / files.length) }));
      await start({ kind: "image", upload: found.id, format: $("image-format").value });
    } catch (error) {
      troubles.push(error.message);
    }
    await refresh().catch(() => {});
  }
  wait("image", "");
  if (troubles.length) throw new Error([...new Set(troubles)].join("; "));
});

/* Dropped and chosen. A file that misses the area is meant for it all the same. */
const takes = { movie: takeFilm, image: takePictures };
for (const place of Object.keys(takes)) {
  const input = $(`${place}-file`);
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) takes[place](files);
  });
}
export function watchDrops(show) {
  const over = (on) => document.body.classList.toggle("over", on);
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    over([...event.dataTransfer.types].includes("Files"));
  });
  // Without a related target the pointer has left the window, not only an element of it.
  window.addEventListener("dragleave", (event) => event.relatedTarget || over(false));
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const files = [...event.dataTransfer.files];
    if (!files.length) return;
    if (chosen.tab === "live") show(files[0].type.startsWith("image/") ? "image" : "movie");
    takes[chosen.tab](files);
  });
}

// The film that was chosen before a reload, where the server still has it.
export const restore = tries(async () => {
  if (sending) return;
  showFilm(film?.id ? film : null);
  await preview();
});
