// The photograph on its desk: before and after, zoom and pan, tiles where it is zoomed into.

const MOST_TILES = 150;
const AT_ONCE = 2;
const NEAREST = 8;      // screen pixels to a pixel of the photograph
const GRIP = 14;        // pixels around the line that hold it
const CLICK = 5;        // pixels that a click may move

export class View extends EventTarget {
  /** `fetchPart(asked)` returns a bitmap of a part; asked.settings is null for before. */
  constructor(canvas, fetchPart) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.fetchPart = fetchPart;
    this.mode = "slider";
    this.split = 0.5;
    this.photo = null;
    this.tiles = new Map();
    this.loading = 0;
    this.pointers = new Map();
    this.keyboard = false;
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.listen();
  }

  /** Shows a photograph: facts {width, height, levels, tile}, and pictures of its preview. */
  open(facts, before, after) {
    const same = this.photo === facts;
    Object.assign(this, {photo: facts, before, after});
    if (!same) {
      this.tiles.clear();
      this.fit();
    }
  }

  /** Takes another picture of the same photograph. */
  recolor(after) {
    this.after = after;
    for (const key of this.tiles.keys()) if (key.startsWith("after")) this.tiles.delete(key);
    this.draw();
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

  resize() {
    this.canvas.width = Math.max(1, Math.round(this.width * this.ratio));
    this.canvas.height = Math.max(1, Math.round(this.height * this.ratio));
    if (this.photo && this.fitted) this.fit(); else this.draw();
  }

  fit() {
    if (!this.photo || !this.width) return;
    this.scale = this.fitting;
    this.center = {x: this.photo.width / 2, y: this.photo.height / 2};
    this.fitted = true;
    this.draw();
  }

  /** Zooms to a scale (screen pixels a pixel) and keeps the place under a point where it is. */
  zoom(scale, point) {
    if (!this.photo) return;
    const pane = this.paneAt(point);
    const middle = {x: pane.x + pane.width / 2, y: pane.y + pane.height / 2};
    const at = point ?? middle;
    const before = this.toPhoto(at);
    this.scale = Math.min(NEAREST, Math.max(Math.min(this.fitting, 1 / this.ratio) / 2, scale));
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

  moved() {
    const {width, height} = this.photo;
    this.center.x = Math.min(width, Math.max(0, this.center.x));
    this.center.y = Math.min(height, Math.max(0, this.center.y));
    this.fitted = false;
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
    if (this.keyboard) this.cross(last);
    this.dispatchEvent(new Event("painted"));
  }

  cross(pane) {
    const {context} = this;
    const x = Math.round(pane.x + pane.width / 2), y = Math.round(pane.y + pane.height / 2);
    for (const [color, width] of [["#000", 4], ["#fff", 2]]) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x - 12, y); context.lineTo(x + 12, y);
      context.moveTo(x, y - 12); context.lineTo(x, y + 12);
      context.stroke();
    }
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
      this.tile(which, box, left, top);
    }
    context.restore();
  }

  /** Paints the tiles of a box that are there, and asks for those that are not. */
  tile(which, box, left, top) {
    const {photo, scale, context} = this;
    const level = Math.min(photo.levels - 1, Math.max(0, Math.floor(-Math.log2(scale * this.ratio))));
    let [width, height] = [photo.width, photo.height];
    for (let k = 0; k < level; k++) [width, height] = [Math.ceil(width / 2), Math.ceil(height / 2)];
    const size = photo.tile, across = photo.width * scale / width, down = photo.height * scale / height;
    const range = (from, to, count) =>
      [Math.max(0, Math.floor(from)), Math.min(Math.ceil(count / size) - 1, Math.floor(to))];
    const [x0, x1] = range((box.x - left) / across / size, (box.x + box.width - left) / across / size, width);
    const [y0, y1] = range((box.y - top) / down / size, (box.y + box.height - top) / down / size, height);
    for (let y = y0; y <= y1; y++) {
      for (let x = x0; x <= x1; x++) {
        const key = `${which} ${level} ${x} ${y}`;
        const found = this.tiles.get(key);
        if (found && found !== "asked") {
          context.drawImage(found, left + x * size * across, top + y * size * down, found.width * across, found.height * down);
        } else if (!found) {
          const part = [x * size, y * size, Math.min(size, width - x * size), Math.min(size, height - y * size)];
          this.load(key, which, level, part);
        }
      }
    }
  }

  async load(key, which, level, box) {
    if (this.loading >= AT_ONCE) return;  // asked for again when one has come
    this.loading += 1;
    this.tiles.set(key, "asked");
    const photo = this.photo, after = this.after;
    try {
      const bitmap = await this.fetchPart({which, level, box});
      if (photo === this.photo && (which === "before" || after === this.after)) this.tiles.set(key, bitmap);
    } catch {
      setTimeout(() => { this.tiles.delete(key); this.draw(); }, 2000);
    }
    this.loading -= 1;
    if (photo !== this.photo || (which === "after" && after !== this.after)) this.tiles.delete(key);
    while (this.tiles.size > MOST_TILES) this.tiles.delete(this.tiles.keys().next().value);
    this.draw();
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
      this.grip = this.mode === "slider" && Math.abs(point.x - this.split * this.width) < GRIP;
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
      } else {
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
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => {
      this.keyboard = canvas.matches(":focus-visible") && !this.pointers.size;
      this.draw();
    });
    canvas.addEventListener("blur", () => { this.keyboard = false; this.draw(); });
  }

  key(event) {
    if (!this.photo || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 160 : 40;
    const keys = {
      ArrowLeft: () => this.pan(step, 0),
      ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step),
      ArrowDown: () => this.pan(0, -step),
      "+": () => this.zoom(this.scale * 1.25),
      "=": () => this.zoom(this.scale * 1.25),
      "-": () => this.zoom(this.scale / 1.25),
      0: () => this.fit(),
      1: () => this.zoom(1 / this.ratio),
      "[": () => this.moveSplit(this.split - 0.02),
      "]": () => this.moveSplit(this.split + 0.02),
      Enter: () => this.choosePlace(this.center),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    this.keyboard = true;
    act();
    this.draw();
  }
}
