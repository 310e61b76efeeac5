// Buttons and keys of the page.

import * as intake from "./intake.js";
import * as save from "./save.js";
import * as server from "./server.js";
import {say} from "./said.js";
import {studio} from "./studio.js";

const part = (id) => document.getElementById(id);
const {view} = studio;

intake.listen((files, chosen) => studio.add(files, chosen));
server.listen((change) => {
  if (change.removed) studio.forget(change.removed);
  else {
    studio.colors = change.colors;
    studio.take(change.photo);
  }
}, () => say(server.ENDED, null, true), () => {
  say("");
  studio.attempt(() => studio.load());
});

const acts = {
  "zoom-in": () => view.zoom(view.scale * 1.5),
  "zoom-out": () => view.zoom(view.scale / 1.5),
  "zoom-fit": () => view.fit(),
  "zoom-one": () => view.zoom(1 / view.ratio),
  undo: () => studio.step(server.undo),
  redo: () => studio.step(server.redo),
  help: () => part("keys").showModal(),
  again: () => studio.attempt(() => server.again(studio.id)),
  copy: () => studio.copy(),
  remove: () => studio.remove(studio.id),
  "cannot-act": () => studio.cannot(),
  "save-all": () => save.all(part("save-all")),
};
for (const [id, act] of Object.entries(acts)) part(id).addEventListener("click", act);
for (const id of ["save", "save-settings"]) {
  part(id).addEventListener("click", async (event) => {
    event.preventDefault();
    await studio.panel.settle();
    save.one(part(id));
  });
}
for (const radio of document.querySelectorAll("input[name=view]")) {
  radio.addEventListener("change", () => {
    view.mode = radio.value;
    if (!view.photo) return;
    part("split").hidden = radio.value !== "slider";
    studio.shape();
    if (view.fitted) view.fit(); else view.moved();
  });
}
view.addEventListener("painted", () => {
  part("scale").textContent = `${Math.round(100 * view.scale * view.ratio)} %`;
});
part("split").addEventListener("input", () => view.moveSplit(part("split").value / 100));
view.addEventListener("split", () => { part("split").value = 100 * view.split; });
window.addEventListener("pagehide", () => studio.keep());

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input:not([type=range]):not([type=radio]), select, textarea");
  if (typing || part("keys").open) return;
  const command = event.ctrlKey || event.metaKey;
  const letter = event.key.toLowerCase();
  if (command && letter === "z") studio.step(event.shiftKey ? server.redo : server.undo);
  else if (command && letter === "y") studio.step(server.redo);
  else if (command || event.altKey) return;
  else if (letter === "n") studio.neighbour(1);
  else if (letter === "p") studio.neighbour(-1);
  else if (event.key === "?") part("keys").showModal();
  else return;
  event.preventDefault();
});

const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
part("stay").textContent = local
  ? "They stay on this computer: the studio runs here, and sends nothing anywhere."
  : "They go to the computer that the studio runs on, and nowhere else.";
studio.begin();
