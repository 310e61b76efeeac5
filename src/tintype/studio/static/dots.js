// Colours that a person set: dots on the photograph, and the palette that opens for one.

import {named, swatch} from "./colors.js";
import {say} from "./said.js";

const GRAY = "#808080";
const CLICK = 4;
const SHEET = matchMedia("(max-width: 40rem)");  // where the palette lies below, and not beside

export class Dots {
  /**
   * `studio` has photo, takesHints(), cannot(), change(settings), suggest(place), colors and
   * settings.
   */
  constructor(view, studio) {
    this.view = view;
    this.studio = studio;
    this.box = document.getElementById("dots");
    this.palette = document.getElementById("palette");
    this.mark = document.getElementById("mark");  // the place that gets a colour
    this.free = document.getElementById("free");
    this.place = null;   // for which the palette is open
    this.index = -1;     // of the hint there, if there is one
    this.listen();
  }

  get hints() { return this.studio.settings?.hints ?? []; }

  /** Puts the dots where their places are. */
  draw() {
    const hints = this.view.photo ? this.hints : [];
    while (this.box.children.length > hints.length) this.box.lastChild.remove();
    while (this.box.children.length < hints.length) this.box.append(this.make(this.box.children.length));
    hints.forEach((hint, index) => {
      const dot = this.box.children[index];
      const {x, y} = this.view.toDesk({x: hint.x + 0.5, y: hint.y + 0.5});
      const moved = dot.dataset.moving ? JSON.parse(dot.dataset.moving) : null;
      dot.style.left = `${moved?.x ?? x}px`;
      dot.style.top = `${moved?.y ?? y}px`;
      dot.style.background = hint.color;
      dot.hidden = x < 0 || y < 0 || x > this.view.width || y > this.view.height;
      dot.setAttribute("aria-label", `Colour ${index + 1}: ${hint.color === GRAY ? "no colour" : named(hint.color)} at ${hint.x}, ${hint.y}`);
    });
    if (!this.palette.hidden) this.put();
  }

  make(index) {
    const dot = document.createElement("button");
    dot.type = "button";
    dot.className = "dot";
    let start = null;
    dot.addEventListener("pointerdown", (event) => {
      dot.setPointerCapture(event.pointerId);
      start = {x: event.clientX, y: event.clientY, moved: false};
    });
    dot.addEventListener("pointermove", (event) => {
      if (!start) return;
      start.moved ||= Math.hypot(event.clientX - start.x, event.clientY - start.y) > CLICK;
      if (!start.moved) return;
      dot.dataset.moving = JSON.stringify(this.at(event));
      this.draw();
    });
    const end = (event) => {
      const moved = start?.moved && event.type === "pointerup";
      const was = start;
      start = null;
      delete dot.dataset.moving;
      if (moved) this.move(index, this.view.toPhoto(this.at(event)));
      else this.draw();
      dot.dataset.dragged = was?.moved ? "yes" : "";
    };
    dot.addEventListener("pointerup", end);
    dot.addEventListener("pointercancel", end);
    dot.addEventListener("click", () => {
      if (!dot.dataset.dragged) this.open(this.hints[index], index);
      dot.dataset.dragged = "";
    });
    dot.addEventListener("keydown", (event) => this.key(event, index));
    return dot;
  }

  at(event) {
    const box = this.view.canvas.getBoundingClientRect();
    return {x: event.clientX - box.x, y: event.clientY - box.y};
  }

  key(event, index) {
    const step = (event.shiftKey ? 10 : 1) / Math.min(1, this.view.scale);
    const ways = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]};
    if (event.key in ways) {
      const [dx, dy] = ways[event.key], hint = this.hints[index];
      this.move(index, {x: hint.x + dx, y: hint.y + dy});
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.set(this.hints.filter((_, k) => k !== index));
      this.view.canvas.focus({preventScroll: true});
    } else {
      return;
    }
    event.preventDefault();
  }

  move(index, place) {
    const {width, height} = this.studio.photo.facts;
    const inside = (value, length) => Math.min(length - 1, Math.max(0, Math.round(value)));
    const moved = {...this.hints[index], x: inside(place.x, width), y: inside(place.y, height)};
    this.set(this.hints.map((hint, k) => (k === index ? moved : hint)));
  }

  set(hints) {
    this.studio.change({...this.studio.settings, hints});
    this.draw();
  }

  /** Opens the palette for a place, or for a dot. */
  async open(place, index = -1) {
    if (!this.studio.takesHints()) {
      this.studio.cannot();
      return;
    }
    this.place = place;
    this.index = index;
    document.getElementById("delete-dot").hidden = index < 0;
    if (index >= 0) this.free.value = this.hints[index].color;
    const used = document.getElementById("used"), likely = document.getElementById("likely");
    used.parentElement.hidden = !this.studio.colors.length;
    used.replaceChildren(...this.studio.colors.map((color) => this.offer(color, `${named(color)}, used before`)));
    likely.textContent = "…";
    this.palette.hidden = false;
    this.put();
    if (SHEET.matches) this.uncover();
    (used.querySelector("button") ?? document.getElementById("close-palette")).focus({preventScroll: true});
    let found = [];
    try {
      found = (await this.studio.suggest(place)).suggestions;
    } catch (error) {
      likely.textContent = error.message;
      return;
    }
    if (this.place !== place) return;
    likely.replaceChildren(...found.map((one) => {
      const share = Math.max(1, Math.round(100 * one.probability));
      return this.offer(one.color, `${named(one.color)}, ${share} % likely`);
    }));
    if (!found.length) likely.textContent = "no model here suggests colours";
    this.put();
    if (document.activeElement?.id === "close-palette") likely.querySelector("button")?.focus({preventScroll: true});
  }

  /** Scrolls the page until the place lies above the palette. */
  uncover() {
    const place = this.view.canvas.getBoundingClientRect().y + this.view.toDesk(this.place).y;
    const over = place + 40 - this.palette.getBoundingClientRect().y;
    if (over > 0) window.scrollBy(0, over);
  }

  offer(color, words) { return swatch(color, words, () => this.take(color)); }

  /** Gives the place a colour. */
  take(color) {
    if (this.place === null) return;
    const {x, y} = this.place;
    if (this.index >= 0) {
      this.set(this.hints.map((hint, k) => (k === this.index ? {...hint, color} : hint)));
    } else {
      this.set([...this.hints, {x, y, color}]);
    }
    this.close();
  }

  close() {
    const inside = this.palette.contains(document.activeElement);
    this.palette.hidden = this.mark.hidden = true;
    this.place = null;
    this.picking(false);
    if (inside) (this.box.children[this.index] ?? this.view.canvas).focus({focusVisible: false, preventScroll: true});
  }

  /** Whether the next click on the photograph takes its colour there. */
  picking(on) {
    this.picks = on ? {place: this.place, index: this.index} : null;
    this.view.canvas.parentElement.classList.toggle("picking", on);
  }

  /** Puts the palette beside its place, inside the desk. */
  put() {
    const desk = this.view.toDesk(this.place);
    this.mark.hidden = this.index >= 0;
    this.mark.style.left = `${desk.x}px`;
    this.mark.style.top = `${desk.y}px`;
    this.palette.style.left = this.palette.style.top = "";
    if (SHEET.matches) return;
    const {offsetWidth: width, offsetHeight: height} = this.palette;
    const room = {width: this.view.width, height: this.view.height};
    const left = desk.x + 18 + width < room.width ? desk.x + 18 : desk.x - 18 - width;
    this.palette.style.left = `${Math.max(4, Math.min(left, room.width - width - 4))}px`;
    this.palette.style.top = `${Math.max(4, Math.min(desk.y - height / 2, room.height - height - 4))}px`;
  }

  listen() {
    this.view.addEventListener("painted", () => this.draw());
    this.view.addEventListener("place", ({detail: place}) => {
      if (this.picks) {
        const {place: target, index} = this.picks;
        this.picking(false);
        Object.assign(this, {place: target, index});
        this.take(this.view.colorAt(place));
      } else {
        this.open(place);
      }
    });
    this.free.addEventListener("change", () => this.take(this.free.value));
    const on = (id, act) => document.getElementById(id).addEventListener("click", act);
    on("gray", () => this.take(GRAY));
    on("close-palette", () => this.close());
    on("pick", () => {
      this.picking(true);
      this.palette.hidden = true;
      say("Choose the place whose colour to take; with the keyboard, move the cross there and press Enter. Escape gives up.");
      this.view.canvas.focus({preventScroll: true});
    });
    on("delete-dot", () => {
      const kept = this.hints.filter((_, k) => k !== this.index);
      this.close();
      this.set(kept);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      if (this.picks) this.picking(false);
      if (!this.palette.hidden) this.close();
    });
  }
}
