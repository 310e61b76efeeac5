// The filmstrip: every photograph with its progress and what is wrong with it; one stop of Tab.

import {reveal, rove, stop} from "./roving.js";

const DONE = {sending: 0.02, waiting: 0.05, reading: 0.3, coloring: 0.7};
const BUSY = ["sending", "waiting", "working"];
const STAGES = {reading: "reading", coloring: "colouring"};

/** One word for how a photograph is; none where it is well. */
function state(photo) {
  if (photo.state === "failed") return "failed";
  if (photo.state === "ready") return photo.facts.damage?.length ? "damaged" : "";
  return STAGES[photo.stage] ?? photo.state;
}

export class Film {
  /** `actions` has open(id), remove(id) and cancel(id). */
  constructor(list, actions) {
    this.list = list;
    this.actions = actions;
    this.items = new Map();
    rove(list, ".frame", (frame) => actions.open(frame.parentElement.dataset.id));
  }

  /** Draws one photograph, in its place by its number. */
  draw(photo, current) {
    const item = this.items.get(photo.id) ?? this.make(photo);
    const part = (selector) => item.querySelector(selector);
    const busy = BUSY.includes(photo.state), words = state(photo);
    const frame = part(".frame"), progress = part("progress"), drop = part(".drop"), image = part("img");
    item.dataset.state = photo.state;
    frame.setAttribute("aria-current", String(current));
    frame.title = [photo.name, photo.error, ...(photo.facts.damage ?? [])].filter(Boolean).join("\n");
    part(".name").textContent = photo.name;
    part(".state").textContent = words;
    part(".state").classList.toggle("bad", ["failed", "damaged"].includes(words));
    progress.hidden = !busy;
    progress.value = DONE[photo.stage] ?? DONE[photo.state] ?? 0;
    progress.setAttribute("aria-label", `${photo.name}: progress`);
    drop.setAttribute("aria-label", `${busy ? "Cancel" : "Remove"} ${photo.name}`);
    drop.onclick = () => (busy ? this.actions.cancel : this.actions.remove)(photo.id);
    if (photo.facts.width && image.dataset.version !== String(photo.version)) {
      image.dataset.version = photo.version;
      image.src = `session/photos/${photo.id}/thumbnail?v=${photo.version}`;
    }
  }

  /** Makes one the selected one, and shows it. */
  select(id) {
    const frame = this.items.get(id)?.querySelector(".frame");
    stop(this.list, ".frame", frame);
    if (frame) reveal(this.list, frame.parentElement);
  }

  remove(id) {
    const item = this.items.get(id);
    if (!item) return;
    const near = item.nextElementSibling ?? item.previousElementSibling;
    const focused = item.contains(document.activeElement);
    item.remove();
    this.items.delete(id);
    stop(this.list, ".frame", this.list.querySelector("[aria-current=true]"));
    if (focused) (near?.querySelector(".frame") ?? document.getElementById("add")).focus({preventScroll: true});
  }

  /** "9 coloured, 1 damaged, 1 failed", or how far it is. */
  summary(photos) {
    const count = (test) => photos.filter(test).length;
    const ready = count((photo) => photo.state === "ready"), busy = count((photo) => BUSY.includes(photo.state));
    const parts = [
      busy ? `${ready} of ${photos.length} coloured` : `${ready} coloured`,
      ...[["damaged", count((photo) => photo.facts.damage?.length)],
        ["failed", count((photo) => photo.state === "failed")],
        ["cancelled", count((photo) => photo.state === "cancelled")]]
        .filter(([, number]) => number).map(([word, number]) => `${number} ${word}`),
    ];
    return photos.length > 1 ? parts.join(", ") : "";
  }

  make({id, number}) {
    const item = document.createElement("li");
    item.dataset.id = id;
    item.dataset.number = number;
    const frame = document.createElement("button");
    frame.type = "button";
    frame.className = "frame";
    frame.tabIndex = -1;
    for (const [tag, name] of [["img", "picture"], ["span", "name"], ["span", "state"]]) {
      const part = document.createElement(tag);
      part.className = name;
      frame.append(part);
    }
    const image = frame.querySelector("img");
    image.alt = "";
    image.addEventListener("error", () => image.removeAttribute("src"));
    frame.addEventListener("click", () => this.actions.open(id));
    frame.addEventListener("keydown", (event) => {
      if (event.key === "Delete") drop.click();
    });
    const progress = document.createElement("progress");
    progress.max = 1;
    const drop = document.createElement("button");
    drop.type = "button";
    drop.className = "drop";
    drop.textContent = "×";
    drop.tabIndex = -1;  // on the keyboard Delete does the same
    item.append(frame, progress, drop);
    const later = [...this.list.children].find((other) => Number(other.dataset.number) > number);
    this.list.insertBefore(item, later ?? null);
    this.items.set(id, item);
    return item;
  }
}
