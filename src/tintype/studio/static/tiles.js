// Parts of the full size, where the photograph is zoomed into.

const MOST_TILES = 150;
const AT_ONCE = 2;

export class Tiles {
  /** `fetchPart({which, level, box})` returns a bitmap; `redraw` is called when one has come. */
  constructor(fetchPart, redraw) {
    this.fetchPart = fetchPart;
    this.redraw = redraw;
    this.found = new Map();
    this.loading = 0;
    this.age = {before: 0, after: 0};
  }

  /** Forgets what was of another picture. */
  forget(which) {
    this.age[which] += 1;
    for (const key of this.found.keys()) if (key.startsWith(which)) this.found.delete(key);
  }

  /** Paints those of a box that are there, and asks for those that are not. */
  paint(context, which, photo, scale, ratio, box, left, top) {
    const level = Math.min(photo.levels - 1, Math.max(0, Math.floor(-Math.log2(scale * ratio))));
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
        const found = this.found.get(key);
        if (found && found !== "asked") {
          context.drawImage(found, left + x * size * across, top + y * size * down, found.width * across, found.height * down);
        } else if (!found) {
          this.load(key, which, level, [x * size, y * size, Math.min(size, width - x * size), Math.min(size, height - y * size)]);
        }
      }
    }
  }

  async load(key, which, level, box) {
    if (this.loading >= AT_ONCE) return;  // asked for again when one has come
    this.loading += 1;
    this.found.set(key, "asked");
    const age = this.age[which];
    try {
      const bitmap = await this.fetchPart({which, level, box});
      if (age === this.age[which]) this.found.set(key, bitmap);
    } catch {
      setTimeout(() => { this.found.delete(key); this.redraw(); }, 2000);
    }
    this.loading -= 1;
    while (this.found.size > MOST_TILES) this.found.delete(this.found.keys().next().value);
    this.redraw();
  }
}
