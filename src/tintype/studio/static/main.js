// The page: what it knows of the session, and who is told when something changes.

import * as server from "./server.js";
import {Dots} from "./dots.js";
import {Film} from "./film.js";
import {Panel} from "./panel.js";
import {View} from "./view.js";
import * as intake from "./intake.js";

const part = (id) => document.getElementById(id);
const limits = {body: Number(document.body.dataset.body), photos: Number(document.body.dataset.photos)};

class Studio {
  constructor() {
    this.photos = new Map();
    this.colors = [];
    this.models = [];
    this.id = null;
    this.draft = null;        // settings that are shown and not yet taken
    this.sending = new Map(); // photographs on their way here, and how to stop them
    this.view = new View(part("canvas"), ({which, level, box}) =>
      server.show(this.id, {settings: which === "before" ? null : this.settings, level, box}));
    this.dots = new Dots(this.view, this);
    this.panel = new Panel(this);
    this.film = new Film(part("film"), {
      open: (id) => this.open(id),
      remove: (id) => this.attempt(() => server.remove(id)),
      cancel: (id) => (this.sending.has(id) ? this.sending.get(id).abort() : this.attempt(() => server.cancel(id))),
      again: (id) => this.attempt(() => server.again(id)),
    });
    this.say = this.say.bind(this);
  }

  get photo() { return this.photos.get(this.id) ?? null; }
  get settings() { return this.draft ?? this.photo?.settings ?? null; }
  get model() { return this.models.find((one) => one.name === this.settings?.model); }

  say(text) { part("said").textContent = text; }
  takesHints() { return Boolean(this.model?.hints); }
  hintsNote() {
    const able = this.models.filter((one) => one.hints).map((one) => one.name);
    const advice = able.length ? `choose ${able.join(" or ")}` : "no model that is installed does";
    return `${this.model?.name} takes no colours from you: ${advice}.`;
  }
  suggest(place) { return server.suggest(this.id, {settings: this.settings, x: place.x, y: place.y}); }

  async attempt(act) {
    try { return await act(); } catch (error) { this.say(error.message); return null; }
  }

  /** Asks for everything, at the beginning and after the connection was lost. */
  async load() {
    const all = await server.everything();
    this.models = all.models;
    this.colors = all.colors;
    this.panel.fillModels(all.models);
    const known = new Set(all.photos.map((photo) => photo.id));
    for (const id of [...this.photos.keys()]) if (!known.has(id) && !this.sending.has(id)) this.forget(id);
    for (const photo of all.photos) this.take(photo);
    const wanted = decodeURIComponent(location.hash.slice(1));
    if (this.photos.has(wanted)) this.open(wanted);
  }

  /** Takes what the server says of a photograph. */
  take(photo) {
    const before = this.photos.get(photo.id);
    if (before && photo.revision < before.revision) return;  // an answer that came late
    if (before?.facts?.width) photo.facts = photo.facts.width ? Object.assign(before.facts, photo.facts) : before.facts;
    this.photos.set(photo.id, photo);
    this.film.draw(photo, photo.id === this.id);
    if (photo.facts.width && (!this.id || !this.photo)) this.open(photo.id);
    else if (photo.id === this.id) {
      if (before && JSON.stringify(before.settings) !== JSON.stringify(photo.settings) && !this.draft) this.refresh();
      this.panel.draw();
    }
    this.tidy();
  }

  forget(id) {
    this.photos.delete(id);
    this.film.remove(id);
    if (id === this.id) {
      this.id = null;
      const next = [...this.photos.values()].find((photo) => photo.facts?.width);
      if (next) this.open(next.id); else this.close();
    }
    this.tidy();
  }

  tidy() {
    part("save-all").hidden = ![...this.photos.values()].some((photo) => photo.state === "ready");
  }

  close() {
    part("canvas").hidden = part("views").hidden = part("split").hidden = true;
    part("empty").hidden = false;
    this.view.photo = null;
    this.dots.close();
    this.dots.draw();
    this.panel.draw();
    this.view.draw();
  }

  async open(id) {
    const old = this.photo;
    this.id = id;
    this.draft = null;
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
    this.dots.close();
    this.panel.closeOthers();
    if (old) this.film.draw(old, false);
    this.film.draw(this.photo, true);
    part("empty").hidden = true;
    part("canvas").hidden = part("views").hidden = false;
    part("split").hidden = this.view.mode !== "slider";
    this.panel.draw();
    const {name, facts} = this.photo;
    part("canvas").setAttribute("aria-label", `${name}, ${facts.width} by ${facts.height} pixels, before and after. Enter corrects a colour.`);
    await this.attempt(async () => {
      const [before, after] = await Promise.all([
        server.show(id, {settings: null}), server.show(id, {settings: this.photo.settings}),
      ]);
      if (id !== this.id) return;
      this.view.open(facts, before, after);
      this.view.resize();
      this.shown();
    });
  }

  /** Marks that the picture of the settings is there, for who waits for it. */
  shown() { part("canvas").dataset.shown = JSON.stringify(this.settings); }

  /** Shows settings that are still being chosen: the latest, one after the other. */
  preview(settings) {
    this.draft = settings;
    return this.refresh();
  }

  async refresh() {
    this.wanted = true;
    if (this.busy) return this.busy;
    this.busy = (async () => {
      while (this.wanted) {
        this.wanted = false;
        const {id, settings} = this;
        if (!id) break;
        try {
          const after = await server.show(id, {settings});
          if (id === this.id) { this.view.recolor(after); this.shown(); }
        } catch (error) {
          this.say(error.message);
        }
      }
    })();
    await this.busy;
    this.busy = null;
  }

  /** Takes settings for good. */
  async change(settings) {
    const {id} = this;
    this.draft = settings.options ? settings : null;
    const draft = this.draft;
    const taken = await this.attempt(() => server.choose(id, settings));
    if (id !== this.id) return;
    if (this.draft === draft) this.draft = null;
    if (taken) this.take(taken);
    this.dots.draw();
    this.panel.draw();
    await this.refresh();
    const photo = this.photos.get(id);
    if (photo) this.film.draw({...photo, version: `${photo.version}.shown.${Date.now()}`}, id === this.id);
  }

  async step(way) {
    if (!this.photo) return;
    const taken = await this.attempt(() => way(this.id));
    if (!taken) return;
    this.draft = null;
    this.dots.close();
    this.take(taken);
    this.dots.draw();
    this.panel.draw();
    await this.refresh();
  }

  /** Sends files here, two at a time. */
  async add(files, chosen) {
    const wanted = files.filter((file) => chosen || intake.looksLikePhoto(file));
    const left = files.length - wanted.length;
    if (left) this.say(`${left} ${left === 1 ? "file is" : "files are"} no photograph.`);
    const queue = wanted.map((file, k) => this.announce(file, k));
    await Promise.all([0, 1].map(async () => {
      for (let next = queue.shift(); next; next = queue.shift()) await this.send(next);
    }));
  }

  announce(file, k) {
    const id = `sending-${crypto.randomUUID?.() ?? Math.random()}`;
    const stop = new AbortController();
    const last = Math.max(0, ...[...this.photos.values()].map((photo) => photo.number));
    const photo = {id, name: file.name || "pasted.png", number: last + 1 + k / 1e6, state: "sending", facts: {}};
    this.sending.set(id, stop);
    this.film.draw(photo, false);
    return {file, photo, stop};
  }

  async send({file, photo, stop}) {
    let error = null;
    try {
      if (stop.signal.aborted) throw new DOMException("", "AbortError");
      if (file.size > limits.body) throw new Error(`it is larger than ${limits.body >> 20} MiB`);
      this.take(await server.upload(file, stop.signal));
    } catch (caught) {
      if (caught.name !== "AbortError") error = caught.message;
    }
    this.sending.delete(photo.id);
    this.film.remove(photo.id);
    if (error) this.say(`${photo.name}: ${error}`);
  }

  neighbour(step) {
    const ready = [...this.photos.values()].filter((photo) => photo.facts?.width).sort((a, b) => a.number - b.number);
    const at = ready.findIndex((photo) => photo.id === this.id);
    const next = ready[at + step];
    if (next) this.open(next.id);
  }

  listen() {
    intake.listen((files, chosen) => this.add(files, chosen));
    server.listen((change) => {
      if (change.removed) this.forget(change.removed);
      else {
        this.colors = change.colors;
        this.take(change.photo);
      }
    }, () => this.attempt(() => this.load()));
    const on = (id, act) => part(id).addEventListener("click", act);
    on("zoom-in", () => this.view.zoom(this.view.scale * 1.5));
    on("zoom-out", () => this.view.zoom(this.view.scale / 1.5));
    on("zoom-fit", () => this.view.fit());
    on("zoom-one", () => this.view.zoom(1 / this.view.ratio));
    on("undo", () => this.step(server.undo));
    on("redo", () => this.step(server.redo));
    on("help", () => part("keys").showModal());
    on("copy", async () => {
      const done = await this.attempt(() => server.copy(this.id));
      if (done) this.say(`Model and sliders are copied to ${done.copied} ${done.copied === 1 ? "photograph" : "photographs"}.`);
    });
    for (const radio of document.querySelectorAll("input[name=view]")) {
      radio.addEventListener("change", () => {
        this.view.mode = radio.value;
        part("split").hidden = radio.value !== "slider";
        if (this.view.fitted) this.view.fit(); else this.view.draw();
      });
    }
    this.view.addEventListener("painted", () => {
      part("scale").textContent = `${Math.round(100 * this.view.scale * this.view.ratio)} %`;
    });
    part("split").addEventListener("input", () => this.view.moveSplit(part("split").value / 100));
    this.view.addEventListener("split", () => { part("split").value = 100 * this.view.split; });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const typing = event.target.matches?.("input:not([type=range]):not([type=radio]), select, textarea");
    if (typing || part("keys").open) return;
    const command = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    if (command && letter === "z") this.step(event.shiftKey ? server.redo : server.undo);
    else if (command && letter === "y") this.step(server.redo);
    else if (command || event.altKey) return;
    else if (letter === "n") this.neighbour(1);
    else if (letter === "p") this.neighbour(-1);
    else if (event.key === "?") part("keys").showModal();
    else return;
    event.preventDefault();
  }
}

const studio = new Studio();
studio.listen();
studio.attempt(() => studio.load());
