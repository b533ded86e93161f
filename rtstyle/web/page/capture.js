// Keeping what the camera became: a picture of it, or a recording.
import { $, element, holding, say } from "./common.js";

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  // The browser reads it after the click; a minute is ample to begin.
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
const stamp = () => new Date().toISOString().slice(0, 19).replaceAll(":", "-");

export class Capture {
  constructor(video) {
    this.video = video;
    $("snapshot").addEventListener("click", () => this.snapshot());
    $("record").addEventListener("click", () => this.record());
  }

  snapshot() {
    if (!this.video.videoWidth) return;
    const canvas = element("canvas", { width: this.video.videoWidth, height: this.video.videoHeight });
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    canvas.toBlob((blob) => blob && save(blob, `rtstyle-${stamp()}.png`));
  }

  record() {
    if (this.recorder) return this.stop();
    if (!this.video.srcObject) return;
    const kinds = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
    const kind = window.MediaRecorder && kinds.find((one) => MediaRecorder.isTypeSupported(one));
    if (!kind) return say("this browser cannot record; rtstyle live --record can");
    const recorder = this.recorder = new MediaRecorder(this.video.srcObject, { mimeType: kind, videoBitsPerSecond: 8e6 });
    const parts = [];
    recorder.ondataavailable = (event) => event.data.size && parts.push(event.data);
    recorder.onerror = ({ error }) => say(`the recording ended: ${error?.message || "the browser does not say why"}`);
    holding(() => new Promise((done) => { recorder.onstop = done; })).then(() => {
      clearInterval(this.timer);
      if (this.recorder === recorder) this.recorder = null;
      this.show(null);
      const type = kind.split(";")[0];
      if (parts.length) save(new Blob(parts, { type }), `rtstyle-${stamp()}.${type.split("/")[1]}`);
      else say("nothing was recorded");
    });
    recorder.start(1000);
    const began = performance.now();
    this.show(0);
    this.timer = setInterval(() => this.show((performance.now() - began) / 1000), 500);
  }

  stop() {
    if (this.recorder && this.recorder.state !== "inactive") this.recorder.stop();
  }

  show(seconds) {
    const on = seconds !== null;
    const clock = on && `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
    $("record").setAttribute("aria-pressed", on);
    $("record").textContent = on ? `Stop recording ${clock}` : "Record";
  }
}
