// The camera: over WebRTC to the server and painted back.
import { ask, say } from "./app.js";

const $ = (id) => document.getElementById(id);

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
const stamp = () => new Date().toISOString().slice(0, 19).replaceAll(":", "-");

export class Live {
  constructor(options) {
    this.options = options;
    $("camera-on").addEventListener("click", () => this.start().catch((error) => this.fail(error)));
    $("camera-off").addEventListener("click", () => this.stop());
    $("snapshot").addEventListener("click", () => this.snapshot());
    $("record").addEventListener("click", () => this.record());
    window.addEventListener("pagehide", () => this.stop());
  }

  async start() {
    say("");
    $("camera-on").disabled = true;
    if (!navigator.mediaDevices) throw new Error("the browser gives its camera only to https pages and to 127.0.0.1");
    this.camera = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 30 } },
    });
    const peer = this.peer = new RTCPeerConnection();
    peer.addTransceiver(this.camera.getVideoTracks()[0], { direction: "sendrecv", streams: [this.camera] });
    peer.ontrack = ({ track, receiver }) => {
      // Now rather than smoothly.
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      $("painted").srcObject = new MediaStream([track]);
      $("painted").play().catch(() => {});
    };
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "failed") this.fail(new Error("the connection to rtstyle broke off"));
    };
    await peer.setLocalDescription(await peer.createOffer());
    await new Promise((done) => {
      if (peer.iceGatheringState === "complete") return done();
      peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && done();
      setTimeout(done, 2000);
    });
    $("live-empty").hidden = true;
    $("painted").hidden = false;
    this.note("Loading the style");
    const sent = this.options();
    const answer = await ask("/api/live", { method: "POST", body: { sdp: peer.localDescription.sdp, ...sent } });
    this.id = answer.id;
    await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    this.sent = JSON.stringify(sent);
    const [sender] = peer.getSenders();
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings || []) encoding.maxBitrate = 6e6;
    await sender.setParameters(parameters).catch(() => {});
    $("live-bar").hidden = false;
    this.timer = setInterval(() => this.look().catch((error) => this.fail(error)), 1000);
    this.change();
  }

  // What is wanted now; while an answer is awaited only the last wish counts.
  async change() {
    if (!this.id || this.changing) return;
    const wanted = this.options();
    if (JSON.stringify(wanted) === this.sent) return;
    this.changing = true;
    const before = this.sent ? JSON.parse(this.sent).style : "";
    if (before !== wanted.style) this.note("Loading the style");
    this.sent = JSON.stringify(wanted);
    try {
      await ask(`/api/live/${this.id}`, { method: "POST", body: wanted });
      this.note("");
    } catch (error) {
      say(error.message);
    }
    this.changing = false;
    this.change();
  }

  async look() {
    if (!this.id) return;
    const found = await ask(`/api/live/${this.id}`);
    let away = 0;
    for (const report of (await this.peer?.getStats())?.values() ?? []) {
      if (report.type === "candidate-pair" && report.nominated) away += 1000 * (report.currentRoundTripTime || 0);
      if (report.type === "inbound-rtp" && report.jitterBufferEmittedCount) {
        const [delay, count] = [report.jitterBufferDelay, report.jitterBufferEmittedCount];
        if (this.buffered && count > this.buffered[1]) away += 1000 * (delay - this.buffered[0]) / (count - this.buffered[1]);
        this.buffered = [delay, count];
      }
    }
    const parts = [`${found.fps.toFixed(1)} fps`];
    if (found.delay_ms !== null) parts.push(`${Math.round(found.delay_ms + away)} ms`);
    if (found.size) parts.push(found.size.replace("x", "×"), found.backend);
    $("live-stats").textContent = parts.filter(Boolean).join("  ·  ");
    $("live-stats").hidden = false;
    $("live-stats").dataset.style = found.style;
    this.note(found.trouble || (this.changing ? "Loading the style" : ""));
  }

  note(text) {
    $("live-note").textContent = text;
    $("live-note").hidden = !text;
  }

  fail(error) {
    this.stop();
    const known = { NotAllowedError: "the browser was not allowed to use the camera", NotFoundError: "there is no camera here", NotReadableError: "another program holds the camera" };
    say(known[error.name] || error.message);
  }

  snapshot() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [$("painted").videoWidth, $("painted").videoHeight];
    canvas.getContext("2d").drawImage($("painted"), 0, 0);
    canvas.toBlob((blob) => blob && save(blob, `rtstyle-${stamp()}.png`));
  }

  record() {
    if (this.recorder) return this.recorder.stop();
    const kinds = ["video/webm;codecs=vp9", "video/webm", "video/mp4"].filter((kind) => MediaRecorder.isTypeSupported(kind));
    const recorder = this.recorder = new MediaRecorder($("painted").srcObject, { mimeType: kinds[0], videoBitsPerSecond: 8e6 });
    const parts = [];
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      this.recorder = null;
      $("record").setAttribute("aria-pressed", false);
      $("record").textContent = "Record";
      const kind = recorder.mimeType.split(";")[0];
      save(new Blob(parts, { type: kind }), `rtstyle-${stamp()}.${kind.split("/")[1]}`);
    };
    recorder.start(1000);
    $("record").setAttribute("aria-pressed", true);
    $("record").textContent = "Stop recording";
  }

  stop() {
    this.recorder?.stop();
    clearInterval(this.timer);
    for (const track of this.camera?.getTracks() ?? []) track.stop();
    this.peer?.close();
    if (this.id) fetch(`/api/live/${this.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
    this.id = this.peer = this.camera = this.sent = this.buffered = null;
    $("painted").hidden = true;
    $("painted").srcObject = null;
    $("live-empty").hidden = false;
    $("live-stats").hidden = true;
    $("live-bar").hidden = true;
    $("camera-on").disabled = false;
    this.note("");
  }
}
