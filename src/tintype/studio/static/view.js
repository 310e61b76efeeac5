// The photograph on its desk: before and after, zoom and pan, the cross of the keyboard.

import {Tiles} from "./tiles.js";

const NEAREST = 8;      // screen pixels to a pixel of the photograph
const GRIP = {touch: 24, mouse: 14, pen: 14};  // pixels around the line that hold it
const CLICK = 5;        // pixels that a click may move

export class View extends EventTarget {
  /** `fetchPart(asked)` returns a bitmap of a part; asked.settings is null for before. */
  constructor(canvas, fetchPart) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.tiles = new Tiles(fetchPart, () => this.draw());
    this.mode = "slider";
    this.split = 0.5;
    this.photo = null;
    this.pointers = new Map();
    this.keyboard = false;
    this.cross = null;      // the place of the photograph that the keyboard is at
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.listen();
  }

  /**
   * Shows a photograph: facts {width, height, levels, tile}, pictures of its preview, what Before
   * is called, and how it was looked at, if it was.
   */
  open(facts, before, after, called, look = null) {
    const same = this.photo === facts;
    Object.assign(this, {photo: facts, before, after, called});
    if (same) return;
    this.tiles.forget("before");
    this.tiles.forget("after");
    this.cross = null;
    this.fit();
    if (look?.center && !look.fitted) {
      Object.assign(this, {scale: look.scale, center: look.center});
      this.moved();
    }
  }

  /** Takes another picture of the same photograph. */
  recolor(after) {
    this.after = after;
    this.tiles.forget("after");
    this.draw();
  }

  /** How it is looked at, for `open`. */
  get look() {
    const {mode, split, scale, center, fitted} = this;
    return {mode, split, scale, center, fitted};
  }

  get ratio() { return window.devicePixelRatio || 1; }
  get width() { return this.canvas.clientWidth; }
  get height() { return this.canvas.clientHeight; }
  /** The parts of the desk that show the photograph. */
  get panes() {
    if (this.mode !== "side") return [{x: 0, y: 0, width: this.width, height: this.height}];
    if (this.width >= this.height) {
      const width = this.width / 2 - 1;
      return [0, width + 2].map((x) => ({x, y: 0, width, height: this.height}));
    }
    const height = this.height / 2 - 1;
    return [0, height + 2].map((y) => ({x: 0, y, width: this.width, height}));
  }
  get fitting() {
    const pane = this.panes[0];
    return Math.min(pane.width / this.photo.width, pane.height / this.photo.height) * 0.97;
  }

  /** Whether the photograph is larger than its pane, so that there is a way to move it. */
  get roomy() {
    const pane = this.panes[0];
    return this.photo.width * this.scale > pane.width + 1 || this.photo.height * this.scale > pane.height + 1;
  }

  resize() {
    this.canvas.width = Math.max(1, Math.round(this.width * this.ratio));
    this.canvas.height = Math.max(1, Math.round(this.height * this.ratio));
    if (this.photo && this.fitted) this.fit(); else if (this.photo) this.moved();
  }

  fit() {
    if (!this.photo || !this.width) return;
    this.scale = this.fitting;
    this.center = {x: this.photo.width / 2, y: this.photo.height / 2};
    this.fitted = true;
    this.draw();
  }

  get least() { return Math.min(this.fitting, 1 / this.ratio); }

  /** Zooms to a scale (screen pixels a pixel) and keeps the place under a point where it is. */
  zoom(scale, point) {
    if (!this.photo) return;
    const pane = this.paneAt(point);
    const middle = {x: pane.x + pane.width / 2, y: pane.y + pane.height / 2};
    const at = point ?? middle;
    const before = this.toPhoto(at);
    this.scale = Math.min(NEAREST, Math.max(this.least, scale));
    this.center = {
      x: before.x - (at.x - middle.x) / this.scale,
      y: before.y - (at.y - middle.y) / this.scale,
    };
    this.moved();
  }

  /** Moves the photograph by screen pixels. */
  pan(dx, dy) {
    if (!this.photo) return;
    this.center = {x: this.center.x - dx / this.scale, y: this.center.y - dy / this.scale};
    this.moved();
  }

  /** Keeps the photograph in its frame. */
  moved() {
    const pane = this.panes[0];
    for (const [axis, side, room] of [["x", this.photo.width, pane.width], ["y", this.photo.height, pane.height]]) {
      const half = room / 2 / this.scale;
      this.center[axis] = side <= 2 * half ? side / 2 : Math.min(side - half, Math.max(half, this.center[axis]));
    }
    this.fitted = Math.abs(this.scale / this.fitting - 1) < 1e-3;
    this.draw();
  }

  paneAt(point) {
    const inside = (p) => point && point.x >= p.x && point.x < p.x + p.width && point.y >= p.y && point.y < p.y + p.height;
    return this.panes.find(inside) ?? this.panes.at(-1);
  }

  /** The place of the photograph under a point of the desk. */
  toPhoto(point) {
    const pane = this.paneAt(point);
    return {
      x: this.center.x + (point.x - pane.x - pane.width / 2) / this.scale,
      y: this.center.y + (point.y - pane.y - pane.height / 2) / this.scale,
    };
  }

  /** The point of the desk where a place of the photograph lies, in the pane that has colours. */
  toDesk(place) {
    const pane = this.panes.at(-1);
    return {
      x: pane.x + pane.width / 2 + (place.x - this.center.x) * this.scale,
      y: pane.y + pane.height / 2 + (place.y - this.center.y) * this.scale,
    };
  }

  draw() {
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => { this.asked = 0; this.paint(); });
  }

  paint() {
    const {context, ratio} = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    if (!this.photo || !this.center) return;
    const [first, last] = [this.panes[0], this.panes.at(-1)];
    if (this.mode === "side") {
      this.layer("before", first, first);
      this.layer("after", last, last);
    } else if (this.mode === "color") {
      this.layer("after", last, last);
    } else {
      const line = this.split * this.width;
      this.layer("before", last, {...last, width: line});
      this.layer("after", last, {...last, x: line, width: this.width - line});
      context.fillStyle = "#000";
      context.fillRect(line - 2, 0, 4, this.height);
      context.fillStyle = "#fff";
      context.fillRect(line - 1, 0, 2, this.height);
    }
    if (this.mode !== "color") {
      this.label(this.called, first, "left");
      this.label("After", last, this.mode === "side" ? "left" : "right");
    }
    if (this.keyboard && this.cross) this.paintCross(this.toDesk(this.cross));
    this.canvas.style.touchAction = this.roomy ? "none" : "pan-y";
    this.dispatchEvent(new Event("painted"));
  }

  /** A cross in a ring, which shows on the line and on every colour. */
  paintCross({x, y}) {
    const {context} = this;
    for (const [color, width] of [["#000", 5], ["#fff", 2]]) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x - 14, y); context.lineTo(x + 14, y);
      context.moveTo(x, y - 14); context.lineTo(x, y + 14);
      context.moveTo(x + 9, y); context.arc(x, y, 9, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** Names a side, in as many words as there is room for beside the line. */
  label(words, pane, side) {
    const {context} = this, line = this.split * this.width;
    context.font = "600 13px system-ui, sans-serif";
    const width = context.measureText(words).width + 14;
    const x = side === "left" ? pane.x + 6 : pane.x + pane.width - width - 6;
    if (this.mode === "slider" && (side === "left" ? x + width > line : x < line)) {
      const shorter = words.split(/[:,]/).length - 1;
      if (shorter) this.label(words.split(/(?=[:,])/).slice(0, shorter).join(""), pane, side);
      return;
    }
    context.fillStyle = "rgba(0, 0, 0, .62)";
    context.fillRect(x, pane.y + 6, width, 22);
    context.fillStyle = "#fff";
    context.textBaseline = "middle";
    context.fillText(words, x + 7, pane.y + 17.5);
  }

  /** Paints before or after as it lies in a pane, where a box shows it. */
  layer(which, pane, box) {
    const {context, photo, scale} = this;
    context.save();
    context.beginPath();
    context.rect(box.x, box.y, box.width, box.height);
    context.clip();
    const left = pane.x + pane.width / 2 - this.center.x * scale;
    const top = pane.y + pane.height / 2 - this.center.y * scale;
    context.imageSmoothingQuality = "high";
    context.imageSmoothingEnabled = scale < 3;
    const picture = this[which];
    if (picture) context.drawImage(picture, left, top, photo.width * scale, photo.height * scale);
    if (picture && scale * this.ratio > 1.05 * picture.width / photo.width) {
      this.tiles.paint(context, which, photo, scale, this.ratio, box, left, top);
    }
    context.restore();
  }

  /** The colour of the picture at a place, as #rrggbb. */
  colorAt(place) {
    const probe = new OffscreenCanvas(1, 1).getContext("2d");
    const {after, photo} = this;
    probe.drawImage(after, place.x * after.width / photo.width, place.y * after.height / photo.height, 1, 1, 0, 0, 1, 1);
    const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
    return "#" + [red, green, blue].map((n) => n.toString(16).padStart(2, "0")).join("");
  }

  moveSplit(split) {
    this.split = Math.min(1, Math.max(0, split));
    this.dispatchEvent(new Event("split"));
    this.draw();
  }

  choosePlace(place) {
    const {width, height} = this.photo;
    if (place.x < 0 || place.y < 0 || place.x >= width || place.y >= height) return;
    const inside = {x: Math.min(width - 1, Math.floor(place.x)), y: Math.min(height - 1, Math.floor(place.y))};
    this.dispatchEvent(new CustomEvent("place", {detail: inside}));
  }

  listen() {
    const {canvas} = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return {x: event.clientX - box.x, y: event.clientY - box.y};
    };
    canvas.addEventListener("wheel", (event) => {
      if (!this.photo || (event.deltaY > 0 && this.scale <= this.least)) return;  // the page scrolls
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 30 : 1;
      this.zoom(this.scale * Math.exp(-event.deltaY * lines / 400), at(event));
    }, {passive: false});
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.photo || event.button > 0) return;
      canvas.setPointerCapture(event.pointerId);
      const point = at(event);
      this.pointers.set(event.pointerId, point);
      this.start = point;
      this.dragged = this.pointers.size > 1;
      this.grip = this.mode === "slider" && Math.abs(point.x - this.split * this.width) < GRIP[event.pointerType];
      this.keyboard = false;
      this.draw();
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const point = at(event);
      if (!this.dragged && Math.hypot(point.x - this.start.x, point.y - this.start.y) < CLICK) return;
      this.dragged = true;
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
      this.pointers.set(event.pointerId, point);
      if (other) {
        const spread = (p) => Math.hypot(p.x - other.x, p.y - other.y) || 1;
        const middle = {x: (point.x + other.x) / 2, y: (point.y + other.y) / 2};
        this.pan((point.x - before.x) / 2, (point.y - before.y) / 2);
        this.zoom(this.scale * spread(point) / spread(before), middle);
      } else if (this.grip) {
        this.moveSplit(point.x / this.width);
      } else if (this.roomy) {
        this.pan(point.x - before.x, point.y - before.y);
      }
    });
    for (const type of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(type, (event) => {
        const point = this.pointers.get(event.pointerId);
        this.pointers.delete(event.pointerId);
        if (point && type === "pointerup" && !this.dragged) this.choosePlace(this.toPhoto(point));
      });
    }
    for (const type of ["touchstart", "touchmove"]) {  // two fingers are for the photograph
      canvas.addEventListener(type, (event) => {
        if (event.touches.length > 1 && event.cancelable) event.preventDefault();
      }, {passive: false});
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => {
      this.keyboard = canvas.matches(":focus-visible") && !this.pointers.size;
      this.cross ??= this.photo && {...this.center};
      this.draw();
    });
    canvas.addEventListener("blur", () => { this.keyboard = false; this.draw(); });
  }

  /** Moves the cross by screen pixels, and the photograph where the cross would leave the pane. */
  moveCross(dx, dy) {
    const {width, height} = this.photo, pane = this.panes.at(-1);
    const inside = (value, most) => Math.min(most - 0.5, Math.max(0.5, value));
    this.cross = {x: inside(this.cross.x + dx / this.scale, width), y: inside(this.cross.y + dy / this.scale, height)};
    const desk = this.toDesk(this.cross);
    const beyond = (at, from, room) => Math.min(0, at - from - 40) + Math.max(0, at - from - room + 40);
    this.pan(-beyond(desk.x, pane.x, pane.width), -beyond(desk.y, pane.y, pane.height));
  }

  key(event) {
    if (!this.photo || event.ctrlKey || event.metaKey || event.altKey) return;
    this.cross ??= {...this.center};
    const step = event.shiftKey ? 100 : 10;
    const zoom = (scale) => this.zoom(scale, this.toDesk(this.cross));
    const keys = {
      ArrowLeft: () => this.moveCross(-step, 0),
      ArrowRight: () => this.moveCross(step, 0),
      ArrowUp: () => this.moveCross(0, -step),
      ArrowDown: () => this.moveCross(0, step),
      "+": () => zoom(this.scale * 1.25),
      "=": () => zoom(this.scale * 1.25),
      "-": () => zoom(this.scale / 1.25),
      0: () => this.fit(),
      1: () => zoom(1 / this.ratio),
      "[": () => this.moveSplit(this.split - 0.02),
      "]": () => this.moveSplit(this.split + 0.02),
      Enter: () => this.choosePlace(this.cross),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    this.keyboard = true;
    act();
    this.draw();
  }
}
