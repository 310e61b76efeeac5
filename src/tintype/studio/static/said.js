// What there is to say, said where the person is; it goes away by itself.

const part = (id) => document.getElementById(id);
let timer = 0, act = null, left = 0;

/** Says something, with a button {words, run} beside it or none; what `stays` goes with the next. */
export function say(text, button = null, stays = false) {
  clearTimeout(timer);
  act = button;
  part("said").textContent = text;
  part("toast").dataset.open = text ? "yes" : "";
  part("said-act").hidden = !button;
  part("said-act").textContent = button?.words ?? "";
  part("hush").hidden = !text;
  left = stays || !text ? 0 : 5000 + 60 * text.length + (button ? 4000 : 0);
  wait();
}

function wait() {
  clearTimeout(timer);
  if (left) timer = setTimeout(() => say(""), left);
}

part("hush").addEventListener("click", () => say(""));
part("said-act").addEventListener("click", () => {
  const {run} = act;
  say("");
  run();
});
for (const type of ["pointerenter", "focusin"]) part("toast").addEventListener(type, () => clearTimeout(timer));
for (const type of ["pointerleave", "focusout"]) part("toast").addEventListener(type, wait);
