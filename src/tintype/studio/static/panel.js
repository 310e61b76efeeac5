// Model, sliders, the gallery of other colourings, and what there is to do with the result.

import * as server from "./server.js";

const SLIDERS = ["vividness", "saturation", "warmth"];
const SMALL = 240;

export class Panel {
  /** `studio` has photo, settings, models, change(settings), preview(settings) and say(text). */
  constructor(studio) {
    this.studio = studio;
    this.part = (id) => document.getElementById(id);
    this.model = this.part("model");
    this.gallery = this.part("gallery");
    this.model.addEventListener("change", () => this.chooseModel());
    for (const name of SLIDERS) {
      const slider = this.part(name);
      slider.addEventListener("input", () => studio.preview(this.asked()));
      slider.addEventListener("change", () => studio.change(this.asked()));
    }
    this.part("reset").addEventListener("click", () => {
      studio.change({model: studio.settings.model, hints: studio.settings.hints});
    });
    this.part("others").addEventListener("click", () => this.toggleOthers());
  }

  fillModels(models) {
    this.model.replaceChildren(...models.map((one) => new Option(one.name, one.name)));
  }

  /** Shows what holds for the photograph. */
  draw() {
    const {photo, settings} = this.studio;
    this.part("panel").hidden = !photo;
    if (!photo) return;
    this.model.value = settings.model;
    for (const name of SLIDERS) {
      const taken = name in settings.options;
      this.part(name).disabled = !taken;
      this.part(name).closest("label").hidden = !taken;
      if (taken) this.part(name).value = settings.options[name];
      this.write(name);
    }
    this.part("undo").disabled = !photo.undo;
    this.part("redo").disabled = !photo.redo;
    const place = `session/photos/${photo.id}`;
    this.part("save").href = `${place}/result`;
    this.part("save-settings").href = `${place}/settings.json`;
    for (const button of this.gallery.children) {
      button.setAttribute("aria-pressed", String(button.dataset.sample === `${settings.model} ${settings.sample}`));
    }
    const {width, height, format, kind, depth, notes} = photo.facts;
    const facts = [
      ["Photograph", `${photo.name}, ${width} × ${height}, ${depth}-bit ${kind}, ${format}`],
      ...notes.map((note) => ["Note", note]),
    ];
    this.part("facts").replaceChildren(...facts.flatMap(([term, words]) => {
      const [dt, dd] = ["dt", "dd"].map((tag) => document.createElement(tag));
      dt.textContent = term;
      dd.textContent = words;
      return [dt, dd];
    }));
  }

  write(name) {
    const value = Number(this.part(name).value).toFixed(2);
    this.part(name).closest("label").querySelector("output").textContent = value;
  }

  /** The settings that the sliders say. */
  asked() {
    const {settings} = this.studio;
    const options = {...settings.options};
    for (const name of SLIDERS) {
      if (name in options) options[name] = Number(this.part(name).value);
      this.write(name);
    }
    return {...settings, options};
  }

  chooseModel() {
    const {settings, models, say} = this.studio;
    const model = models.find((one) => one.name === this.model.value);
    const {saturation, warmth} = settings.options;
    if (settings.hints.length && !model.hints) say(`${model.name} takes no hints: the colours you set are left out.`);
    this.studio.change({model: model.name, options: {saturation, warmth}, hints: model.hints ? settings.hints : []});
  }

  closeOthers() {
    this.gallery.hidden = true;
    this.gallery.replaceChildren();
    this.part("others").setAttribute("aria-expanded", "false");
  }

  async toggleOthers() {
    if (!this.gallery.hidden) {
      this.closeOthers();
      return;
    }
    const {photo, settings, models, say} = this.studio;
    const own = models.find((one) => one.name === settings.model && one.kind === "sampler");
    const sampler = own ?? models.find((one) => one.kind === "sampler");
    if (!sampler) {
      say("No model is installed that gives different colourings.");
      return;
    }
    const {saturation, warmth} = settings.options;
    const asked = own ? settings : {
      model: sampler.name, options: {saturation, warmth}, sample: 1,
      hints: sampler.hints ? settings.hints : [],
    };
    this.part("others").disabled = true;
    say("Making different colourings …");
    try {
      const {others} = await server.others(photo.id, {settings: asked});
      if (photo.id !== this.studio.photo?.id) return;
      this.gallery.replaceChildren(...others.map((one, rank) => this.offer(one, rank)));
      this.gallery.hidden = false;
      this.part("others").setAttribute("aria-expanded", "true");
      await Promise.all(others.map((one, rank) => this.paint(photo.id, one, this.gallery.children[rank])));
      say(`${others.length} different colourings, the likeliest first.`);
      this.draw();
    } catch (error) {
      say(error.message);
    } finally {
      this.part("others").disabled = false;
    }
  }

  offer(one, rank) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.sample = `${one.settings.model} ${one.sample}`;
    button.setAttribute("aria-label", `Colouring ${rank + 1}, number ${one.sample}`);
    button.append(document.createElement("canvas"));
    button.addEventListener("click", () => this.studio.change(one.settings));
    return button;
  }

  async paint(id, one, button) {
    const bitmap = await server.show(id, {settings: one.settings, longest: SMALL});
    const canvas = button.firstChild;
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    button.dataset.painted = "yes";
  }
}
