// What the page asks of the server, and the socket that strokes leave by.

export async function fetchJson(path, options) {
  const answer = await fetch(path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.text || answer.statusText);
  return body;
}

const KINDS = { uint8: Uint8Array, uint16: Uint16Array };

// Layers of a sample: a JSON header, then arrays at the offsets that it names.
export async function fetchLayers(sample) {
  const answer = await fetch(`/api/layers/${sample}`);
  if (!answer.ok) throw new Error(`layers of image ${sample}: ${answer.status}`);
  const buffer = await answer.arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const layers = { ...header };
  for (const { name, dtype, offset, length: bytes } of header.arrays) {
    layers[name] = new KINDS[dtype](buffer.slice(8 + length + offset, 8 + length + offset + bytes));
  }
  return layers;
}

// The socket. Messages that need an answer ("saved" or "refused") are kept until it comes and sent again after a
// lost connection, so that no stroke is lost while the server restarts.
export class Socket {
  constructor(hear) {
    this.hear = hear;
    this.waiting = new Map();
    this.pause = 250;
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(`ws://${location.host}/ws`);
    this.socket.onopen = () => {
      this.pause = 250;
      this.hear({ type: "connected" });
      for (const message of this.waiting.values()) this.socket.send(JSON.stringify(message));
    };
    this.socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "saved" || message.type === "refused") this.waiting.delete(message.id);
      this.hear(message);
    };
    this.socket.onclose = () => {
      this.hear({ type: "disconnected" });
      setTimeout(() => this.connect(), this.pause);
      this.pause = Math.min(4000, this.pause * 2);
    };
  }

  // Something that changes labels: answered by its id.
  draw(message) {
    const id = crypto.randomUUID();
    this.waiting.set(id, { ...message, id });
    this.say({ ...message, id });
    return id;
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
