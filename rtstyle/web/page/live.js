// The camera: to the server and painted back. How its pictures get there is in transport.js.
import { Capture } from "./capture.js";
import { $, ask, remember, say } from "./common.js";
import { Call, connect } from "./transport.js";

export class Live {
  constructor(options) {
    this.options = options;
    $("camera-on").addEventListener("click", () => this.start().catch((error) => this.fail(error)));
    $("camera-off").addEventListener("click", () => this.stop());
    this.capture = new Capture($("painted"));
    window.addEventListener("pagehide", () => this.stop());
  }

  async start() {
    say("");
    $("camera-on").disabled = true;
    if (!navigator.mediaDevices) throw new Error("the browser gives its camera only to https pages and to 127.0.0.1");
    this.camera = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 30 } },
    });
    await this.join();
  }

  async join() {
    $("live-empty").hidden = true;
    $("painted").hidden = false;
    this.note("Connecting");
    const camera = this.camera;
    let sent;
    const link = await connect(camera, () => sent = this.options(), (error) => this.lost(error));
    if (this.camera !== camera) return link.close();
    this.link = link;
    this.id = link.id;
    this.sent = JSON.stringify(sent);
    $("painted").srcObject = link.stream;
    $("painted").play().catch(() => {});
    $("live-stats").title = link.title;
    $("live-bar").hidden = $("live-keys").hidden = false;
    this.note("Loading the style");
    this.watch(0);
    this.change();
  }

  // A call that breaks off is made again the other way; the camera stays on.
  lost(error) {
    const link = this.link;
    if (!(link instanceof Call)) return this.fail(error);
    this.link = this.id = null;
    remember("way", "socket");
    link.close().then(() => this.join()).catch((other) => this.fail(other));
  }

  watch(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look().catch((error) => this.id && this.fail(error)), pause);
  }

  // What is wanted now; while an answer is awaited only the last wish counts.
  async change() {
    if (!this.id || this.changing) return;
    const wanted = this.options();
    if (JSON.stringify(wanted) === this.sent) return;
    this.changing = true;
    this.sent = JSON.stringify(wanted);
    try {
      await ask(`/api/live/${this.id}`, { method: "POST", body: wanted });
      this.watch(0);
    } catch (error) {
      say(error.message);
    }
    this.changing = false;
    this.change();
  }

  async look() {
    if (!this.id) return;
    const link = this.link;
    const found = await ask(`/api/live/${this.id}`);
    const delay = await link.delay(found.delay_ms);
    if (link !== this.link) return;
    const parts = [`${found.fps.toFixed(1)} fps`];
    if (delay !== null) parts.push(`${Math.round(delay)} ms`);
    if (found.size) parts.push(found.size.replace("x", "×"), found.backend);
    $("live-stats").textContent = parts.filter(Boolean).join("  ·  ");
    $("live-stats").hidden = false;
    $("live-stats").dataset.style = found.style;
    this.note(found.trouble || (found.loading ? "Loading the style" : ""));
    this.watch(found.loading ? 250 : 1000);
  }

  note(text) {
    $("live-note").textContent = text;
    $("live-note").hidden = !text;
  }

  fail(error) {
    this.stop();
    const known = { NotAllowedError: "the browser was not allowed to use the camera; allow it beside the address, then try again", NotFoundError: "there is no camera here", NotReadableError: "another program holds the camera" };
    say(known[error.name] || error.message);
  }

  stop() {
    this.capture.stop();
    clearTimeout(this.timer);
    for (const track of this.camera?.getTracks() ?? []) track.stop();
    this.link?.close();
    this.id = this.link = this.camera = this.sent = null;
    $("painted").hidden = true;
    $("painted").srcObject = null;
    $("live-empty").hidden = false;
    $("live-stats").hidden = true;
    $("live-bar").hidden = $("live-keys").hidden = true;
    $("camera-on").disabled = false;
    this.note("");
  }
}
