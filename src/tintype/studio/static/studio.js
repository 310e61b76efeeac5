// The page: what it knows of the session, and who is told when something changes.

import * as intake from "./intake.js";
import * as server from "./server.js";
import {Dots} from "./dots.js";
import {Film} from "./film.js";
import {Others} from "./others.js";
import {Panel} from "./panel.js";
import {say} from "./said.js";
import {View} from "./view.js";

const part = (id) => document.getElementById(id);
const largest = Number(document.body.dataset.body);  // bytes of a file
const STATES = {sending: "is on its way", waiting: "waits for its turn", working: "is being coloured", cancelled: "was cancelled"};
const BEFORE = {toned: "Before, in gray: its tone is left out", color: "Before, in gray: its colours are left out"};
const many = (count, one = "photograph") => `${count} ${one}${count === 1 ? "" : "s"}`;

class Studio {
  constructor() {
    this.photos = new Map();   // those on their way here too
    this.colors = [];
    this.models = [];
    this.id = null;
    this.chosen = false;       // whether the person chose what is on the desk
    this.draft = null;         // settings that are shown and not yet taken
    this.sending = new Map();  // how to stop those on their way
    this.most = 0;             // of their numbers
    this.view = new View(part("canvas"), ({which, level, box}) =>
      server.show(this.id, {settings: which === "before" ? null : this.settings, level, box}));
    this.dots = new Dots(this.view, this);
    this.panel = new Panel(this);
    this.others = new Others(this);
    this.film = new Film(part("film"), {
      open: (id) => { this.chosen = true; this.open(id); },
      remove: (id) => this.remove(id),
      cancel: (id) => (this.sending.has(id) ? this.sending.get(id).abort() : this.attempt(() => server.cancel(id))),
    });
  }

  get photo() { return this.photos.get(this.id) ?? null; }
  get settings() { return this.draft ?? this.photo?.settings ?? null; }
  get model() { return this.models.find((one) => one.name === this.settings?.model); }
  get ordered() { return [...this.photos.values()].sort((a, b) => a.number - b.number); }

  takesHints() { return Boolean(this.model?.hints); }

  /** Says why a click corrects nothing, and what does. */
  cannot() {
    const able = this.models.filter((one) => one.hints && one.kind !== "sampler")[0] ?? this.models.find((one) => one.hints);
    const advice = able
      ? [`${this.model?.name} takes no colours from you; ${able.name} does.`, {words: `Use ${able.name}`, run: () => this.use(able.name)}]
      : ["No model here takes colours from you: Others shows different ones.", {words: "Others", run: () => this.others.open()}];
    say(...advice);
  }

  use(name) {
    const {saturation, warmth} = this.settings.options;
    this.change({model: name, options: {saturation, warmth}, hints: this.settings.hints});
  }

  suggest(place) { return server.suggest(this.id, {settings: this.settings, x: place.x, y: place.y}); }

  async attempt(act) {
    try { return await act(); } catch (error) { say(error.message, null, error.message === server.ENDED); return null; }
  }

  /** Asks for everything, at the beginning and after the connection was lost. */
  async load() {
    const wanted = decodeURIComponent(location.hash.slice(1));
    const all = await server.everything();
    this.models = all.models;
    this.colors = all.colors;
    this.panel.fillModels(all.models);
    const known = new Set(all.photos.map((photo) => photo.id));
    for (const id of [...this.photos.keys()]) if (!known.has(id) && !this.sending.has(id)) this.forget(id);
    if (!this.chosen && known.has(wanted)) {
      this.chosen = true;
      this.id = wanted;
    }
    for (const photo of all.photos) this.take(photo);
    if (this.photos.has(this.id)) this.open(this.id);
  }

  /** Takes what the server says of a photograph, or what is known of one on its way there. */
  take(photo) {
    const before = this.photos.get(photo.id);
    if (before && photo.revision < before.revision) return;  // an answer that came late
    if (before?.facts?.width) photo.facts = photo.facts.width ? Object.assign(before.facts, photo.facts) : before.facts;
    this.photos.set(photo.id, photo);
    this.most = Math.max(this.most, photo.number);
    this.film.draw(photo, photo.id === this.id);
    if (photo.id === this.id && before) {
      if (!before.facts?.width) this.open(photo.id);
      else if (JSON.stringify(before.settings) !== JSON.stringify(photo.settings) && !this.draft) this.refresh();
      this.panel.draw();
      this.others.mark();
    }
    this.tidy();
  }

  forget(id) {
    const all = this.ordered, at = all.findIndex((photo) => photo.id === id);
    this.photos.delete(id);
    this.film.remove(id);
    if (id === this.id) {
      const next = all[at + 1] ?? all[at - 1];
      this.id = null;
      if (next && this.chosen) this.open(next.id);
    }
    this.tidy();
  }

  /** Until the person chooses, the first photograph that can be seen is on the desk. */
  tidy() {
    const all = this.ordered;
    if (!this.chosen || !this.id) {
      const first = all.find((photo) => !["failed", "cancelled"].includes(photo.state)) ?? all[0];
      if (!first) this.close();
      else if (first.id !== this.id) this.open(first.id);
    }
    part("save-all").hidden = !all.some((photo) => photo.state === "ready");
    const summary = this.film.summary(all);
    part("summary").hidden = !summary;
    if (part("summary").textContent !== summary) part("summary").textContent = summary;
    const rest = all.filter((photo) => photo.id !== this.id && photo.state === "ready").length;
    part("copy").hidden = !rest;
    part("copy").textContent = rest === 1 ? "Copy look to the other photograph" : `Copy look to all ${rest} other photographs`;
  }

  close() {
    this.id = null;
    history.replaceState(null, "", location.pathname);
    this.empty("empty");
    this.panel.draw();
  }

  /** Shows words in the photograph's place: `empty` to begin with, or `notice`. */
  empty(which) {
    for (const id of ["canvas", "views", "split", "advice", "damage", "empty", "notice"]) part(id).hidden = id !== which;
    this.dots.close();
    this.others.close();
    part("desk").style.removeProperty("--shape");
    this.clear();
  }

  clear() {
    this.view.photo = null;
    delete part("canvas").dataset.shown;
    this.dots.draw();
    this.view.draw();
  }

  async open(id, look = null) {
    this.panel.settle();
    const old = this.photo, moved = id !== this.id;
    this.id = id;
    this.draft = null;
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
    this.dots.close();
    if (moved) {
      this.others.close();
      this.clear();  // until its own picture is there, nothing can be clicked
    }
    if (old) this.film.draw(old, false);
    this.film.draw(this.photo, true);
    this.film.select(id);
    this.tidy();
    const {name, facts, state, error, again} = this.photo;
    if (!facts.width) {
      this.empty("notice");
      part("notice-words").textContent = error || `${name} ${STATES[state]}${state === "cancelled" ? "." : " …"}`;
      part("again").hidden = !again;
      this.panel.draw();
      return;
    }
    part("empty").hidden = part("notice").hidden = true;
    part("canvas").hidden = part("views").hidden = part("advice").hidden = false;
    part("split").hidden = this.view.mode !== "slider";
    part("damage").hidden = !facts.damage?.length;
    part("damage").textContent = (facts.damage ?? []).map((note) => `${note}. Colours where nothing could be read mean nothing.`).join(" ");
    this.shape();
    this.panel.draw();
    this.advise();
    await this.attempt(async () => {
      const [before, after] = await Promise.all([
        server.show(id, {settings: null}), server.show(id, {settings: this.photo.settings}),
      ]);
      if (id !== this.id) return;
      this.view.open(facts, before, after, BEFORE[facts.kind] ?? "Before", look ?? this.look);
      this.look = null;
      this.view.resize();
      this.shown();
    });
  }

  /** Tells the desk what room the photograph asks for. */
  shape() {
    const {width, height} = this.photo.facts;
    part("desk").style.setProperty("--shape", width / height / (this.view.mode === "side" && width > height ? 2 : 1));
  }

  /** Says what a click does, where it does something. */
  advise() {
    const {name, facts} = this.photo, takes = this.takesHints();
    for (const id of ["can", "cannot"]) part(id).hidden = takes !== (id === "can");
    part("desk").classList.toggle("hints", takes);
    part("canvas").setAttribute("aria-label",
      `${name}, ${facts.width} by ${facts.height} pixels, before and after.${takes ? " Enter corrects a colour." : ""}`);
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
        await this.attempt(async () => {
          const after = await server.show(id, {settings});
          if (id === this.id) { this.view.recolor(after); this.shown(); }
        });
      }
    })();
    await this.busy;
    this.busy = null;
  }

  /** Takes settings for good. */
  async change(settings) {
    const {id} = this;
    this.chosen = true;
    this.draft = settings.options ? settings : null;
    const draft = this.draft;
    const taken = await this.attempt(() => server.choose(id, settings));
    if (id !== this.id) return;
    if (this.draft === draft) this.draft = null;
    await this.taken(taken);
  }

  async step(way) {
    if (!this.photo) return;
    await this.panel.settle();
    const taken = await this.attempt(() => way(this.id));
    if (!taken) return;
    this.draft = null;
    this.dots.close();
    await this.taken(taken);
  }

  async taken(photo) {
    if (photo) this.take(photo);
    this.dots.draw();
    this.panel.draw();
    this.others.mark();
    this.advise();
    await this.refresh();
  }

  async remove(id) {
    const {name} = this.photos.get(id);
    this.chosen = true;
    if (!await this.attempt(() => server.remove(id))) return;
    this.forget(id);
    const back = async () => {
      const photo = await this.attempt(() => server.putBack(id));
      if (!photo) return;
      this.take(photo);
      this.open(id);
    };
    say(`${name} is removed.`, {words: "Undo", run: back});
  }

  async copy() {
    const done = await this.attempt(() => server.copy(this.id));
    if (!done) return;
    const undo = async () => {
      const back = await this.attempt(server.undoCopy);
      if (back) say(`${many(back.copied)} as before.`);
    };
    say(done.copied
      ? `Model and sliders are copied to ${many(done.copied)}. Dots and the choice among the Others are not copied.`
      : "The other photographs have this look already.", done.copied ? {words: "Undo", run: undo} : null);
  }

  /** Sends files here, two at a time. */
  async add(files, chosen) {
    const wanted = files.filter((file) => chosen || intake.looksLikePhoto(file));
    const left = files.length - wanted.length;
    const wrong = left ? [`${many(left, "file")} left out: only photographs are taken`] : [];
    const queue = wanted.map((file, k) => this.announce(file, this.most + 1 + k));
    await Promise.all([0, 1].map(async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const error = await this.send(next);
        if (error) wrong.push(error);
      }
    }));
    const more = wrong.length > 3 ? [`and ${wrong.length - 3} more`] : [];
    if (wrong.length) say([...wrong.slice(0, 3), ...more].join("; ") + ".", null, wrong.includes(server.ENDED));
  }

  announce(file, number) {
    const id = `sending-${crypto.randomUUID?.() ?? Math.random()}`;
    const photo = {id, name: file.name || "pasted.png", number, state: "sending", facts: {}, revision: 0};
    this.sending.set(id, new AbortController());
    queueMicrotask(() => this.take(photo));  // when all have their numbers
    return {file, photo};
  }

  /** Returns what went wrong. */
  async send({file, photo: {id, name, number}}) {
    const {signal} = this.sending.get(id);
    let error = "";
    try {
      if (signal.aborted) throw new DOMException("", "AbortError");
      if (file.size > largest) throw new Error(`it is larger than ${largest >> 20} MiB`);
      const photo = await server.upload(file, number, signal);
      const current = this.id === id;
      this.take(photo);
      if (current) this.open(photo.id);
    } catch (caught) {
      if (caught.name !== "AbortError") {
        error = caught.message.startsWith(name) || caught.message === server.ENDED ? caught.message : `${name}: ${caught.message}`;
      }
    }
    this.sending.delete(id);
    this.forget(id);
    return error.replace(/\.$/, "");
  }

  neighbour(step) {
    const all = this.ordered;
    const next = all[all.findIndex((photo) => photo.id === this.id) + step];
    this.chosen = true;
    if (next) this.open(next.id);
  }

  /** What a reload of this tab finds again. */
  keep() {
    sessionStorage.studio = JSON.stringify({id: this.id, others: this.others.isOpen, look: this.view.photo && this.view.look});
  }

  async begin() {
    const kept = JSON.parse(sessionStorage.studio ?? "null");
    if (kept?.look && kept.id === decodeURIComponent(location.hash.slice(1))) {
      this.look = kept.look;
      this.view.split = kept.look.split;
      document.querySelector(`[name=view][value=${kept.look.mode}]`).click();
    }
    await this.attempt(() => this.load());
    if (kept?.others && kept.id === this.id && this.photo.facts.width) this.others.open();
  }
}

export const studio = new Studio();
