// The model, the sliders, and what there is to know of the photograph.

import {say} from "./said.js";

const SLIDERS = ["vividness", "saturation", "warmth"];
const PAUSE = 700;  // milliseconds after the last key, until a slider's change is one step of Undo

export class Panel {
  /** `studio` has photo, settings, models, change(settings) and preview(settings). */
  constructor(studio) {
    this.studio = studio;
    this.part = (id) => document.getElementById(id);
    this.part("model").addEventListener("change", () => this.chooseModel());
    for (const name of SLIDERS) {
      const slider = this.part(name);
      let keyed = false;
      slider.addEventListener("keydown", () => { keyed = true; });
      slider.addEventListener("pointerdown", () => { keyed = false; });
      slider.addEventListener("input", () => {
        studio.preview(this.asked());
        clearTimeout(this.pause);
      });
      slider.addEventListener("change", () => {
        clearTimeout(this.pause);
        this.pending = this.asked();
        if (keyed) this.pause = setTimeout(() => this.settle(), PAUSE); else this.settle();
      });
      slider.addEventListener("blur", () => this.settle());
    }
    this.part("reset").addEventListener("click", () => {
      studio.change({model: studio.settings.model, hints: studio.settings.hints, sample: studio.settings.sample});
    });
  }

  /** Takes what a slider was moved to for good. */
  async settle() {
    clearTimeout(this.pause);
    const {pending} = this;
    this.pending = null;
    if (pending) await this.studio.change(pending);
  }

  fillModels(models) {
    this.part("model").replaceChildren(...models.map((one) => {
      const option = new Option(`${one.name}: ${one.description.split(/[:.]/)[0]}`, one.name);
      option.title = one.description;
      return option;
    }));
  }

  /** Shows what holds for the photograph. */
  draw() {
    const {photo, settings, model} = this.studio;
    this.part("panel").hidden = !photo?.facts.width;
    if (!photo?.facts.width) return;
    this.part("model").value = settings.model;
    this.part("model-words").textContent = `${model?.description ?? ""} ${model?.hints ? "Takes colours from you." : ""}`;
    for (const name of SLIDERS) {
      const taken = name in settings.options, slider = this.part(name);
      slider.disabled = !taken;
      if (taken) slider.value = settings.options[name];
      this.write(name, taken);
    }
    this.part("undo").disabled = !photo.undo;
    this.part("redo").disabled = !photo.redo;
    const place = `session/photos/${photo.id}`;
    this.part("save").href = `${place}/result`;
    this.part("save-settings").href = `${place}/settings.json`;
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

  write(name, taken = true) {
    const words = taken ? Number(this.part(name).value).toFixed(2) : "not used by this model";
    this.part(name).closest("label").querySelector("output").textContent = words;
  }

  /** The settings that the sliders say. */
  asked() {
    const {settings} = this.studio;
    const options = {...settings.options};
    for (const name of SLIDERS) {
      if (name in options) {
        options[name] = Number(this.part(name).value);
        this.write(name);
      }
    }
    return {...settings, options};
  }

  chooseModel() {
    const {settings, models} = this.studio;
    const model = models.find((one) => one.name === this.part("model").value);
    const {saturation, warmth} = settings.options;
    if (settings.hints.length && !model.hints) say(`${model.name} takes no colours from you: your dots are left out. Undo brings them back.`);
    this.studio.change({model: model.name, options: {saturation, warmth}, hints: model.hints ? settings.hints : []});
  }
}
