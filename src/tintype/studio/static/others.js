// Other colourings: the photograph's own and those of a sampler, in a strip below it.

import * as server from "./server.js";
import {reveal, rove, stop} from "./roving.js";
import {say} from "./said.js";

const SMALL = 240;

export class Others {
  /** `studio` has photo, settings, models, change(settings) and step(way). */
  constructor(studio) {
    this.studio = studio;
    this.part = (id) => document.getElementById(id);
    this.box = this.part("others-box");
    this.gallery = this.part("gallery");
    rove(this.gallery, "button");
    this.part("others").addEventListener("click", () => (this.box.hidden ? this.open() : this.close()));
    this.part("close-others").addEventListener("click", () => this.close());
    this.box.addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(); });
  }

  get isOpen() { return !this.box.hidden; }

  close() {
    this.making?.abort();
    const focused = this.box.contains(document.activeElement);
    this.box.hidden = true;
    this.gallery.replaceChildren();
    this.part("others").setAttribute("aria-expanded", "false");
    if (this.said && this.part("said").textContent === this.said) say("");
    if (focused) this.part("others").focus({preventScroll: true});
  }

  /** Makes them, or shows them again; the server keeps what it has made. */
  async open() {
    const {photo, settings, models} = this.studio;
    const own = models.find((one) => one.name === settings.model && one.kind === "sampler");
    const sampler = own ?? models.find((one) => one.kind === "sampler");
    if (!sampler) {
      say("No model is installed that gives different colourings.");
      return;
    }
    const {saturation, warmth} = settings.options;
    const asked = own ? settings : {
      model: sampler.name, options: {saturation, warmth}, hints: sampler.hints ? settings.hints : [],
    };
    const {signal} = (this.making = new AbortController());
    this.box.hidden = false;
    this.part("others").setAttribute("aria-expanded", "true");
    this.gallery.replaceChildren(this.offer(settings, "Yours", "Your own colouring"));
    this.mark();
    stop(this.gallery, "button");
    this.part("close-others").textContent = "Cancel";
    this.tell("making them …");
    this.part("desk").scrollIntoView({block: "nearest"});
    if (this.box.getBoundingClientRect().bottom > innerHeight) this.box.scrollIntoView({block: "end"});
    if (document.activeElement === this.part("others")) {
      this.gallery.firstChild.focus({preventScroll: true});
    }
    try {
      await this.paint(settings, this.gallery.firstChild, signal);
      const {others} = await server.others(photo.id, {settings: asked}, signal);
      for (const [rank, one] of others.entries()) {
        this.gallery.append(this.offer(one.settings, String(rank + 1), `Colouring ${rank + 1} of ${others.length}`));
      }
      stop(this.gallery, "button", this.gallery.contains(document.activeElement) ? document.activeElement : null);
      for (const [rank, one] of others.entries()) {
        this.tell(`${rank} of ${others.length} …`);
        await this.paint(one.settings, this.gallery.children[rank + 1], signal);
      }
      this.part("close-others").textContent = "Close";
      this.mark();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.close();
      say(error.message);
    }
  }

  tell(words) { this.part("others-said").textContent = `Others: ${words}`; }

  /** Marks the one that holds. */
  mark() {
    if (!this.isOpen) return;
    const key = this.key(this.studio.settings), [own, ...rest] = this.gallery.children;
    let pressed = rest.findIndex((button) => button.dataset.key === key) + 1;
    if (!pressed && own.dataset.key === key) pressed = 0;
    else if (!pressed) pressed = -1;
    [...this.gallery.children].forEach((button, at) => button.setAttribute("aria-pressed", String(at === pressed)));
    if (this.part("close-others").textContent === "Close") {
      this.tell(pressed > 0 ? `${pressed} of ${rest.length}` : `${rest.length}, the likeliest first`);
    }
  }

  key({model, sample}) { return `${model} ${sample}`; }

  offer(settings, caption, words) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.key = this.key(settings);
    button.setAttribute("aria-label", words);
    const label = document.createElement("span");
    label.textContent = caption;
    button.append(document.createElement("canvas"), label);
    button.addEventListener("click", () => this.choose(settings, words));
    return button;
  }

  choose(settings, words) {
    const {settings: now, models} = this.studio;
    reveal(this.gallery, document.activeElement);
    const name = settings.model, sampler = models.find((one) => one.name === name)?.kind === "sampler";
    const {saturation, warmth} = now.options;
    this.studio.change(sampler ? {...settings, options: {...settings.options, saturation, warmth}} : settings);
    if (name === now.model) return;
    const lost = sampler && now.hints.length && !settings.hints.length ? " It takes no colours from you: your dots are left out." : "";
    this.said = `${words}: the model is ${name} now.${lost}`;
    say(this.said, {words: "Undo", run: () => this.studio.step(server.undo)});
  }

  async paint(settings, button, signal) {
    const bitmap = await server.show(this.studio.photo.id, {settings, longest: SMALL}, signal);
    const canvas = button.firstChild;
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    button.dataset.painted = "yes";
  }
}
