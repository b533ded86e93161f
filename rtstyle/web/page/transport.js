// The two ways of the camera's pictures to rtstyle and back: WebRTC, and a WebSocket where that does
// not connect (without a network, or where it is switched off).
import { ask, recall, remember } from "./common.js";

const CONNECT_MS = 4000;
const MOST_ON_THEIR_WAY = 2;
// How long before rtstyle is done with one the next is sent: time enough to arrive, and no older.
const AHEAD_MS = 80;
const MOST_PIXELS = 1920 * 1080;
const QUALITY = 0.85;
const BROKEN = "the connection to rtstyle broke off";

// The first way that works. `lost` is told when it breaks off. Each way has the server's `id`, a
// `stream` to show, `delay(server's)` in milliseconds, a `title`, and `close()`.
export async function connect(camera, options, lost) {
  if (window.RTCPeerConnection && recall("way", "") !== "socket") {
    const call = new Call(lost);
    try {
      await call.open(camera, options());
      return call;
    } catch {
      // Its place on the server is free before the other way asks for one.
      await call.close();
    }
  }
  const socket = new Socket(lost);
  try {
    await socket.open(camera, options());
  } catch (error) {
    socket.close();
    throw error;
  }
  remember("way", "socket");
  return socket;
}

const hangUp = (id) => fetch(`/api/live/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});

export class Call {
  title = "The pictures go over WebRTC";
  constructor(lost) {
    this.lost = lost;
  }

  async open(camera, options) {
    const peer = this.peer = new RTCPeerConnection();
    peer.addTransceiver(camera.getVideoTracks()[0], { direction: "sendrecv", streams: [camera] });
    peer.ontrack = ({ track, receiver }) => {
      // Now rather than smoothly.
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      this.stream = new MediaStream([track]);
    };
    await peer.setLocalDescription(await peer.createOffer());
    await new Promise((done) => {
      if (peer.iceGatheringState === "complete") return done();
      peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && done();
      setTimeout(done, 2000);
    });
    const answer = await ask("/api/live", { method: "POST", body: { sdp: peer.localDescription.sdp, ...options } });
    this.id = answer.id;
    await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    await new Promise((done, fail) => {
      const look = () => {
        if (peer.connectionState === "connected") done();
        if (peer.connectionState === "failed" || peer.connectionState === "closed") fail(new Error(BROKEN));
      };
      peer.onconnectionstatechange = look;
      setTimeout(() => fail(new Error("WebRTC does not connect")), CONNECT_MS);
      look();
    });
    peer.onconnectionstatechange = () => peer.connectionState === "failed" && this.lost(new Error(BROKEN));
    const [sender] = peer.getSenders();
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings || []) encoding.maxBitrate = 6e6;
    await sender.setParameters(parameters).catch(() => {});
  }

  // The server's own, the way there and back, and the wait in the browser.
  async delay(painting) {
    if (painting === null) return null;
    let away = 0;
    for (const report of (await this.peer?.getStats())?.values() ?? []) {
      if (report.type === "candidate-pair" && report.nominated) away += 1000 * (report.currentRoundTripTime || 0);
      if (report.type === "inbound-rtp" && report.jitterBufferEmittedCount) {
        const [delay, count] = [report.jitterBufferDelay, report.jitterBufferEmittedCount];
        if (this.buffered && count > this.buffered[1]) away += 1000 * (delay - this.buffered[0]) / (count - this.buffered[1]);
        this.buffered = [delay, count];
      }
    }
    return painting + away;
  }

  async close() {
    const { peer, id } = this;
    this.peer = this.id = null;
    if (peer) peer.onconnectionstatechange = null;
    peer?.close();
    if (id) await hangUp(id);
  }
}

export class Socket {
  title = "The pictures go over a WebSocket, since WebRTC does not connect here";
  constructor(lost) {
    this.lost = lost;
    this.sent = this.answered = this.shown = 0;
    this.answeredAt = this.gap = 0;
    this.left = new Map();
    this.delays = [];
  }

  async open(camera, options) {
    const video = this.video = document.createElement("video");
    video.muted = video.playsInline = true;
    video.srcObject = camera;
    await video.play();
    const canvas = this.canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    this.context = canvas.getContext("2d");
    const path = `/api/live/socket?options=${encodeURIComponent(JSON.stringify(options))}`;
    const socket = this.socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`);
    socket.binaryType = "arraybuffer";
    try {
      await new Promise((done, fail) => {
        socket.onmessage = ({ data }) => {
          this.id = JSON.parse(data).id;
          done();
        };
        socket.onclose = fail;
      });
    } catch {
      // A refused handshake tells scripts no reason; the same question as a request does.
      await ask(path);
      throw new Error("the connection to rtstyle could not be made");
    }
    socket.onmessage = ({ data }) => this.show(data).catch((error) => this.lost(error));
    socket.onclose = ({ reason }) => this.lost(new Error(reason || BROKEN));
    this.stream = canvas.captureStream();
    this.send().catch((error) => this.lost(error));
  }

  async send() {
    const { video, socket } = this;
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d", { alpha: false });
    while (socket.readyState === WebSocket.OPEN) {
      await new Promise((wake) => {
        video.requestVideoFrameCallback?.(wake);
        // Hidden pages are told of no frames.
        setTimeout(wake, video.requestVideoFrameCallback ? 250 : 33);
      });
      // What the camera gives meanwhile is left out: the next to go is the newest.
      const ahead = this.sent - this.answered;
      const taken = performance.now();
      if (ahead >= MOST_ON_THEIR_WAY || !video.videoWidth) continue;
      if (ahead && taken - this.answeredAt < this.gap - AHEAD_MS) continue;
      const share = Math.min(1, Math.sqrt(MOST_PIXELS / (video.videoWidth * video.videoHeight)));
      const [width, height] = [video.videoWidth, video.videoHeight].map((side) => Math.floor(side * share));
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      context.drawImage(video, 0, 0, width, height);
      const jpeg = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
      if (!jpeg || socket.readyState !== WebSocket.OPEN) continue;
      const number = new DataView(new ArrayBuffer(4));
      number.setUint32(0, ++this.sent);
      this.left.set(this.sent, taken);
      socket.send(new Blob([number, jpeg]));
    }
  }

  async show(data) {
    const number = new DataView(data).getUint32(0);
    const now = performance.now();
    if (this.answered) this.gap += (now - this.answeredAt - this.gap) / 4;
    [this.answered, this.answeredAt] = [number, now];
    const picture = await createImageBitmap(new Blob([new Uint8Array(data, 4)], { type: "image/jpeg" }));
    if (number > this.shown) {
      this.shown = number;
      const { canvas } = this;
      if (canvas.width !== picture.width || canvas.height !== picture.height) [canvas.width, canvas.height] = [picture.width, picture.height];
      this.context.drawImage(picture, 0, 0);
      this.delays = [...this.delays, performance.now() - this.left.get(number)].slice(-30);
    }
    picture.close();
    for (const old of this.left.keys()) if (old <= number) this.left.delete(old);
  }

  // Measured here, from the camera's picture to the painted one.
  async delay() {
    return this.delays.length ? [...this.delays].sort((one, other) => one - other)[this.delays.length >> 1] : null;
  }

  async close() {
    if (this.socket) this.socket.onclose = this.socket.onmessage = null;
    this.socket?.close();
    if (this.video) this.video.srcObject = null;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
  }
}
