// The camera: over WebRTC to the server and painted back.
import { Capture } from "./capture.js";
import { $, ask, say } from "./common.js";

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
    $("live-bar").hidden = $("live-keys").hidden = false;
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
    const known = { NotAllowedError: "the browser was not allowed to use the camera; allow it beside the address, then try again", NotFoundError: "there is no camera here", NotReadableError: "another program holds the camera" };
    say(known[error.name] || error.message);
  }

  stop() {
    this.capture.stop();
    clearInterval(this.timer);
    for (const track of this.camera?.getTracks() ?? []) track.stop();
    this.peer?.close();
    if (this.id) fetch(`/api/live/${this.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
    this.id = this.peer = this.camera = this.sent = this.buffered = null;
    $("painted").hidden = true;
    $("painted").srcObject = null;
    $("live-empty").hidden = false;
    $("live-stats").hidden = true;
    $("live-bar").hidden = $("live-keys").hidden = true;
    $("camera-on").disabled = false;
    this.note("");
  }
}
