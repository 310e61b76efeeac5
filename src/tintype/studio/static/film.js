// The filmstrip: every photograph with its progress, cancel, and what is wrong with it.

const DONE = {waiting: 0.05, reading: 0.3, coloring: 0.7};
const BUSY = ["sending", "waiting", "working"];

function state(photo) {
  if (photo.state === "ready" || photo.state === "failed") return "";
  if (photo.state === "cancelled") return "cancelled";
  if (photo.state === "sending") return "sending";
  return {reading: "reading", coloring: "colouring"}[photo.stage] ?? "waiting";
}

export class Film {
  /** `actions` has open(id), remove(id), cancel(id) and again(id). */
  constructor(list, actions) {
    this.list = list;
    this.actions = actions;
    this.items = new Map();
  }

  /** Draws one photograph, in its place by its number. */
  draw(photo, current) {
    let item = this.items.get(photo.id);
    if (!item) {
      item = this.make(photo.id);
      const later = [...this.list.children].find((other) => Number(other.dataset.number) > photo.number);
      item.dataset.number = photo.number;
      this.list.insertBefore(item, later ?? null);
      this.items.set(photo.id, item);
    }
    const part = (selector) => item.querySelector(selector);
    const busy = BUSY.includes(photo.state);
    const frame = part(".frame"), progress = part("progress");
    item.dataset.state = photo.state;
    frame.disabled = !photo.facts?.width;
    frame.setAttribute("aria-current", String(current));
    part(".name").textContent = photo.name;
    part(".name").title = photo.name;
    part(".state").textContent = state(photo);
    part(".error").textContent = photo.error ?? "";
    part(".error").hidden = !photo.error;
    progress.hidden = !busy;
    progress.value = photo.state === "sending" ? 0.02 : DONE[photo.stage] ?? DONE.waiting;
    progress.setAttribute("aria-label", `${photo.name}: progress`);
    const drop = part(".drop");
    drop.textContent = "×";
    drop.setAttribute("aria-label", `${busy ? "Cancel" : "Remove"} ${photo.name}`);
    drop.onclick = () => (busy ? this.actions.cancel : this.actions.remove)(photo.id);
    part(".again").hidden = !["cancelled", "failed"].includes(photo.state);
    const image = part("img");
    if (photo.facts?.width && image.dataset.version !== String(photo.version)) {
      image.dataset.version = photo.version;
      image.src = `session/photos/${photo.id}/thumbnail?v=${photo.version}`;
    }
    image.alt = "";
  }

  remove(id) {
    this.items.get(id)?.remove();
    this.items.delete(id);
  }

  make(id) {
    const item = document.createElement("li");
    item.dataset.id = id;
    const frame = document.createElement("button");
    frame.type = "button";
    frame.className = "frame";
    for (const [tag, name] of [["img", "picture"], ["span", "name"], ["span", "state"]]) {
      const part = document.createElement(tag);
      part.className = name;
      frame.append(part);
    }
    frame.addEventListener("click", () => this.actions.open(id));
    const progress = document.createElement("progress");
    progress.max = 1;
    const error = document.createElement("p");
    error.className = "error";
    const drop = document.createElement("button");
    drop.type = "button";
    drop.className = "drop";
    const again = document.createElement("button");
    again.type = "button";
    again.className = "again link";
    again.textContent = "Try again";
    again.addEventListener("click", () => this.actions.again(id));
    item.append(frame, progress, error, again, drop);
    return item;
  }
}
